package sim

import (
	"math"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// The bound goes the way that was forecast: at each point of the forecast, and when it
// reaches the limit. In holdover a forecast may err by 3 %. Before the pulses stop it
// may err by a half: the last of them are doubted then, so the bound is that of an
// older estimate.
func TestTheBoundGoesAsForecast(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("one goroutine and long: nothing for the race detector")
	}
	const before, in = 1.5, 1.03 // largest ratio of what came to what was forecast, or of the reverse
	for _, c := range []struct {
		scenario string
		limit    time.Duration
		out      time.Duration // when the pulses stop
		learned  bool          // the temperature coefficient is known by then
	}{
		{"timehat-f9t", 3 * time.Microsecond, 40 * time.Minute, false}, {"timehat-f9t", 100 * time.Microsecond, 40 * time.Minute, false},
		{"cm4-f9t", 100 * time.Microsecond, 40 * time.Minute, false},
		{"temperature", 100 * time.Microsecond, 40 * time.Minute, false}, {"temperature", 100 * time.Microsecond, 6 * time.Hour, true},
	} {
		t.Run(c.scenario+" "+c.limit.String()+" "+c.out.String(), func(t *testing.T) {
			t.Parallel()
			s, err := Find(c.scenario)
			if err != nil {
				t.Fatal(err)
			}
			s.Config.Pulse.Faults = []Fault{{Kind: NoPulse, At: c.out, For: 48 * time.Hour}}
			s.Engine.Discipline.Limit = c.limit
			l, err := s.Loop(1)
			if err != nil {
				t.Fatal(err)
			}
			// made are forecasts: the last one before the pulses stop, then one a
			// power of two of seconds later.
			var made []discipline.Forecast
			var came []float64 // bound by second since the pulses stopped
			reached, start := int64(0), int64(0)
			l.RowsWhile(40*time.Hour, func(r Row) bool {
				st := l.Status()
				since := r.T - c.out.Seconds()
				if since < 0 {
					if since > -15 {
						made = []discipline.Forecast{st.Forecast}
					}
					return true
				}
				if start == 0 {
					start = st.Mono
				}
				came = append(came, st.Bound)
				if n := int(since); n >= 32 && n&(n-1) == 0 && st.State == status.Holdover {
					made = append(made, st.Forecast)
				}
				if st.Bound > st.Floor+float64(c.limit) {
					reached = st.Mono
				}
				return reached == 0 && st.State != status.Unlocked
			})
			if reached == 0 || len(made) < 4 {
				t.Fatalf("after %d s: %v, bound %.0f ns, %d forecasts", len(came), l.Snap.State, l.Status().Bound, len(made))
			}
			if learned := l.Status().TempPPB != 0; learned != c.learned {
				t.Errorf("the temperature coefficient is known: %v, want %v", learned, c.learned)
			}
			for _, f := range made {
				after := float64(f.Mono-start) * 1e-9
				what := "limit"
				check := func(got, want float64) {
					most := in
					if after < 0 {
						most = before
					}
					if ratio := got / want; !(ratio >= 1/most && ratio <= most) {
						t.Errorf("forecast of %+.0f s: %s: came %.0f, forecast %.0f: ratio %.3f", after, what, got, want, ratio)
					}
				}
				took := float64(reached-f.Mono) * 1e-9
				t.Logf("forecast of %+.0f s: limit in %.0f s, came in %.0f s", after, f.LimitIn, took)
				if took > 40 { // it is made and looked at to the second
					check(took, f.LimitIn)
				}
				for i, b := range f.Bound {
					k := int(math.Round(after + discipline.ForecastAt(i)))
					if k < 30 || k >= len(came) { // until then it is not sure that there is no pulse
						continue
					}
					what = time.Duration(discipline.ForecastAt(i) * 1e9).String()
					check(came[k], b)
				}
			}
		})
	}
}
