package integrity

import (
	"noonmark/phc/tai"
	"noonmark/refclock/reading"
)

// Weights of labels with a fraction: an inconsistent one outweighs ten that are
// consistent, and after two in short succession they are refused.
const (
	fractionAgainst = 10
	fractionRefused = 2 * fractionAgainst
	fractionMost    = 6 * fractionAgainst
)

// fractions checks whether labels that name no whole second tell by arithmetic
// which second a pulse began: from pulse to pulse it must go on by the seconds that
// passed.
type fractions struct {
	pulse   int64    // CLOCK_MONOTONIC_RAW, ns, of the pulse before the last label; 0: none
	second  tai.Time // that it began, by that label
	against int
}

// usable takes the label of a valid message, and reports whether it may be used.
func (f *fractions) usable(label tai.Time, in *reading.Clocks) bool {
	second, since, ok := in.Second(label)
	if label%tai.Second == 0 || !ok {
		return true
	}
	pulse := in.Mono - int64(since)
	gone := (tai.Time(pulse-f.pulse) + tai.Second/2).Floor()
	switch {
	case f.pulse == 0 || gone == 0:
	case second-f.second != gone:
		f.against = min(f.against+fractionAgainst, fractionMost)
	case f.against > 0:
		f.against--
	}
	f.pulse, f.second = pulse, second
	return f.against < fractionRefused
}
