package simulate

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"sort"
	"strconv"
	"time"

	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

// CSVHeader is the first line of a run's CSV file; it is a contract. The
// measured offset is empty without an accepted pulse. bound_ns is the bound of
// true_offset_ns, both of the clock itself: what clients are served adds the
// error of reading the clock, where reading takes time.
const CSVHeader = "t_s,true_offset_ns,measured_offset_ns,freq_ppb,state,bound_ns"

// Run is one simulation and where its seconds go.
type Run struct {
	Scenario sim.Scenario
	Seed     uint64
	T0       float64   // s, added to the times of CSV: a recorded series keeps its own
	CSV      io.Writer // one line a second below CSVHeader; nil: none
	JSON     io.Writer // one Second a line, then the Summary; nil: none
	// InputEnds is when the input of a played site ends. The final state is that of
	// this moment: the silence that follows always ends in holdover. 0: it lasts.
	InputEnds time.Duration
}

// Play runs the simulation to its end.
func (r *Run) Play() (*Statistics, error) {
	l, err := r.Scenario.Loop(r.Seed)
	if err != nil {
		return nil, err
	}
	st := &Statistics{run: r}
	emit := st.add
	var lines *bufio.Writer
	if r.CSV != nil {
		lines = bufio.NewWriter(r.CSV)
		lines.WriteString(CSVHeader + "\n")
		prev := emit
		emit = func(x sim.Row) {
			prev(x)
			lines.Write(appendCSV(lines.AvailableBuffer(), r.T0, &x))
		}
	}
	var objects *bufio.Writer
	var rec *Recorder
	if r.JSON != nil {
		objects = bufio.NewWriter(r.JSON)
		rec = NewRecorder(objects)
		rec.sum.inputEnds = r.InputEnds.Seconds()
		prev := emit
		emit = func(x sim.Row) {
			prev(x)
			rec.Add(secondOf(&x))
		}
	}
	began := time.Now()
	l.Rows(r.Scenario.Duration, emit)
	st.took = time.Since(began)
	st.end = l.Engine.Report().Snapshot
	if lines != nil {
		if err := lines.Flush(); err != nil {
			return st, err
		}
	}
	if rec != nil {
		if _, err := rec.Finish(); err != nil {
			return st, err
		}
		return st, objects.Flush()
	}
	return st, nil
}

// appendCSV appends a row as a line of the CSV file.
func appendCSV(b []byte, t0 float64, r *sim.Row) []byte {
	b = strconv.AppendFloat(b, t0+r.T, 'f', -1, 64)
	b = append(b, ',')
	b = strconv.AppendFloat(b, r.TrueNS, 'f', 3, 64)
	b = append(b, ',')
	if !math.IsNaN(r.MeasuredNS) {
		b = strconv.AppendFloat(b, r.MeasuredNS, 'f', 3, 64)
	}
	b = append(b, ',')
	b = strconv.AppendFloat(b, r.FreqPPB, 'f', 4, 64)
	b = append(b, ',')
	b = append(b, r.State.String()...)
	b = append(b, ',')
	b = strconv.AppendInt(b, int64(r.ClockBound), 10)
	return append(b, '\n')
}

// Statistics are the figures of one run.
type Statistics struct {
	run   *Run
	took  time.Duration // wall time
	end   status.Snapshot
	rows  int
	first float64 // s until the first second that was served
	used  offsets // of the seconds that were served
}

func (s *Statistics) add(r sim.Row) {
	s.rows++
	if r.Usable && s.used.served == 0 {
		s.first = r.T
	}
	s.used.add(&r)
}

// Print writes the figures for people.
func (s *Statistics) Print(w io.Writer) error {
	first := "never"
	if s.used.served > 0 {
		first = fmt.Sprintf("first after %.0f s", s.first)
	}
	e, u := &s.end, &s.used
	_, err := fmt.Fprintf(w, `%s seed %d: %d s simulated, %.0f times real time
  synchronised %d s, %s, now %s (%s), %d steps
  while so: true offset rms %.2f ns, 99.9 %% within %.1f ns, largest %.1f ns
  bound of the clock median %.1f ns, of the time served %.1f ns; true error outside in %d s
  pulses %d accepted, %d refused, %d missed; messages %d valid, %d refused
`,
		s.run.Scenario.Name, s.run.Seed, s.rows, s.run.Scenario.Duration.Seconds()/s.took.Seconds(),
		u.served, first, e.State, e.Reason, e.Epoch,
		u.rms(), quantile(u.abs, 0.999), quantile(u.abs, 1),
		quantile(u.clockBound, 0.5), quantile(u.bound, 0.5), u.outside,
		e.Pulses, e.BadPulses, e.Missed, e.Msgs, e.BadMsgs)
	return err
}

// offsets gathers the served seconds of a run, in ns.
type offsets struct {
	served, outside        int // seconds; outside: the true error was beyond a bound
	abs, bound, clockBound []float64
	square                 float64 // sum of the squared true offsets
}

func (o *offsets) add(r *sim.Row) {
	if !r.Usable {
		return
	}
	o.served++
	if r.Outside() {
		o.outside++
	}
	o.abs = append(o.abs, math.Abs(r.TrueNS))
	o.bound, o.clockBound = append(o.bound, float64(r.Bound)), append(o.clockBound, float64(r.ClockBound))
	o.square += r.TrueNS * r.TrueNS
}

func (o *offsets) rms() float64 { return math.Sqrt(o.square / float64(max(1, len(o.abs)))) }

// quantile returns the value below which the part q of v lies; NaN of nothing.
// It sorts v.
func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sort.Float64s(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

// median is the middle of v, which it sorts; NaN of nothing.
func median(v []float64) float64 { return quantile(v, 0.5) }
