package servo

import "math"

// PredictionError measures how well the estimate foretells the phase over longer
// times: now and then it notes the prediction, as if a holdover began, and
// compares it with the estimate when the time has passed. Whatever the model
// does not know (flicker, temperature, ageing) shows there, and so does a model
// that is too careful: one that takes flicker for a random walk. It holds the
// mean squared error against the model's own variance, at times of four-fold
// steps.
type PredictionError struct {
	horizons [horizons]horizon
}

const (
	horizons         = 8 // 4, 16, ... 65536 s
	overlap          = 4 // predictions under way for each
	predictionMemory = 24
	// tighten is how many independent predictions the word of model and shorter
	// times counts for where it is the more careful; overlapping ones are not
	// independent, each counts for independent.
	priorWeight  = 3
	independence = 0.35
	// unseen is by how much the factor goes back to the model's word with each
	// longer time.
	relax = 1.5
)

type horizon struct {
	sum, n  float64
	next    float64 // when the next prediction is due, s
	pending [overlap]pending
}

type pending struct {
	start, due  float64 // s
	phase, freq float64 // of the free oscillator, ns, ppb
	v           float64 // expected squared error, ns^2
}

// PredictionRatios is what a Foresight learned, to be kept: for each time the mean squared
// error over what the model expected, and how many predictions are behind it.
type PredictionRatios [horizons]struct {
	Ratio float64 `json:"ratio"`
	N     float64 `json:"n"`
}

// noted is how many predictions those of an earlier run count for at most.
const importedMax = 8

// Export returns what was learned.
func (f *PredictionError) Export() (n PredictionRatios) {
	for i := range f.horizons {
		n[i].Ratio, n[i].N = f.horizons[i].sum, f.horizons[i].n
	}
	return n
}

// Import takes what an earlier run noted; what makes no sense is left out.
func (f *PredictionError) Import(n PredictionRatios) {
	for i, x := range n {
		if x.N > 0 && x.Ratio >= 0 && x.Ratio < 1e9 {
			f.horizons[i].sum, f.horizons[i].n = x.Ratio, math.Min(x.N, importedMax)
		}
	}
}

// Reset drops the predictions under way; what they taught stays.
func (f *PredictionError) Reset() {
	for i := range f.horizons {
		f.horizons[i].next = 0
		f.horizons[i].pending = [overlap]pending{}
	}
}

// Observe takes the estimate right after a measurement at t seconds of any count
// that goes on; moved is the sum of all corrections and steps so far, ns, so
// that e.Phase - moved is the oscillator running free.
func (f *PredictionError) Observe(t float64, e Estimate, moved float64) {
	free := e.Phase - moved
	for i := range f.horizons {
		s := &f.horizons[i]
		tau := horizonSeconds(i)
		for j := range s.pending {
			p := &s.pending[j]
			if p.due == 0 || t < p.due {
				continue
			}
			// A gap in the measurements makes it late; then it tells nothing.
			if t < p.due+tau/4+1.5 && p.v > 0 {
				d := free - p.phase - p.freq*(t-p.start)
				q := d * d / (p.v + e.P11)
				k := math.Min(s.n+1, predictionMemory)
				s.sum += (q - s.sum) / k
				s.n = k
			}
			*p = pending{}
		}
		if t < s.next {
			continue
		}
		for j := range s.pending {
			if s.pending[j].due == 0 {
				s.pending[j] = pending{due: t + tau, start: t, phase: free, freq: e.Freq, v: e.Var(tau)}
				s.next = t + tau/overlap
				break
			}
		}
	}
}

func horizonSeconds(i int) float64 { return math.Pow(4, float64(i+1)) }

// Factor returns by how much the standard deviation of a prediction over t
// seconds is to be multiplied to match what was seen. It rises after a few
// predictions, falls below 1 only with much evidence at that time, and from
// there goes back to 1 with times of which nothing was seen.
func (f *PredictionError) Factor(t float64) float64 {
	if t <= 1 {
		return 1
	}
	at := math.Log(t)/math.Log(4) - 1 // in scales
	lo, last := 1.0, 1.0
	for i := range f.horizons {
		v := f.horizons[i].factor(last)
		if at <= float64(i) {
			k := at - float64(i-1)
			return lo + (v-lo)*math.Max(0, math.Min(1, k))
		}
		lo, last = v, v
	}
	return last
}

// factor is the factor of one scale; last is that of the one before.
func (s *horizon) factor(last float64) float64 {
	prior := last
	if last < 1 {
		prior = math.Min(1, last*relax)
	}
	switch {
	case s.n < 2:
		return prior
	case s.sum >= 1:
		// Two predictions that came true as the model has it are counted in.
		return math.Sqrt((2 + s.sum*s.n) / (2 + s.n))
	}
	prior = math.Min(1, prior)
	n := s.n * independence
	return math.Sqrt((priorWeight*prior*prior + s.sum*n) / (priorWeight + n))
}
