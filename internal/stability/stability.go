// Package stability computes measures of frequency and time stability of phase data:
// ADEV, MDEV, TDEV and MTIE, with the masks of ITU-T G.8272, and writes phase data
// for other programs. Definitions: NIST Special Publication 1065 (Riley, 2008),
// section 5, and ITU-T G.810, appendix II.
package stability

import (
	"errors"
	"fmt"
	"math"
)

// Point is the stability at one averaging time. A measure that the data are too
// short for is NaN.
type Point struct {
	Tau   float64 // s
	M     int     // Tau in units of the distance of the data
	Terms int     // squares that ADEV is the mean of: with few of them it means little
	ADEV  float64 // overlapping Allan deviation, dimensionless (1e-9 is 1 ppb)
	MDEV  float64 // modified Allan deviation, likewise
	TDEV  float64 // time deviation, ns
	MTIE  float64 // maximum time interval error, ns: peak to peak in a window of Tau
}

// MaxData is the number of phase data that are accepted: 31 days of seconds.
const MaxData = 31 * 86400

// Errors of Compute.
var (
	ErrTooFew  = errors.New("too few phase data")
	ErrTooMany = errors.New("too many phase data")
)

// Compute returns the stability of phase data, ns, one each tau0 seconds, at the
// averaging times 1, 2, 4, 10, 20, 40, ... times tau0 up to a third of the data. NaN
// is a gap: a term that needs it is left out.
func Compute(phase []float64, tau0 float64) ([]Point, error) {
	if tau0 <= 0 || math.IsNaN(tau0) {
		return nil, fmt.Errorf("distance of phase data is %v s; want more than 0", tau0)
	}
	known := 0
	for _, x := range phase {
		if !math.IsNaN(x) {
			known++
		}
	}
	switch {
	case known < 3:
		return nil, fmt.Errorf("%w: %d; want 3", ErrTooFew, known)
	case len(phase) > MaxData:
		return nil, fmt.Errorf("%w: %d; want at most %d", ErrTooMany, len(phase), MaxData)
	}
	var points []Point
	for _, m := range averaging(len(phase)) {
		points = append(points, At(phase, tau0, m))
	}
	return points, nil
}

// averaging returns the averaging factors for n data.
func averaging(n int) (all []int) {
	for decade := 1; ; decade *= 10 {
		for _, f := range [...]int{1, 2, 4} {
			m := f * decade
			if 3*m > n-1 && len(all) > 0 {
				return all
			}
			all = append(all, m)
		}
	}
}

// At returns the stability at one averaging factor m, at least 1.
func At(phase []float64, tau0 float64, m int) Point {
	p := Point{Tau: float64(m) * tau0, M: m, ADEV: math.NaN(), MDEV: math.NaN(), TDEV: math.NaN(), MTIE: mtie(phase, m)}
	var squares float64
	var w window
	var modified float64
	var windows int
	for i := 0; i+2*m < len(phase); i++ {
		d := phase[i+2*m] - 2*phase[i+m] + phase[i]
		if !math.IsNaN(d) {
			squares += d * d
			p.Terms++
		}
		// MDEV takes the mean of m second differences in a row, all of them known.
		w.add(d)
		if i >= m {
			j := i - m
			w.remove(phase[j+2*m] - 2*phase[j+m] + phase[j])
		}
		if i >= m-1 && w.gaps == 0 {
			s := w.sum / float64(m)
			modified += s * s
			windows++
		}
	}
	const ns = 1e-9
	if p.Terms > 0 {
		p.ADEV = ns * math.Sqrt(squares/(2*float64(p.Terms))) / p.Tau
	}
	if windows > 0 {
		p.MDEV = ns * math.Sqrt(modified/(2*float64(windows))) / p.Tau
		p.TDEV = p.Tau / math.Sqrt(3) * p.MDEV / ns
	}
	return p
}

// window is the sum of a window that moves over values, and the number of gaps in
// it. Its rounding errors are added up apart (Kahan), because it may move a million
// times.
type window struct {
	sum, rest float64
	gaps      int
}

func (w *window) add(v float64) {
	if math.IsNaN(v) {
		w.gaps++
		return
	}
	w.change(v)
}

func (w *window) remove(v float64) {
	if math.IsNaN(v) {
		w.gaps--
		return
	}
	w.change(-v)
}

func (w *window) change(v float64) {
	y := v - w.rest
	t := w.sum + y
	w.rest = t - w.sum - y
	w.sum = t
}

// mtie is the largest difference of two data within m steps of each other, NaN if
// there are no two.
func mtie(phase []float64, m int) float64 {
	largest := math.NaN()
	// The candidates for the extremes of the window, by index: the values fall (rise)
	// along the list, so the first one is the extreme.
	var high, low []int
	for i, x := range phase {
		if math.IsNaN(x) {
			continue
		}
		for len(high) > 0 && phase[high[len(high)-1]] <= x {
			high = high[:len(high)-1]
		}
		for len(low) > 0 && phase[low[len(low)-1]] >= x {
			low = low[:len(low)-1]
		}
		high, low = append(high, i), append(low, i)
		for high[0] < i-m {
			high = high[1:]
		}
		for low[0] < i-m {
			low = low[1:]
		}
		if high[0] == low[0] && len(high) == 1 && len(low) == 1 && !neighbour(phase, i, m) {
			continue // alone in its window
		}
		if d := phase[high[0]] - phase[low[0]]; !(d <= largest) {
			largest = d
		}
	}
	return largest
}

// neighbour reports whether there is another datum in the window that ends at i.
func neighbour(phase []float64, i, m int) bool {
	for j := max(0, i-m); j < i; j++ {
		if !math.IsNaN(phase[j]) {
			return true
		}
	}
	return false
}
