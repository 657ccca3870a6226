package printable

import "strings"

// Escapes of a terminal (ECMA-48).
const (
	home       = "\x1b[H"
	eraseLine  = "\x1b[K" // from the cursor to its end
	eraseBelow = "\x1b[J"
)

// Redraw returns what draws a text over the one before on a terminal, without flicker: it
// begins at the top, and erases what was there behind each line and below the last one.
func Redraw(text string) string {
	return home + strings.ReplaceAll(text, "\n", eraseLine+"\n") + eraseBelow
}
