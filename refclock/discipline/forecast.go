package discipline

import "math"

// Forecast is the bound as it will be published if no pulse comes any more and the
// clock goes on being corrected: the bound's own model, carried ahead. It assumes that
// the temperature stays as it is, and that a sensor goes on being read. BoundRate is
// for a clock that nobody corrects any more, and a straight line, so it is reached
// much earlier.
type Forecast struct {
	Mono    int64                   // CLOCK_MONOTONIC_RAW (ns) at which it was made; 0: there is none
	Bound   [forecastPoints]float64 // ns, ForecastAt(i) after Mono
	LimitIn float64                 // s from Mono until the bound is beyond Floor + Limit, 0: it is already; +Inf: not within a year
}

const (
	forecastPoints = 18
	forecastEvery  = 5e9         // ns: it changes slowly, and takes as long as 40 bounds
	forecastEnd    = 366 * 86400 // s
)

// ForecastAt returns how long after a forecast its point i lies, s: 10 s, and twice as
// much from point to point, up to two weeks.
func ForecastAt(i int) float64 { return 10 * float64(uint64(1)<<i) }

// forecast brings the forecast in s, whose bound is that at mono, up to mono.
func (b *errorBound) forecast(s *Status, e *estimate, cfg *Config, mono int64) {
	if f := &s.Forecast; f.Mono != 0 && b.forecastOf == s.State && mono >= f.Mono && mono-f.Mono < forecastEvery {
		return
	}
	b.forecastOf = s.State
	bound := func(t float64) float64 {
		return math.Max(b.corrected(e, cfg, mono, t), b.floor)
	}
	f := &s.Forecast
	f.Mono, f.LimitIn = mono, math.Inf(1)
	for i := range f.Bound {
		f.Bound[i] = bound(ForecastAt(i))
	}
	limit := s.Floor + float64(cfg.Limit)
	if s.Bound > limit {
		f.LimitIn = 0
	} else {
		for lo, hi := 0.0, 1.0; hi < forecastEnd; lo, hi = hi, hi*1.5 {
			if bound(hi) <= limit {
				continue
			}
			for range 10 { // to a thousandth of the step
				if m := (lo + hi) / 2; bound(m) > limit {
					hi = m
				} else {
					lo = m
				}
			}
			f.LimitIn = hi
			break
		}
	}
}
