package sim

import (
	"bytes"
	"testing"
)

// Only the rate at which it was sent gives what was sent.
func TestCarry(t *testing.T) {
	t.Parallel()
	sent := []byte("$GPZDA,120000.00,23,11,2026,00,00*6A\r\n")
	rates := []int{4800, 9600, 19200, 38400, 57600, 115200}
	for _, from := range rates {
		for _, to := range rates {
			got := carry(sent, from, to)
			if same := bytes.Equal(got, sent); same != (from == to) {
				t.Errorf("sent at %d, read at %d: %q", from, to, got)
			}
			if most := len(sent) * max(1, to/from) * 2; len(got) > most {
				t.Errorf("sent at %d, read at %d: %d octets of %d", from, to, len(got), len(sent))
			}
		}
	}
	// At half the rate, two bits of a 'U' (0x55, alternating) are one.
	if got := carry([]byte("UUUU"), 9600, 9600); string(got) != "UUUU" {
		t.Errorf("same rate: %q", got)
	}
	if got := carry(nil, 9600, 4800); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}
