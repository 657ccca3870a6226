package top

import (
	"os"

	"golang.org/x/sys/unix"
)

// Size returns the width and height of a terminal; ok is false if f is none.
func Size(f *os.File) (width, height int, ok bool) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || w.Col == 0 || w.Row == 0 {
		return 0, 0, false
	}
	return int(w.Col), int(w.Row), true
}
