package printable

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode"
)

func TestEscapesAreQuoted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"\x1b[2J\x1b]0;title\a": `\u001b[2J\u001b]0;title\u0007`,
		"\r\x00\x7f":            `\u000d\u0000\u007f`,
		"\u009b31m":             `\u009b31m`,   // a control sequence introducer in one character
		"\x9b31m\xff":           `\x9b31m\xff`, // not UTF-8
		"\U000E0001":            `\udb40\udc01`,
		"a\u202eb":              `a\u202eb`, // right to left
		"a\n\tb ± 3 µs \uFFFD":  "a\n\tb ± 3 µs \uFFFD",
	} {
		var b strings.Builder
		if n, err := fmt.Fprint(Writer{&b}, in); err != nil || n != len(in) || b.String() != want || Text(in) != want {
			t.Errorf("%q: %q, %d, %v; want %q", in, b.String(), n, err, want)
		}
	}
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	if _, err := (Writer{closed}).Write([]byte("x")); !errors.Is(err, os.ErrClosed) {
		t.Errorf("a closed file: %v", err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("\x1b\u009b\xff\uFFFD")
	f.Fuzz(func(t *testing.T, s string) {
		for _, r := range Text(s) {
			if r != '\n' && r != '\t' && !unicode.IsPrint(r) && r != '\uFFFD' {
				t.Errorf("%q has %q", Text(s), r)
			}
		}
	})
}
