package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"noonmark/internal/printable"
)

// Console is where a command reads and writes.
type Console struct {
	In       io.Reader
	Out, Err io.Writer

	title string // of the command that runs, which begins its messages
}

// Standard is the console of the process.
func Standard() Console { return Console{In: os.Stdin, Out: os.Stdout, Err: os.Stderr} }

// Warnf writes a line to Err that begins with program and command, as errors do.
func (c *Console) Warnf(format string, args ...any) {
	fmt.Fprintf(c.Err, "%s"+format+"\n", append([]any{c.title}, args...)...)
}

// Open opens the file that an argument names; "-" is In.
func (c *Console) Open(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(c.In), nil
	}
	return os.Open(name)
}

// Show shows once what show writes to w, or with watch every second until the user ends
// it. What then fails is shown too, and does not end it: only an error of the output does.
// With redraw each picture is drawn over the one before.
func (c *Console) Show(watch, redraw bool, show func(w io.Writer) error) error {
	if !watch {
		return show(c.Out)
	}
	ctx, stop := Interruptible()
	defer stop()
	return c.watch(ctx, redraw, show)
}

// watch shows every second until ctx ends, which is no error.
func (c *Console) watch(ctx context.Context, redraw bool, show func(w io.Writer) error) error {
	return EverySecond(ctx, func() error {
		var picture strings.Builder
		failed := show(&picture)
		text := picture.String()
		if redraw {
			if failed != nil {
				text += fmt.Sprintf("%s%v\n", c.title, failed)
			}
			text = printable.Redraw(text)
		}
		if _, err := io.WriteString(c.Out, text); err != nil {
			return Written(err)
		}
		if failed != nil && !redraw {
			c.Warnf("%v", failed)
		}
		return nil
	})
}

// Print writes v to w as one JSON object, or what text writes, for people. Escape
// sequences in a text, which may be that of another program, do not reach a terminal. The
// error is marked as one of the output.
func Print(w io.Writer, asJSON bool, v any, text func(w io.Writer) error) error {
	if asJSON {
		return Written(json.NewEncoder(w).Encode(v))
	}
	return Written(text(printable.Writer{To: w}))
}
