package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/status"
)

// ripe is the number of measurements before the noise is known well enough to
// speak of a lock.
const minLockCount = 8

// stepError is by how much a driver may miss a step, ns (read-modify-write, up
// to 0.2 ms a read on a slow bus, mostly microseconds).
const stepError = 20e3

// Controller disciplines one clock. Make it with New. Its methods are for one
// goroutine.
type Controller struct {
	given Config // as passed to New
	cfg   Config // with the clock's limit and all defaults
	imm   *servo.IMM
	pi    *servo.PI // nil unless chosen
	st    Status

	started   bool
	startMono int64   // of the first call
	learned   Learned // from Import or of before the last loss of phase
	imported  Learned // as Import took it
	cond      conditions

	steps stepWatch

	// What the estimate stands on: the edge of second sec at edgeMono. Before
	// the second is known, sec is provisional: the grid is right, the count is
	// not.
	sec      tai.Time
	edgeMono int64
	labelled bool // sec is the true second

	// Corrections: freq is in force since freqMono, oldFreq was before; moved
	// is by how much they moved the clock from edgeMono to freqMono, total
	// since the estimate began, both ns.
	freq, oldFreq float64
	freqMono      int64
	moved, total  float64
	ctrlMono      int64 // when the last was computed

	// Edges.
	anyPulse  bool
	lastPulse int64 // mono of the last of any kind
	lastClock tai.Time
	missMono  int64 // up to where missed ones were counted
	trains    pulseTrains
	rejects   rejectRun
	verified  int // inside the gate in a row

	// Labels and trust.
	voter      voter
	distrusted Reason // why holdover refuses pulses: None, Doubted, NoMessages, VoidMessages, SecondDisputed

	// A step.
	stepping      bool  // was asked for and is not confirmed
	stepAskedMono int64 // since when
	stepMono      int64 // mono of the last one

	// What temperature and age foretell.
	comp servo.Compensation
	osc  oscChange

	// What suspect pulses can be undone with.
	hist        history
	estimateAge float64     // s by which the estimate is older than edgeMono
	alternative alternative // what forgotten pulses said

	// The bound, in ns.
	prediction    servo.PredictionError
	minBound      float64 // it does not fall below until verified
	drift         float64 // by so much the pulses have left what was foretold
	rejectHint    float64 // refused pulses that agree hint at so much error
	jump          float64 // by so much the reference, or the clock, moved not long ago
	jumpMono      int64   // mono of that
	crossWidth    float64 // slowly falling maximum of cross-timestamp widths
	receiverError float64 // the receiver's own estimate of its error, smoothed
}

// New returns a Controller; a zero Config is the default. Unusable values are
// those that Config.Check refuses; New takes their defaults instead.
func New(cfg Config) *Controller {
	if cfg.Check() != nil {
		cfg = Config{GivenSecond: cfg.GivenSecond}
	}
	c := &Controller{given: cfg, cfg: cfg.fill(), imm: servo.NewIMM()}
	if c.cfg.Servo == "pi" {
		c.pi = servo.NewPI(0, c.cfg.MaxFreqPPB)
	}
	c.st.State, c.st.Reason, c.st.Limit = status.Unlocked, Starting, c.cfg.Limit
	c.voter.maxLatency = c.cfg.LatencyMax
	return c
}

// Pulse takes one edge. It measures, decides and returns what to do.
func (c *Controller) Pulse(p Pulse) Action {
	now := max(p.Now, p.Mono)
	c.predictOscillator(p.Mono)
	if !c.steps.ok {
		c.steps.observe(p.Mono, p.Clock, c.freq, 0)
	}
	if r := c.precheck(p); r != None {
		return c.refuse(r, now)
	}
	c.lastPulse, c.lastClock, c.anyPulse, c.missMono = p.Mono, p.Clock, true, p.Mono
	c.crossWidth = math.Max(float64(p.Width), c.crossWidth*0.98)
	c.checkLabels(now)
	switch c.st.State {
	case status.Unlocked, status.Acquiring:
		if c.st.Reason == Verifying {
			return c.track(p, now)
		}
		return c.acquire(p, now)
	case status.Faulty:
		return c.refuse(PulseDoubted, now)
	}
	if c.distrusted != None {
		return c.refuse(PulseDoubted, now)
	}
	return c.track(p, now)
}

// Tick tells the time when nothing else happens; about once a second, more
// often does no harm. clock is the clock's reading at mono.
func (c *Controller) Tick(mono int64, clock tai.Time) Action {
	if !c.started {
		c.started, c.startMono = true, mono
	}
	if c.stepping && mono-c.stepAskedMono > 5e9 {
		c.Stepped(mono, 0) // whoever should have told has not
	}
	c.predictOscillator(mono)
	c.watchStep(mono, clock)
	c.checkLabels(mono)
	c.checkPulses(mono)
	if mono-c.ctrlMono >= 999e6 && c.labelled && !c.stepping {
		c.control(mono)
	}
	c.publish(mono)
	return Action{FreqPPB: c.freq}
}

// Stepped tells that the clock was stepped by applied at mono, or that it
// could not be (zero). Edges from before it are refused from now on.
func (c *Controller) Stepped(mono int64, applied time.Duration) {
	c.stepMono = mono
	asked := c.stepping
	c.stepping, c.cond.moving = false, false
	if applied != 0 {
		c.st.Steps++
		c.steps.ok = false
	}
	if !asked || c.imm.Count() == 0 {
		if applied != 0 {
			c.reacquire(ClockStepped)
			c.publish(mono)
		}
		return
	}
	// What is left over from whole seconds goes to the phase.
	x := c.phaseAt(mono)
	whole := tai.Time(math.Round((float64(applied)+x)/1e9)) * tai.Second
	c.sec += whole
	c.imm.AddPhase(float64(tai.Time(applied) - whole))
	c.prediction.Reset()
	c.comp.Restart()
	c.hist.reset()
	if applied == 0 {
		c.reacquire(Labelling)
		return
	}
	c.trains.clear()
	c.verified = 0
	c.labelled = true
	c.imm.Inflate(stepError, 0)
	c.enter(status.Acquiring, Verifying)
	c.publish(mono)
}

// Shift tells that the corrections of pulses were changed by an operator:
// readings of Pulse.Clock, and so offsets, are ns larger from now on, + = the
// clock is found to be fast by more. That is no jump of the pulses; the clock
// is slewed to where they are right, and until then the bound says so. The
// first pulse after it must carry the new correction.
func (c *Controller) Shift(ns float64, mono int64) {
	if math.IsNaN(ns) || math.Abs(ns) >= 0.5e9 || ns == 0 {
		return
	}
	d := tai.Time(math.Round(ns))
	c.trains.shift(d)
	c.lastClock += d
	if c.imm.Count() > 0 {
		// The oscillator has not moved, and what was foretold of it holds.
		c.imm.AddPhase(ns)
		c.total += ns
		c.rejects.clear()
		c.rejectHint = 0
		if c.labelled && math.Abs(c.phaseAt(mono)) > float64(c.cfg.SlewWithin) {
			c.reacquire(OffsetTooLarge)
		}
		c.ctrlMono = math.MinInt64 / 2 // the next Tick corrects
	}
	c.publish(mono)
}

// Reset forgets second and phase, by an operator's order; what was learned of
// the oscillator stays.
func (c *Controller) Reset(mono int64) {
	c.distrusted, c.cond.alarm = None, alarm{}
	c.reacquire(Starting)
	c.publish(mono)
}

// precheck refuses edges that cannot be measured with.
func (c *Controller) precheck(p Pulse) Reason {
	if !c.started {
		c.started, c.startMono = true, p.Mono
	}
	switch {
	case c.stepping || p.Mono < c.stepMono:
		return PulseStraddles
	case c.anyPulse && (p.Mono-c.lastPulse < 1e6 || p.Clock == c.lastClock):
		// A lost carrier replays the last stamp several times a second.
		return PulseRepeated
	case p.Width < 0 || p.Width > c.cfg.SlewWithin:
		return PulseWide
	}
	return None
}

func (c *Controller) refuse(r Reason, now int64) Action {
	c.st.BadPulses++
	c.st.Counts[r]++
	c.publish(now)
	return Action{FreqPPB: c.freq, Reason: r}
}
