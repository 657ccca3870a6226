package printable

import "testing"

func TestAShorterTextLeavesNothingOfTheOneBefore(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"": "\x1b[H\x1b[J", "a\n\nb\n": "\x1b[Ha\x1b[K\n\x1b[K\nb\x1b[K\n\x1b[J", "a\nb": "\x1b[Ha\x1b[K\nb\x1b[J"} {
		if got := Redraw(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
