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
	var e extremes
	for _, m := range averaging(len(phase)) {
		points = append(points, at(phase, tau0, m, &e))
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
func At(phase []float64, tau0 float64, m int) Point { return at(phase, tau0, m, new(extremes)) }

func at(phase []float64, tau0 float64, m int, e *extremes) Point {
	p := Point{Tau: float64(m) * tau0, M: m, ADEV: math.NaN(), MDEV: math.NaN(), TDEV: math.NaN(), MTIE: e.mtie(phase, m)}
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

// extremes are the candidates for the extremes of a window, by index: the values fall (rise) along
// the queue, so the first one is the extreme. Its memory is used again.
type extremes struct{ high, low queue }

// queue is a list of indices that is added to and removed from at its end, and removed from at its
// beginning.
type queue struct {
	list []int32 // MaxData fits
	head int     // of list: what is before was removed
}

func (q *queue) empty() bool { return q.head == len(q.list) }
func (q *queue) first() int  { return int(q.list[q.head]) }
func (q *queue) last() int   { return int(q.list[len(q.list)-1]) }
func (q *queue) dropLast()   { q.list = q.list[:len(q.list)-1] }
func (q *queue) dropFirst()  { q.head++ }
func (q *queue) reset()      { q.list, q.head = q.list[:0], 0 }

// add adds an index. Where the memory is full, that of a half or more that was removed is used again.
func (q *queue) add(i int) {
	if len(q.list) == cap(q.list) && q.head >= (len(q.list)+1)/2 {
		q.list, q.head = q.list[:copy(q.list, q.list[q.head:])], 0
	}
	q.list = append(q.list, int32(i))
}

// mtie is the largest difference of two data within m steps of each other, NaN if
// there are no two.
func (e *extremes) mtie(phase []float64, m int) float64 {
	largest := math.NaN()
	high, low := &e.high, &e.low
	high.reset()
	low.reset()
	for i, x := range phase {
		if math.IsNaN(x) {
			continue
		}
		for !high.empty() && phase[high.last()] <= x {
			high.dropLast()
		}
		for !low.empty() && phase[low.last()] >= x {
			low.dropLast()
		}
		high.add(i)
		low.add(i)
		for high.first() < i-m {
			high.dropFirst()
		}
		for low.first() < i-m {
			low.dropFirst()
		}
		if high.first() == i && low.first() == i && !neighbour(phase, i, m) {
			continue // alone in its window
		}
		if d := phase[high.first()] - phase[low.first()]; !(d <= largest) {
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
