package command

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestEverySecondBeginsAtOnceAndEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		n, began := 0, time.Now()
		if err := EverySecond(ctx, func() error { n++; return nil }); err != nil || n != 3 || time.Since(began) != 2500*time.Millisecond {
			t.Errorf("%v, %d times in %v", err, n, time.Since(began))
		}
		broken := errors.New("broken")
		if err := EverySecond(t.Context(), func() error { n++; return broken }); err != broken || n != 4 {
			t.Errorf("%v, %d times", err, n)
		}
	})
}

func TestWhatIsATerminal(t *testing.T) {
	t.Parallel()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, x := range []struct {
		name   string
		stream any
		want   bool
	}{{"a buffer", new(strings.Builder), false}, {"nothing", nil, false}, {"a file", f, false}, {"a device", null, true}} {
		if got := IsTerminal(x.stream); got != x.want {
			t.Errorf("%s: %v", x.name, got)
		}
	}
}
