// Package printable protects terminals from texts of other programs: names in
// certificates, and texts in a snapshot, may contain escape sequences.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with escapes in place of all that is not printable, except the end
// of a line and the tabulator. The escapes are those of JSON, so that JSON stays
// valid, and \x for octets that are not UTF-8, which JSON does not have.
func Text(s string) string {
	var b strings.Builder
	for i, r := range s {
		n := utf8.RuneLen(r)
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n', r == '\t', unicode.IsPrint(r):
			b.WriteString(s[i : i+n])
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// Writer writes what is printable to another writer, as Text returns it. Each Write
// has whole characters.
type Writer struct{ To io.Writer }

// Write implements io.Writer.
func (w Writer) Write(b []byte) (int, error) {
	if _, err := io.WriteString(w.To, Text(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}
