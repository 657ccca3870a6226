package pps

import (
	"testing"
	"time"
)

func TestCableDelay(t *testing.T) {
	for _, c := range []struct {
		metres, factor float64
		want           time.Duration
	}{
		{0, 0.66, 0},
		{299792.458, 1, time.Millisecond},
		{20, SolidVelocity, 101}, // 5.05 ns a metre
		{10, 0.85, 39},
		{30.48, 0.66, 154}, // 100 feet: 1.54 ns a foot in the datasheets of RG-58
	} {
		if got := CableDelay(c.metres, c.factor); got != c.want {
			t.Errorf("%v m at %v: %v, want %v", c.metres, c.factor, got, c.want)
		}
	}
}
