package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// full is an output that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWatchShowsErrorsAndGoesOn(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name      string
		redraw    bool
		out, errs string
	}{
		{"one after the other", false, "1\n2\n3\n", "tool: show: broken\n"},
		{"drawn over the one before", true, "\x1b[H1\x1b[K\n\x1b[J\x1b[H2\x1b[K\ntool: show: broken\x1b[K\n\x1b[J\x1b[H3\x1b[K\n\x1b[J", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
				defer cancel()
				var out, errs strings.Builder
				c := Console{Out: &out, Err: &errs, title: "tool: show: "}
				n := 0
				err := c.watch(ctx, x.redraw, func(w io.Writer) error {
					if n++; n == 2 {
						defer fmt.Fprintln(w, n)
						return errors.New("broken")
					}
					_, err := fmt.Fprintln(w, n)
					return err
				})
				if err != nil || out.String() != x.out || errs.String() != x.errs {
					t.Errorf("%v, %q, %q", err, &out, &errs)
				}
			})
		})
	}
	var errs strings.Builder
	c := Console{Out: full{}, Err: &errs}
	if err := c.watch(t.Context(), false, func(io.Writer) error { return nil }); !errors.Is(err, ErrOutput) || errs.Len() > 0 {
		t.Errorf("an output that takes nothing: %v, %q", err, &errs)
	}
}

func TestPrintForPeopleAndPrograms(t *testing.T) {
	t.Parallel()
	v := map[string]int{"n": 1}
	text := func(w io.Writer) error { _, err := io.WriteString(w, "n \x1b[2J\n"); return err }
	for _, x := range []struct {
		asJSON bool
		want   string
	}{{true, "{\"n\":1}\n"}, {false, "n \\u001b[2J\n"}} {
		var out strings.Builder
		if err := Print(&out, x.asJSON, v, text); err != nil || out.String() != x.want {
			t.Errorf("JSON %v: %v, %q", x.asJSON, err, &out)
		}
		if err := Print(full{}, x.asJSON, v, text); !errors.Is(err, ErrOutput) {
			t.Errorf("JSON %v, an output that takes nothing: %v", x.asJSON, err)
		}
	}
}

func TestOpenNamesAFileOrTheInput(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("of the file"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Console{In: strings.NewReader("of the input")}
	if _, err := c.Open(name + "-"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	for arg, want := range map[string]string{"-": "of the input", name: "of the file"} {
		f, err := c.Open(arg)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		if err != nil || string(b) != want || f.Close() != nil {
			t.Errorf("%s: %q, %v", arg, b, err)
		}
	}
}
