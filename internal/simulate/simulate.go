// Package simulate plays the daemon's engine and discipline on a virtual
// appliance, a recorded series or a servo in lock step, in virtual time.
package simulate

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/sim"
)

// CSVHeader is a contract, and so are the columns of a series. bound_ns is the
// bound of true_offset_ns, both of the clock itself; what clients are told adds
// the error of reading the clock, where reading takes time.
const (
	CSVHeader    = "t_s,true_offset_ns,measured_offset_ns,freq_ppb,state,bound_ns"
	SeriesHeader = "t_s,osc_ppb,pps_err_ns,qerr_ns,present"
)

// Summary is what a run came to.
type Summary struct {
	rows, usable, outside int
	firstLock             float64
	abs                   []float64 // |true offset| while locked
	bound, served         []float64
	sum2                  float64
}

// Run runs the loop and writes a line a second.
func Run(l *sim.Loop, d time.Duration, t0 float64, w io.Writer) *Summary {
	s := &Summary{firstLock: -1}
	fmt.Fprintln(w, CSVHeader)
	var b []byte
	l.Rows(d, func(r sim.Row) {
		b = strconv.AppendFloat(b[:0], t0+r.T, 'f', -1, 64)
		b = append(b, ',')
		b = strconv.AppendFloat(b, r.TrueNS, 'f', 3, 64)
		b = append(b, ',')
		if !math.IsNaN(r.MeasuredNS) { // empty: no pulse, or a refused one
			b = strconv.AppendFloat(b, r.MeasuredNS, 'f', 3, 64)
		}
		b = append(b, ',')
		b = strconv.AppendFloat(b, r.FreqPPB, 'f', 4, 64)
		b = append(b, ',')
		b = append(b, r.State.String()...)
		b = append(b, ',')
		b = strconv.AppendInt(b, int64(r.ClockBound), 10)
		b = append(b, '\n')
		w.Write(b)
		s.add(r)
	})
	return s
}

func (s *Summary) add(r sim.Row) {
	s.rows++
	if !r.Usable {
		return
	}
	s.usable++
	if s.firstLock < 0 {
		s.firstLock = r.T
	}
	if r.Outside() {
		s.outside++
	}
	s.abs = append(s.abs, math.Abs(r.TrueNS))
	s.bound = append(s.bound, float64(r.ClockBound))
	s.served = append(s.served, float64(r.Bound))
	s.sum2 += r.TrueNS * r.TrueNS
}

func (s *Summary) Print(w io.Writer, sc sim.Scenario, seed uint64, l *sim.Loop, took time.Duration) {
	at := func(x []float64, q float64) float64 {
		if len(x) == 0 {
			return math.NaN()
		}
		sort.Float64s(x)
		return x[min(len(x)-1, int(q*float64(len(x))))]
	}
	st := l.Engine.Stats()
	fmt.Fprintf(w, "%s seed %d: %d s simulated, %.0f times real time\n", sc.Name, seed, s.rows, sc.Duration.Seconds()/took.Seconds())
	fmt.Fprintf(w, "  synchronised %d s, first after %.0f s, now %s (%s), %d steps\n", s.usable, s.firstLock, st.Snapshot.State, st.Snapshot.Reason, st.Snapshot.Epoch)
	fmt.Fprintf(w, "  while so: true offset rms %.2f ns, 99.9 %% within %.1f ns, largest %.1f ns\n", math.Sqrt(s.sum2/float64(max(1, len(s.abs)))), at(s.abs, 0.999), at(s.abs, 1))
	fmt.Fprintf(w, "  bound of the clock median %.1f ns, of the time served %.1f ns; true error outside in %d s\n", at(s.bound, 0.5), at(s.served, 0.5), s.outside)
	fmt.Fprintf(w, "  pulses %d accepted, %d refused, %d missed; messages %d valid, %d refused\n", st.Snapshot.Pulses, st.Snapshot.BadPulses, st.Snapshot.Missed, st.Snapshot.Msgs, st.Snapshot.BadMsgs)
}

// scenarioFile is a scenario as a TOML file. What it leaves out is as in the
// scenario named by base.
type scenarioFile struct {
	Base     string          `toml:"base"`
	Duration config.Duration `toml:"duration"`
	Start    string          `toml:"start"`
	Clock    struct {
		Offset     config.Duration `toml:"offset"`
		OffsetPPB  float64         `toml:"freq_offset_ppb"`
		WhitePPB   float64         `toml:"white_fm_ppb"`
		FlickerPPB float64         `toml:"flicker_fm_ppb"`
		WalkPPB    float64         `toml:"random_walk_fm_ppb"`
		AgeingPPB  float64         `toml:"ageing_ppb_per_day"`
		Width      config.Duration `toml:"read_width"`
		Ramp       []struct {
			At   config.Duration `toml:"at"`
			Over config.Duration `toml:"over"`
			PPB  float64         `toml:"ppb"`
		} `toml:"ramp"`
	} `toml:"clock"`
	Pulse struct {
		JitterNS   float64         `toml:"jitter_ns"`
		SawtoothNS float64         `toml:"sawtooth_ns"`
		WanderNS   float64         `toml:"wander_ns"`
		WanderTau  config.Duration `toml:"wander_tau"`
		SpikeP     float64         `toml:"spike_probability"`
		SpikeNS    float64         `toml:"spike_mean_ns"`
		SpikeMaxNS float64         `toml:"spike_max_ns"`
		DropP      float64         `toml:"drop_probability"`
		FalseP     float64         `toml:"false_edge_probability"`
		Bias       config.Duration `toml:"bias"`
	} `toml:"pulse"`
	Receiver struct {
		Baud  int  `toml:"baud"`
		TIMTP bool `toml:"tim_tp"`
	} `toml:"receiver"`
	Fault []struct {
		Kind   string          `toml:"kind"`
		At     config.Duration `toml:"at"`
		For    config.Duration `toml:"for"`
		Amount float64         `toml:"amount"`
	} `toml:"fault"`
}

// FindScenario returns a named scenario, or one from a file.
func FindScenario(name string) (sim.Scenario, error) {
	if !strings.HasSuffix(name, ".toml") {
		s, err := sim.Find(name)
		if err != nil {
			err = fmt.Errorf("%w; -scenario list shows them", err)
		}
		return s, err
	}
	var c scenarioFile
	f, err := config.Load(name, &c)
	if err != nil {
		return sim.Scenario{}, err
	}
	if c.Base == "" {
		c.Base = "timehat-f9t"
	}
	s, err := sim.Find(c.Base)
	if err != nil {
		return s, f.Errorf("base", "%w; refclockctl simulate -scenario list shows the names", err)
	}
	s.Name = name
	return s, c.over(f, &s)
}

// over lays the file's keys over the base.
func (c *scenarioFile) over(f *config.File, s *sim.Scenario) error {
	num := func(key string, dst *float64, v float64) {
		if f.Has(key) {
			*dst = v
		}
	}
	dur := func(key string, dst *time.Duration, v config.Duration) {
		if f.Has(key) {
			*dst = v.Duration
		}
	}
	k, p := &s.Config.Clock, &s.Config.Pulse
	dur("duration", &s.Duration, c.Duration)
	dur("clock.offset", &k.Start, c.Clock.Offset)
	num("clock.freq_offset_ppb", &k.Noise.OffsetPPB, c.Clock.OffsetPPB)
	num("clock.white_fm_ppb", &k.Noise.WhitePPB, c.Clock.WhitePPB)
	num("clock.flicker_fm_ppb", &k.Noise.FlickerPPB, c.Clock.FlickerPPB)
	num("clock.random_walk_fm_ppb", &k.Noise.WalkPPB, c.Clock.WalkPPB)
	num("clock.ageing_ppb_per_day", &k.Noise.AgeingPPB, c.Clock.AgeingPPB)
	dur("clock.read_width", &k.Width, c.Clock.Width)
	num("pulse.jitter_ns", &p.JitterNS, c.Pulse.JitterNS)
	num("pulse.sawtooth_ns", &p.SawtoothNS, c.Pulse.SawtoothNS)
	num("pulse.wander_ns", &p.WanderNS, c.Pulse.WanderNS)
	num("pulse.spike_probability", &p.SpikeP, c.Pulse.SpikeP)
	num("pulse.spike_mean_ns", &p.SpikeMeanNS, c.Pulse.SpikeNS)
	num("pulse.spike_max_ns", &p.SpikeMaxNS, c.Pulse.SpikeMaxNS)
	num("pulse.drop_probability", &p.DropP, c.Pulse.DropP)
	num("pulse.false_edge_probability", &p.EMIP, c.Pulse.FalseP)
	dur("pulse.bias", &p.Bias, c.Pulse.Bias)
	if f.Has("pulse.wander_tau") {
		p.WanderS = c.Pulse.WanderTau.Seconds()
	}
	if f.Has("receiver.baud") {
		s.Config.Receiver.Baud = c.Receiver.Baud
	}
	if f.Has("receiver.tim_tp") {
		s.Config.Receiver.TIMTP = c.Receiver.TIMTP
	}
	if c.Start != "" {
		t, err := time.Parse(time.RFC3339, c.Start)
		if err != nil || t.Nanosecond() != 0 || t.Year() < 1980 || t.Year() > 2200 {
			return f.Errorf("start", "%q is no start; want a full second such as \"2026-11-23T12:00:00Z\"", c.Start)
		}
		k.Truth = tai.FromUnix(t.Unix(), 0, tai.Builtin().OffsetUTC(t.Unix()))
	}
	for _, r := range c.Clock.Ramp {
		k.Noise.Ramps = append(k.Noise.Ramps, phctest.Ramp{At: r.At.Seconds(), Over: r.Over.Seconds(), PPB: r.PPB})
	}
	for i, x := range c.Fault {
		y := sim.Fault{At: x.At.Duration, For: x.For.Duration, Amount: x.Amount}
		if err := y.Kind.UnmarshalText([]byte(x.Kind)); err != nil {
			return f.Errorf(fmt.Sprintf("fault[%d].kind", i), "%w", err)
		}
		p.Faults, s.Config.Receiver.Faults = append(p.Faults, y), append(s.Config.Receiver.Faults, y)
	}
	if !(s.Duration > 0) || s.Duration > 400*24*time.Hour {
		return f.Errorf("duration", "%v is out of range; want more than 0 and at most 400 days", s.Duration)
	}
	return nil
}

// maxSeries is the longest series that is read: two months.
const maxSeries = 5_400_000

// ReadSeries makes a scenario of a recorded series and returns the time of the
// instant before its first row.
func ReadSeries(path string) (sim.Scenario, float64, error) {
	var sc sim.Scenario
	f, err := os.Open(path)
	if err != nil {
		return sc, 0, err
	}
	defer f.Close()
	rd := csv.NewReader(bufio.NewReader(f))
	rd.ReuseRecord, rd.FieldsPerRecord, rd.TrimLeadingSpace = true, -1, true
	head, err := rd.Read()
	if err != nil || strings.Join(head, ",") != SeriesHeader {
		return sc, 0, fmt.Errorf("%s:1: the header is not %q", path, SeriesHeader)
	}
	s := &sim.Series{}
	var t0, last float64
	for line := 2; ; line++ {
		rec, err := rd.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return sc, 0, err
		}
		v := [5]float64{3: math.NaN()}
		if len(rec) != len(v) {
			return sc, 0, fmt.Errorf("%s:%d: %d fields; want %d", path, line, len(rec), len(v))
		}
		for i, x := range rec {
			if x == "" && (i == 3 || i == 2 && rec[4] == "0") {
				continue
			}
			v[i], err = strconv.ParseFloat(x, 64)
			if err != nil || math.IsInf(v[i], 0) || math.IsNaN(v[i]) && i != 3 && i != 2 {
				return sc, 0, fmt.Errorf("%s:%d: %q is no number for %s", path, line, x, strings.Split(SeriesHeader, ",")[i])
			}
		}
		if line == 2 {
			t0 = v[0] - 1
		} else if math.Abs(v[0]-last-1) > 1e-3 {
			return sc, 0, fmt.Errorf("%s:%d: t_s is %v after %v; want one row a second", path, line, v[0], last)
		}
		if math.Abs(v[1]) > 1e8 || math.Abs(v[2]) > 1e9 {
			return sc, 0, fmt.Errorf("%s:%d: a value is out of range", path, line)
		}
		last = v[0]
		if len(s.OscPPB) == maxSeries {
			return sc, 0, fmt.Errorf("%s:%d: longer than %d s", path, line, maxSeries)
		}
		s.OscPPB, s.ErrNS, s.QErrNS = append(s.OscPPB, v[1]), append(s.ErrNS, v[2]), append(s.QErrNS, v[3])
		s.Present = append(s.Present, v[4] != 0 && !math.IsNaN(v[2]))
	}
	if len(s.OscPPB) == 0 {
		return sc, 0, fmt.Errorf("%s: no rows", path)
	}
	sc = sim.Scenario{Name: path, Duration: time.Duration(len(s.OscPPB)) * time.Second}
	sc.Config.Series = s
	// A clock that was set by hand, a quarter of a millisecond off.
	sc.Config.Clock = phctest.Config{Truth: tai.FromUnix(1795426200, 0, 37), Start: 250 * time.Microsecond}
	sc.Engine.Discipline = discipline.Config{}
	return sc, t0, nil
}
