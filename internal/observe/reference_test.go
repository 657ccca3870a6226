package observe

import (
	"io/fs"
	"math"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/leap"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// Every reason is there from the start, at zero.
func TestReferenceMetricsOfAnEngineWithoutAClock(t *testing.T) {
	eng, err := refclock.New(refclock.Config{Mono: phc.MonoRaw, Open: func() (clock.Device, error) { return nil, fs.ErrNotExist }, Publish: func(*status.Snapshot) {}})
	if err != nil {
		t.Fatal(err)
	}
	eng.Tick()
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewReferenceMetrics(&Sources{Mono: phc.MonoRaw, Report: eng.Report}))
	fams, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]float64{}
	for _, f := range fams {
		if !strings.HasPrefix(f.GetName(), "noonmark_refclock_") {
			t.Errorf("metric %s", f.GetName())
		}
		for _, m := range f.GetMetric() {
			v := m.GetGauge().GetValue()
			if m.GetCounter() != nil {
				v = m.GetCounter().GetValue()
				if !strings.HasSuffix(f.GetName(), "_total") {
					t.Errorf("counter %s", f.GetName())
				}
			}
			for _, l := range m.GetLabel() {
				seen[f.GetName()+" "+l.GetValue()] = v
			}
			if len(m.GetLabel()) == 0 {
				seen[f.GetName()] = v
			}
		}
	}
	for name, want := range map[string]float64{
		"noonmark_refclock_stratum":                             16,
		"noonmark_refclock_synchronised":                        0,
		"noonmark_refclock_leap_indicator":                      3,
		"noonmark_refclock_state unlocked":                      1,
		"noonmark_refclock_state locked":                        0,
		"noonmark_refclock_events_total clock_missing":          1,
		"noonmark_refclock_events_total clock_stepped_by_other": 0,
		"noonmark_refclock_events_total label_void":             0,
		"noonmark_refclock_pulses_total accepted":               0,
		"noonmark_refclock_leap_warning leap_expired":           0,
	} {
		if got, ok := seen[name]; !ok || got != want {
			t.Errorf("%s = %v, %v; want %v", name, got, ok, want)
		}
	}
}

// The whole state of a daemon with everything configured. Names, labels and values
// are a contract: the file in testdata only grows.
func TestReferenceMetricsOfAWholeDaemon(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	r := &report.Report{
		Snapshot: status.Snapshot{
			State: status.Locked, OffsetNS: 5, NoiseNS: 2, FreqPPB: -2300, LineErr: 20, Stratum: 1, Kind: status.PHCClock, TAIOffset: 37, Epoch: 2, Updates: 9,
			Pulses: 100, BadPulses: 3, Missed: 1, Msgs: 99, BadMsgs: 4, PulseMono: 9e9, MsgMono: 9_500_000_000, Mono: 1e10, RefTime: 1, Bound: 100, Limit: 1e6,
		},
		Discipline: discipline.Status{
			Figures: discipline.Figures{DriftPPB: 2301}, Evidence: discipline.Evidence{Latency: 80 * time.Millisecond},
			Thermal: discipline.Thermal{TempC: 41.25, TempMono: 1, TempPPB: 12, AgeingPPB: 0.5},
		},
		Receiver: report.Receiver{Sats: 12, Fix: gnss.Fix3D, Antenna: gnss.AntennaOK, Jamming: gnss.ThreatWarning},
		Leap: leap.Status{Receiver: 37, Expires: at, Next: at.AddDate(0, 1, 0), NextSign: 1, Expired: true,
			Tables: []leap.TableStatus{{Name: "list", Expires: at}, {Name: "builtin"}}},
		Compared: []pps.Comparison{{Name: "roof", OffsetNS: -40, Mono: 1, Alarm: true, Count: 7, Skipped: 2}, {Name: "lab"}},
	}
	r.Counts[reason.ClockStep] = 2
	state := &Reference{
		Mono: 1e10, Report: r, Sensor: true,
		Events:  []Count{{"receiver", "bad_checksum", 4}, {"pulse", "missed", 1}, {"sensor", "sensor_missing", 5}},
		Opened:  []Count{{Part: "receiver", N: 1}, {Part: "pulse", N: 2}},
		Exports: []Count{{"shm", "exported", 8}, {"shm", "export_denied", 1}},
		Followers: []Follower{
			{"system", follow.Stats{Compared: true, OffsetNS: 250, Bound: math.MaxInt64, Observed: true, Contested: true}},
			{"eth1", follow.Stats{Snapshot: status.Snapshot{State: status.Holdover}, Bound: time.Microsecond}},
		},
		Witnesses: []integrity.WitnessStatus{{Name: "a.test", Verdict: integrity.Agrees, OffsetNS: 1e6, Asked: 10, Silent: 3, Disagreed: 1}},
		History:   []Count{{What: "written", N: 12}, {What: "lost", N: 1}},
	}
	got := exposition(t, &collector[Reference]{referenceMetrics(), func() *Reference { return state }})
	const golden = "testdata/reference.prom"
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("metrics differ from %s; they are\n%s", golden, got)
	}
}

// exposition writes metrics as Prometheus reads them, without the counters of
// reasons that are zero.
func exposition(t *testing.T, c prometheus.Collector) string {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	b := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(b, httptest.NewRequest("GET", "/metrics", nil))
	var out strings.Builder
	for line := range strings.Lines(b.Body.String()) {
		if !strings.HasPrefix(line, "# HELP") && !(strings.Contains(line, "reason=") && strings.HasSuffix(line, "} 0\n")) {
			out.WriteString(line)
		}
	}
	return out.String()
}
