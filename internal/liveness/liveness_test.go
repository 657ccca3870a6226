package liveness

import (
	"testing"
	"time"

	"noonmark/phc"
)

func TestOnlyLongWorkIsStuck(t *testing.T) {
	t.Parallel()
	var w Work
	for _, c := range []struct {
		name  string
		do    func()
		stuck bool
	}{
		{"idle from the beginning", func() {}, false},
		{"long work", func() { w.BeginAt(phc.MonoRaw() - int64(time.Hour)) }, true},
		{"work has just begun", w.Begin, false},
		{"idle again", w.End, false},
	} {
		c.do()
		if err := w.Stuck(time.Minute); (err != nil) != c.stuck {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
