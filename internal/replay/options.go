package replay

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ParseSpans reads seconds without pulses: "A-B,...".
func ParseSpans(s string) ([]Span, error) {
	var all []Span
	for _, x := range strings.Split(s, ",") {
		a, b, ok := strings.Cut(x, "-")
		from, ok1 := seconds(a)
		to, ok2 := seconds(b)
		if !ok || !ok1 || !ok2 || to <= from {
			return nil, fmt.Errorf("%q is no span of seconds; want FROM-TO, such as 60-90", x)
		}
		all = append(all, Span{from, to})
	}
	return all, nil
}

// ParseShifts reads displacements of the pulses: "AT:FOR:NS,...", seconds,
// seconds and ns.
func ParseShifts(s string) ([]Shift, error) {
	var all []Shift
	for _, x := range strings.Split(s, ",") {
		f := strings.Split(x, ":")
		if len(f) != 3 {
			return nil, fmt.Errorf("%q is no shift; want AT:FOR:NS, such as 60:30:5000", x)
		}
		at, ok1 := seconds(f[0])
		span, ok2 := seconds(f[1])
		ns, err := strconv.ParseFloat(f[2], 64)
		if !ok1 || !ok2 || err != nil || span <= 0 || !(math.Abs(ns) < 1e9) {
			return nil, fmt.Errorf("%q is no shift; want AT:FOR:NS, such as 60:30:5000, of less than 1 s", x)
		}
		all = append(all, Shift{at, span, ns})
	}
	return all, nil
}
