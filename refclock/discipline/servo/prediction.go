package servo

import "math"

// Foresight measures how well the estimate foretells the phase over longer
// times: now and then it notes the prediction, as if a holdover began, and
// compares it with the estimate when the time has passed. Whatever the model
// does not know (flicker, temperature, ageing) shows there, and so does a model
// that is too careful: one that takes flicker for a random walk. It holds the
// mean squared error against the model's own variance, at times of four-fold
// steps.
type Foresight struct {
	s [scales]scale
}

const (
	scales     = 8 // 4, 16, ... 65536 s
	overlap    = 4 // predictions under way for each
	foreMemory = 24
	// tighten is how many independent predictions the word of model and shorter
	// times counts for where it is the more careful; overlapping ones are not
	// independent, each counts for independent.
	tighten     = 3
	independent = 0.35
	// unseen is by how much the factor goes back to the model's word with each
	// longer time.
	unseen = 1.5
)

type scale struct {
	sum, n float64
	next   float64 // when the next prediction is due, s
	p      [overlap]prediction
}

type prediction struct {
	start, due  float64 // s
	phase, freq float64 // of the free oscillator, ns, ppb
	v           float64 // expected squared error, ns^2
}

// Foreseen is what a Foresight learned, to be kept: for each time the mean squared
// error over what the model expected, and how many predictions are behind it.
type Foreseen [scales]struct {
	Ratio float64 `json:"ratio"`
	N     float64 `json:"n"`
}

// noted is how many predictions those of an earlier run count for at most.
const noted = 8

// Notes returns what was learned.
func (f *Foresight) Notes() (n Foreseen) {
	for i := range f.s {
		n[i].Ratio, n[i].N = f.s[i].sum, f.s[i].n
	}
	return n
}

// Learn takes what an earlier run noted; what makes no sense is left out.
func (f *Foresight) Learn(n Foreseen) {
	for i, x := range n {
		if x.N > 0 && x.Ratio >= 0 && x.Ratio < 1e9 {
			f.s[i].sum, f.s[i].n = x.Ratio, math.Min(x.N, noted)
		}
	}
}

// Reset drops the predictions under way; what they taught stays.
func (f *Foresight) Reset() {
	for i := range f.s {
		f.s[i].next = 0
		f.s[i].p = [overlap]prediction{}
	}
}

// See takes the estimate right after a measurement at t seconds of any count
// that goes on; moved is the sum of all corrections and steps so far, ns, so
// that e.Phase - moved is the oscillator running free.
func (f *Foresight) See(t float64, e Estimate, moved float64) {
	free := e.Phase - moved
	for i := range f.s {
		s := &f.s[i]
		tau := span(i)
		for j := range s.p {
			p := &s.p[j]
			if p.due == 0 || t < p.due {
				continue
			}
			// A gap in the measurements makes it late; then it tells nothing.
			if t < p.due+tau/4+1.5 && p.v > 0 {
				d := free - p.phase - p.freq*(t-p.start)
				q := d * d / (p.v + e.P11)
				k := math.Min(s.n+1, foreMemory)
				s.sum += (q - s.sum) / k
				s.n = k
			}
			*p = prediction{}
		}
		if t < s.next {
			continue
		}
		for j := range s.p {
			if s.p[j].due == 0 {
				s.p[j] = prediction{due: t + tau, start: t, phase: free, freq: e.Freq, v: e.Var(tau)}
				s.next = t + tau/overlap
				break
			}
		}
	}
}

func span(i int) float64 { return math.Pow(4, float64(i+1)) }

// Factor returns by how much the standard deviation of a prediction over t
// seconds is to be multiplied to match what was seen. It rises after a few
// predictions, falls below 1 only with much evidence at that time, and from
// there goes back to 1 with times of which nothing was seen.
func (f *Foresight) Factor(t float64) float64 {
	if t <= 1 {
		return 1
	}
	at := math.Log(t)/math.Log(4) - 1 // in scales
	lo, last := 1.0, 1.0
	for i := range f.s {
		v := f.s[i].factor(last)
		if at <= float64(i) {
			k := at - float64(i-1)
			return lo + (v-lo)*math.Max(0, math.Min(1, k))
		}
		lo, last = v, v
	}
	return last
}

// factor is the factor of one scale; last is that of the one before.
func (s *scale) factor(last float64) float64 {
	prior := last
	if last < 1 {
		prior = math.Min(1, last*unseen)
	}
	switch {
	case s.n < 2:
		return prior
	case s.sum >= 1:
		// Two predictions that came true as the model has it are counted in.
		return math.Sqrt((2 + s.sum*s.n) / (2 + s.n))
	}
	prior = math.Min(1, prior)
	n := s.n * independent
	return math.Sqrt((tighten*prior*prior + s.sum*n) / (tighten + n))
}
