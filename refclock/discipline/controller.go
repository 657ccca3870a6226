package discipline

import (
	"math"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

const (
	// stepError is the error that a driver may make in a step, ns: it reads,
	// modifies and writes, up to 0.2 ms a read on a slow bus, mostly microseconds.
	stepError = 20e3
	// stepTimeout is how long the owner may take to report a step, ns.
	stepTimeout = 5e9
	// controlEvery is the interval of corrections without a pulse, ns.
	controlEvery = 999e6
)

// Controller disciplines one clock. Make it with New. Its methods are for one
// goroutine.
type Controller struct {
	Conditions
	machine
	given    Config  // as passed to New
	imported Learned // as passed to Import
}

// New returns a Controller; a zero Config is the default. If Config.Check
// refuses cfg, New uses the defaults instead.
func New(cfg Config) *Controller {
	if cfg.Check() != nil {
		cfg = Config{GivenSecond: cfg.GivenSecond}
	}
	c := &Controller{given: cfg}
	c.cfg = cfg.fill()
	c.est.imm = servo.NewIMM()
	c.control.maxFreq, c.control.maxSlew = c.cfg.MaxFreqPPB, c.cfg.MaxSlewPPB
	if c.cfg.Servo == "pi" {
		c.control.pi = servo.NewPI(0, c.cfg.MaxFreqPPB)
	}
	c.st.State, c.st.Reason, c.st.Limit = status.Unlocked, Starting, c.cfg.Limit
	c.labels.maxLatency = c.cfg.Labels.LatencyMax
	return c
}

// Pulse takes one edge and returns what to do.
func (c *Controller) Pulse(p Pulse) Action {
	now := max(p.Now, p.Mono)
	c.advanceOscillator(p.Mono)
	if !c.steps.ok {
		c.steps.observe(p.Mono, p.Clock, c.est.corr.ppb, 0)
	}
	c.first.note(p.Mono)
	if c.step.pending || p.Mono < c.step.mono {
		return c.refuse(PulseStraddles, now)
	}
	if r := c.edges.take(p, c.cfg.SlewWithin); r != None {
		return c.refuse(r, now)
	}
	c.bound.bracket = math.Max(float64(p.Width), c.bound.bracket*0.98)
	c.checkLabels(now)
	switch c.st.State {
	case status.Unlocked, status.Acquiring:
		if c.st.Reason == Verifying {
			return c.track(p, now)
		}
		return c.acquire(p, now)
	}
	usable := c.trust.refuse == None
	if c.st.State == status.Faulty {
		usable = c.st.Reason == PulseJump
	}
	if !usable {
		c.edges.unused.take(p, &c.est, &c.trust, c.cfg.Gate.Sigma)
		return c.refuse(PulseDoubted, now)
	}
	return c.track(p, now)
}

// Label takes one message of the receiver.
func (c *Controller) Label(l Label) {
	c.first.note(l.Mono)
	r := c.label(l)
	if r == None {
		c.st.Labelled++
		return
	}
	c.st.BadLabels++
	c.st.Counts[r]++
	if r == LabelNotWhole {
		c.MessageRefused(reason.MessageFraction, l.Mono)
	}
}

// Tick tells the time when nothing else happens, about once a second; more often
// is harmless. clock is the clock's reading at mono.
func (c *Controller) Tick(mono int64, clock tai.Time) Action {
	c.first.note(mono)
	if c.step.pending && mono-c.step.askedMono > stepTimeout {
		c.Stepped(mono, 0)
	}
	c.advanceOscillator(mono)
	c.watchStep(mono, clock)
	c.checkLabels(mono)
	c.checkPulses(mono)
	if mono-c.control.mono >= controlEvery && c.labelled && !c.step.pending {
		c.control.correct(&c.est, mono, c.st.State == status.Locked)
	}
	c.publish(mono)
	return Action{FreqPPB: c.est.corr.ppb}
}

// Stepped reports that the clock was stepped by applied at mono, by an Action
// or by something else, or, with zero, that a step failed. Edges from before
// mono are refused from now on.
func (c *Controller) Stepped(mono int64, applied time.Duration) {
	asked := c.step.pending
	c.step.mono, c.step.pending, c.moving = mono, false, false
	if applied != 0 {
		c.st.Steps++
		c.steps.ok = false
	}
	if !asked || c.est.imm.Count() == 0 {
		if applied != 0 {
			c.reacquire(ClockStepped)
			c.publish(mono)
		}
		return
	}
	// The part that is not whole seconds moves the phase.
	e := &c.est
	x := e.phaseAt(mono)
	whole := tai.Time(math.Round((float64(applied)+x)/1e9)) * tai.Second
	e.sec += whole
	e.imm.AddPhase(float64(tai.Time(applied) - whole))
	e.breakOff()
	if applied == 0 {
		c.reacquire(Labelling)
		return
	}
	c.edges.trains.clear()
	c.edges.verified = 0
	c.labelled = true
	e.imm.Inflate(stepError, 0)
	c.enter(status.Acquiring, Verifying)
	c.publish(mono)
}

// Temperature takes a reading of the sensor near the oscillator, in degrees
// Celsius, at mono, CLOCK_MONOTONIC_RAW in ns: about once a second, before Pulse
// and Tick. It reports whether the reading was accepted. Readings are optional:
// without them, temperature is not compensated.
func (c *Controller) Temperature(celsius float64, mono int64) bool {
	ok, r := c.est.osc.read(celsius, mono, c.est.mono)
	if r != None {
		c.st.Counts[r]++
	}
	return ok
}

// Alarm reports that the reference as a whole is not to be trusted: antenna
// open, spoofing reported, witnesses disagree. detail is added to the published
// text and may be empty. The latest alarm replaces the one before and is in
// force until Clear; an alarm that is in force already changes nothing.
func (c *Controller) Alarm(code reason.Code, detail string, mono int64) {
	a := alarm{true, code, detail}
	if a == c.trust.alarm {
		return
	}
	c.trust.alarm = a
	c.trust.drifted = c.trust.drifted || code == reason.ReferenceDrift
	c.distrust(Doubted)
	c.publish(mono)
}

// Clear ends an alarm; pulses are verified before they are trusted.
func (c *Controller) Clear(mono int64) {
	c.trust.alarm = alarm{}
	if c.trust.refuse == Doubted {
		c.restoreTrust()
	}
	c.publish(mono)
}

// Shift reports that an operator changed the corrections of pulses: Pulse.Clock,
// and so each offset, is ns larger from now on, + = the clock turns out to be
// fast by more. That is no jump of the pulses. The clock is slewed to where they
// are right, and until then the bound includes the difference. The next pulse
// must carry the new correction.
func (c *Controller) Shift(ns float64, mono int64) {
	if math.IsNaN(ns) || math.Abs(ns) >= 0.5e9 || ns == 0 {
		return
	}
	d := tai.Time(math.Round(ns))
	c.before = givenUp{now: c.before.now}
	c.edges.trains.shift(d)
	c.edges.clock += d
	if c.est.imm.Count() > 0 {
		// The oscillator has not changed, and predictions of it stay valid.
		c.est.imm.AddPhase(ns)
		c.est.corr.total += ns
		c.edges.rejects.clear()
		c.edges.unused, c.edges.recent = unusedPulses{}, recentPulses{}
		c.bound.rejectHint = 0
		if c.labelled && math.Abs(c.est.phaseAt(mono)) > float64(c.cfg.SlewWithin) {
			c.reacquire(OffsetTooLarge)
		}
		c.control.soon()
	}
	c.publish(mono)
}

// Confirm takes independent evidence that the clock is within ns of true time:
// a jump of the pulses that was followed need not be bounded any wider.
func (c *Controller) Confirm(ns float64, mono int64) {
	if !math.IsNaN(ns) {
		c.bound.confirm(ns)
		c.publish(mono)
	}
}

// Reset forgets second and phase, on an operator's order, and with them jumps of
// the pulses that were followed, and ends an alarm; what was learned of the
// oscillator stays.
func (c *Controller) Reset(mono int64) {
	c.Disinherit()
	c.trust = trust{}
	c.edges.unused = unusedPulses{}
	c.bound.jump, c.bound.earlier = jump{}, 0
	c.reacquire(Starting)
	c.publish(mono)
}
