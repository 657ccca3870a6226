package main

import "testing"

func TestFragment(t *testing.T) {
	answer := func(flags byte, offset byte, text string) []byte {
		return append([]byte{2<<3 | 6, flags, 0, 1, 0, 0, 0, 0, 0, offset, 0, byte(len(text))}, text...)
	}
	for _, c := range []struct {
		name string
		b    []byte
		from int
		text string
		more bool
		bad  bool
	}{
		{"short", make([]byte, 11), 0, "", false, true},
		{"mode 4", append([]byte{4<<3 | 4, 0x82}, make([]byte, 46)...), 0, "", false, true},
		{"a request", answer(0x02, 0, ""), 0, "", false, true},
		{"an error", answer(0xc2, 0, ""), 0, "", false, true},
		{"cut off", answer(0x82, 0, "leap=1")[:15], 0, "", false, true},
		{"a gap", answer(0x82, 9, "leap=1"), 0, "", false, true},
		{"the first", answer(0xa2, 0, "leap=1, "), 0, "leap=1, ", true, false},
		{"the last", answer(0x82, 8, "tai=37"), 8, "tai=37", false, false},
	} {
		text, more, err := fragment(c.b, c.from)
		if string(text) != c.text || more != c.more || (err != nil) != c.bad {
			t.Errorf("%s: %q, %v, %v", c.name, text, more, err)
		}
	}
}
