package servo

import "math"

// PredictionError measures how well the estimate predicts the phase over longer
// times. Again and again it keeps a prediction, as if a holdover began, and
// compares it with the estimate when its time is over. What the model does not
// know (flicker, temperature, ageing) shows, and so does a model that is too
// careful because it takes flicker for a random walk. It learns the ratio of the
// mean squared error to the model's own variance, at horizons of 4, 16, ... s.
type PredictionError struct {
	horizons [horizons]horizon
	factors  [horizons]float64 // by what was learned; for Factor, which is called some hundred times a second
	current  bool              // factors are
}

const (
	horizons         = 8  // 4, 16, ... 65536 s
	overlap          = 4  // predictions pending for each
	predictionMemory = 24 // predictions over which a ratio is learned
	// priorWeight is the weight, in independent predictions, of the model and of
	// shorter horizons where these are more careful. Overlapping predictions are not
	// independent: each has the weight independence.
	priorWeight  = 3
	independence = 0.35
	// relax multiplies a factor below 1 for each longer horizon without
	// predictions, up to 1.
	relax = 1.5
)

// horizon is what is learned over one time.
type horizon struct {
	sum, n  float64 // mean ratio, and the number of predictions behind it
	next    float64 // when the next prediction is due, s
	pending [overlap]pending
}

// pending is a prediction whose time is not over.
type pending struct {
	start, due  float64 // s
	phase, freq float64 // of the free oscillator, ns, ppb
	v           float64 // expected squared error, ns^2
}

// PredictionRatios is what a PredictionError learned, to be kept: for each
// horizon the ratio of the mean squared error to the variance that the model
// expected, and the number of predictions behind it.
type PredictionRatios [horizons]struct {
	Ratio float64 `json:"ratio"`
	N     float64 `json:"n"`
}

// importedMax is the largest weight, in predictions, of those of an earlier run.
const importedMax = 8

// Export returns what was learned.
func (f *PredictionError) Export() (n PredictionRatios) {
	for i := range f.horizons {
		n[i].Ratio, n[i].N = f.horizons[i].sum, f.horizons[i].n
	}
	return n
}

// Import takes what an earlier run learned; values out of range are ignored.
func (f *PredictionError) Import(n PredictionRatios) {
	f.current = false
	for i, x := range n {
		if x.N > 0 && x.Ratio >= 0 && x.Ratio < 1e9 {
			f.horizons[i].sum, f.horizons[i].n = x.Ratio, math.Min(x.N, importedMax)
		}
	}
}

// Reset drops pending predictions; what was learned stays.
func (f *PredictionError) Reset() {
	for i := range f.horizons {
		f.horizons[i].next = 0
		f.horizons[i].pending = [overlap]pending{}
	}
}

// Observe takes the estimate right after a measurement at t seconds from any
// origin. moved is the sum of all corrections and steps so far, ns, so that
// e.Phase - moved is the phase of the free-running oscillator.
func (f *PredictionError) Observe(t float64, e Estimate, moved float64) {
	free := e.Phase - moved
	f.current = false
	for i := range f.horizons {
		s := &f.horizons[i]
		tau := horizonSeconds(i)
		for j := range s.pending {
			p := &s.pending[j]
			if p.due == 0 || t < p.due {
				continue
			}
			// After a gap in the measurements it is too late to compare.
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

// Factor returns the factor by which the standard deviation of a prediction over
// t seconds is to be multiplied to match the observed errors. It rises after a
// few predictions, falls below 1 only after many at that horizon, and returns to
// 1 with longer horizons that were not observed.
func (f *PredictionError) Factor(t float64) float64 {
	if t <= 1 {
		return 1
	}
	f.learn()
	at := math.Log(t)/math.Ln2/2 - 1 // in horizons
	if at >= horizons-1 {
		return f.factors[horizons-1]
	}
	lo, i := 1.0, int(max(0, math.Ceil(at)))
	if i > 0 {
		lo = f.factors[i-1]
	}
	k := at - float64(i-1)
	return lo + (f.factors[i]-lo)*max(0, min(1, k))
}

// learn brings the factors of the horizons up to date.
func (f *PredictionError) learn() {
	if f.current {
		return
	}
	last := 1.0
	for i := range f.horizons {
		last = f.horizons[i].factor(last)
		f.factors[i] = last
	}
	f.current = true
}

// factor returns the factor of one horizon; last is that of the next shorter one.
func (s *horizon) factor(last float64) float64 {
	prior := last
	if last < 1 {
		prior = math.Min(1, last*relax)
	}
	switch {
	case s.n < 2:
		return prior
	case s.sum >= 1:
		// As if two more predictions had been as good as the model expects.
		return math.Sqrt((2 + s.sum*s.n) / (2 + s.n))
	}
	prior = math.Min(1, prior)
	n := s.n * independence
	return math.Sqrt((priorWeight*prior*prior + s.sum*n) / (priorWeight + n))
}
