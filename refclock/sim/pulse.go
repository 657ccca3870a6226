package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"noonmark/phc/tai"
)

// PulseConfig describes a virtual pulse and the way its edges are stamped. All
// times in ns unless they are Durations; + = late.
type PulseConfig struct {
	Seed         uint64
	JitterNS     float64       // standard deviation of white jitter
	SawtoothNS   float64       // amplitude of the receiver's quantisation: uniform in +-this
	WanderNS     float64       // standard deviation of an AR(1) wander
	WanderS      float64       // its time constant, s
	Day, HalfDay float64       // amplitudes of sines of 24 and 12 h
	SpikeP       float64       // probability of a late spike
	SpikeMeanNS  float64       // mean of an exponential distribution
	SpikeMaxNS   float64       // its cut, 0 = none
	DropP        float64       // probability that a pulse is missing
	EMIP         float64       // probability of a false edge somewhere in the second
	Bias         time.Duration // constant lateness: antenna cable, interrupt
	Width        time.Duration // of the pulse, default 100 ms
	Unknown      bool          // Width is not configured in the program
	AnyEdge      bool          // the card does not say which edges it stamps (i225, i226, igb)
	System       bool          // stamped with CLOCK_REALTIME (kernel PPS) instead of the clock
	Delay        time.Duration // from an edge to its being read, default 50 us
	DelayJitter  time.Duration // added uniformly
	Faults       []Fault
}

// pulse is the receiver's pulse of one second.
type pulse struct {
	present bool
	errNS   float64 // + = late, all included
	qerrNS  float64 // to be added to the pulse's time, announced beforehand
	hasQ    bool
	emi     float64 // s after the second of a false edge, 0 = none
}

// pulses is where an appliance takes its pulses from: a model or a recording.
type pulses interface{ at(k int) pulse }

// model draws pulses from a PulseConfig, in order.
type model struct {
	cfg    PulseConfig
	rng    *rand.Rand
	k      int // next to be drawn
	last   [4]pulse
	wander float64
	saw    float64 // phase of the quantisation, 0 to 1
	rate   float64 // its advance per second
}

func newModel(cfg PulseConfig) *model {
	m := &model{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x707073))}
	m.saw = m.rng.Float64()
	m.rate = 0.01 + 0.2*m.rng.Float64()
	m.wander = m.rng.NormFloat64() * cfg.WanderNS
	return m
}

// at returns the pulse of second k after the start; k may go back by three.
func (m *model) at(k int) pulse {
	for m.k <= k {
		m.last[m.k%len(m.last)] = m.draw(m.k)
		m.k++
	}
	return m.last[k%len(m.last)]
}

func (m *model) draw(k int) pulse {
	c := &m.cfg
	p := pulse{present: m.rng.Float64() >= c.DropP}
	p.errNS = float64(c.Bias) + m.rng.NormFloat64()*c.JitterNS
	if u := m.rng.Float64(); u < c.SpikeP {
		s := m.rng.ExpFloat64() * c.SpikeMeanNS
		if c.SpikeMaxNS > 0 {
			s = min(s, c.SpikeMaxNS)
		}
		p.errNS += s
	}
	if c.SawtoothNS > 0 {
		m.rate += 1e-4 * m.rng.NormFloat64() // the receiver's crystal wanders
		m.saw += m.rate
		m.saw -= math.Floor(m.saw)
		e := c.SawtoothNS * (2*m.saw - 1)
		p.errNS += e
		p.qerrNS, p.hasQ = -e, true
	}
	if c.WanderS > 0 {
		a := math.Exp(-1 / c.WanderS)
		m.wander = a*m.wander + math.Sqrt(1-a*a)*c.WanderNS*m.rng.NormFloat64()
		p.errNS += m.wander
	}
	t := float64(k)
	p.errNS += c.Day*math.Sin(2*math.Pi*t/86400) + c.HalfDay*math.Sin(2*math.Pi*t/43200)
	if m.rng.Float64() < c.EMIP {
		p.emi = 0.02 + 0.96*m.rng.Float64()
	}
	since := time.Duration(k) * time.Second
	if _, ok := find(c.Faults, NoPulse, since); ok {
		p.present = false
	}
	if f, ok := find(c.Faults, PulseJump, since); ok {
		p.errNS += f.Amount
	}
	if f, ok := find(c.Faults, PulseDrift, since); ok {
		p.errNS += f.Amount * (since - f.At).Seconds()
	}
	if f, ok := find(c.Faults, WildPulse, since); ok && m.rng.Float64() < f.Amount {
		p.errNS += 1e9 * (m.rng.Float64() - 0.5)
	}
	return p
}

// Series is a recorded run: what refclockctl simulate -series reads.
type Series struct {
	OscPPB  []float64 // frequency error of the free oscillator in the second before second k+1
	ErrNS   []float64 // pulse error at second k+1, + = late
	QErrNS  []float64 // announced correction of that pulse, NaN = none
	Present []bool
}

func (s *Series) at(k int) pulse {
	k-- // row 0 is the first full second after the start
	if k < 0 || k >= len(s.ErrNS) {
		return pulse{}
	}
	p := pulse{present: s.Present[k], errNS: s.ErrNS[k]}
	if q := s.QErrNS[k]; !math.IsNaN(q) {
		p.qerrNS, p.hasQ = q, true
	}
	return p
}

// edges returns when the edges of second k happen and are read, in true time,
// in the order in which they are read.
func (a *Appliance) edges(k int, out []edge) []edge {
	c := &a.cfg.Pulse
	p := a.pulses.at(k)
	sec := a.start + tai.Time(k)*tai.Second
	since := time.Duration(k) * time.Second
	read := func(t tai.Time) tai.Time {
		t += tai.Time(c.Delay)
		if c.DelayJitter > 0 {
			t += tai.Time(a.rng.Int64N(int64(c.DelayJitter)))
		}
		return t
	}
	if p.present {
		at := sec + tai.Time(math.Round(p.errNS))
		out = append(out, edge{at: at, read: read(at), rising: true})
		if _, ok := find(c.Faults, BothEdges, since); ok {
			at += tai.Time(c.Width)
			out = append(out, edge{at: at, read: read(at)})
		}
		if _, ok := find(c.Faults, ReplayPulse, since); ok {
			for i := range 3 {
				out = append(out, edge{at: at, read: at + tai.Time(i+1)*250e6, rising: true})
			}
		}
	}
	if p.emi > 0 {
		at := sec + tai.Time(p.emi*1e9)
		out = append(out, edge{at: at, read: read(at), rising: true})
	}
	return out
}

// edge is one edge on the wire.
type edge struct {
	at, read tai.Time // true time of the edge and of its reading by the program
	rising   bool
}
