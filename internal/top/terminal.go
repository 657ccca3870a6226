package top

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/internal/observe"
	"noonmark/internal/printable"
)

// Escapes of a terminal: another screen and no cursor, and back (xterm, DEC private
// modes 1049 and 25).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
)

// terminal is where the pictures are drawn.
type terminal struct {
	out  io.Writer
	file *os.File // nil: not a file
	live bool     // it is a terminal
}

// size returns the size of the terminal, and whether it is one.
func (t *terminal) size() (width, height int) {
	if t.file != nil {
		if w, h, ok := Size(t.file); ok {
			t.live = true
			return w, h
		}
	}
	return 80, 24
}

// Show draws what look returns once a second: n pictures, 0 for no limit, or until ctx
// ends. On a terminal each is drawn over the one before. The error is that of the output.
func Show(ctx context.Context, out io.Writer, look func() observe.View, n int) error {
	t := terminal{out: out}
	t.file, _ = out.(*os.File) // else it is no terminal
	width, height := t.size()
	view := View{Colour: t.live && os.Getenv("NO_COLOR") == ""}
	if t.live {
		fmt.Fprint(t.out, enterScreen)
		defer fmt.Fprint(t.out, leaveScreen)
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for i := 0; ; {
		if err := t.draw(view.Frame(look(), width, height-1)); err != nil {
			return err
		}
		if i++; i == n {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		width, height = t.size()
	}
}

// draw writes a picture over the one before.
func (t *terminal) draw(frame string) error {
	if t.live {
		frame = printable.Redraw(frame)
	}
	_, err := io.WriteString(t.out, frame)
	return err
}
