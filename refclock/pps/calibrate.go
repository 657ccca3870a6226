package pps

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// Calibration compares two stamps of the same pulses: the kernel's, by
// CLOCK_REALTIME, and a card's external timestamps. The result is by how much the
// kernel's are later, the value of pulse.bias. Stamps and readings may be added in
// any order.
type Calibration struct {
	kernel  []int64    // CLOCK_REALTIME at the pulse, ns
	card    []tai.Time // card's clock at the pulse
	crosses []phc.Cross
}

// Kernel takes a kernel stamp, ns since the POSIX epoch.
func (c *Calibration) Kernel(stamp int64) { c.kernel = append(c.kernel, stamp) }

// Card takes an external timestamp.
func (c *Calibration) Card(stamp tai.Time) { c.card = append(c.card, stamp) }

// Cross takes a reading of both clocks. A few a second are needed, before and after
// each pulse.
func (c *Calibration) Cross(x phc.Cross) { c.crosses = append(c.crosses, x) }

// Bias is the result of a calibration. Durations: + = the kernel is late.
type Bias struct {
	Pairs     int
	Median    time.Duration
	Spread    time.Duration // standard deviation, from the median absolute deviation
	Low, High time.Duration // 95 % confidence interval of the median
	Read      time.Duration // half the width of the readings of both clocks, which the interval does not contain
	Drift     time.Duration // median of the second half minus that of the first
	Unpaired  int           // stamps of either side without a partner
}

// Errors of Bias.
var (
	ErrFewPairs  = errors.New("too few pulses have both stamps")
	ErrUncertain = errors.New("uncertain")
)

const (
	calMinPairs   = 20
	calMaxGap     = int64(time.Second)     // ns between readings, over which the clocks are interpolated
	calMaxRate    = 1e-3                   // no two clocks of one machine differ by more
	calMaxPartner = 400 * time.Millisecond // stamps farther apart are not of one pulse
	calMaxBias    = 10 * time.Millisecond  // no interrupt is so late: it is the other edge
	calGood       = 200 * time.Nanosecond  // half an interval that is narrow enough for any bias
	calGoodPart   = 0.1                    // or this fraction of the bias
)

// at carries a stamp of CLOCK_REALTIME to the card's clock, between two readings of
// both. width is that of the wider reading.
func (c *Calibration) at(real int64) (t tai.Time, width time.Duration, ok bool) {
	i := sort.Search(len(c.crosses), func(i int) bool { return c.crosses[i].Real > real })
	if i == 0 || i == len(c.crosses) {
		return 0, 0, false
	}
	a, b := c.crosses[i-1], c.crosses[i]
	dr, dc := b.Real-a.Real, int64(b.Clock-a.Clock)
	if dr <= 0 || dr > calMaxGap || math.Abs(float64(dc-dr)) > calMaxRate*float64(dr)+float64(a.Width+b.Width) {
		return 0, 0, false // one of them was stepped
	}
	part := float64(real-a.Real) / float64(dr)
	return a.Clock + tai.Time(real-a.Real) + tai.Time(math.Round(part*float64(dc-dr))), max(a.Width, b.Width), true
}

// Bias pairs the stamps and estimates the bias. With ErrFewPairs and ErrUncertain
// the result still describes the measurement.
func (c *Calibration) Bias() (Bias, error) {
	late, widths := c.pair()
	used := len(late)
	b := Bias{Pairs: used, Unpaired: len(c.kernel) - used + max(0, len(c.card)-used)}
	if used < calMinPairs {
		return b, fmt.Errorf("%w: %d of at least %d (%d stamps of the kernel, %d of the card)", ErrFewPairs, used, calMinPairs, len(c.kernel), len(c.card))
	}
	ns := func(f float64) time.Duration { return time.Duration(math.Round(f)) }
	first, second := median(late[:used/2]), median(late[used/2:])
	sorted := slices.Sorted(slices.Values(late))
	mid := median(sorted)
	dev := make([]float64, used)
	for i, x := range late {
		dev[i] = math.Abs(x - mid)
	}
	// The median lies between these ranks with 95 %: the number of values below it
	// is binomial.
	half := 0.98 * math.Sqrt(float64(used))
	lo, hi := int(math.Floor(float64(used)/2-half)), int(math.Ceil(float64(used)/2+half))
	b.Median, b.Spread = ns(mid), ns(1.4826*median(dev))
	b.Low, b.High = ns(sorted[max(lo, 0)]), ns(sorted[min(hi, used-1)])
	b.Read, b.Drift = ns(median(widths)/2), ns(second-first)
	good := max(float64(calGood), calGoodPart*math.Abs(mid))
	switch {
	case b.Median.Abs() > calMaxBias:
		return b, fmt.Errorf("%w: the kernel's stamp is %v off, as much as a pulse is wide: one of the two stamps is the other edge", ErrUncertain, b.Median)
	case float64(b.High-b.Low)/2 > good:
		return b, fmt.Errorf("%w: the stamps scatter by %v, so the median is known to %v only; measure more pulses, on an idle machine", ErrUncertain, b.Spread, (b.High-b.Low)/2)
	case math.Abs(second-first) > 2*good:
		return b, fmt.Errorf("%w: the second half of the pulses is later than the first by %v; something changed meanwhile (load, frequency of the processor)", ErrUncertain, b.Drift)
	case float64(b.Read) > max(5*float64(calGood), math.Abs(mid)/2):
		return b, fmt.Errorf("%w: the card is read within %v, which is too wide for a bias of %v", ErrUncertain, 2*b.Read, b.Median)
	}
	return b, nil
}

// pair returns, in the order of time, by how much the kernel's stamp of each pulse
// is later than the card's, ns, and the width of the readings.
func (c *Calibration) pair() (late, widths []float64) {
	slices.SortFunc(c.crosses, func(a, b phc.Cross) int { return int(min(max(a.Real-b.Real, -1), 1)) })
	slices.Sort(c.kernel)
	slices.Sort(c.card)
	for _, k := range c.kernel {
		t, w, ok := c.at(k)
		if !ok {
			continue
		}
		i := sort.Search(len(c.card), func(i int) bool { return c.card[i] >= t })
		best := time.Duration(math.MaxInt64)
		for _, j := range [...]int{i - 1, i} {
			if j >= 0 && j < len(c.card) {
				if d := t.Sub(c.card[j]); d.Abs() < best.Abs() {
					best = d
				}
			}
		}
		if best.Abs() < calMaxPartner {
			late = append(late, float64(best))
			widths = append(widths, float64(w))
		}
	}
	return late, widths
}

// median returns the median of values in any order.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return 0
	}
	return (s[(n-1)/2] + s[n/2]) / 2
}
