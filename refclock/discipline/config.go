package discipline

import (
	"fmt"
	"time"
)

// DefaultSlewWithin is the default of Config.SlewWithin, and so the largest Config.StepOver
// beside it.
const DefaultSlewWithin = time.Millisecond

// Config holds the thresholds of a Controller. A zero field takes its default.
type Config struct {
	Servo string // "kalman" (default) or "pi", the PI servo of facebook/time

	MaxFreqPPB  float64       // largest correction that the device accepts; default 500 000
	MaxSlewPPB  float64       // largest part of it that moves the phase; default 100 000
	MaxErrorPPB float64       // largest plausible frequency error of the free oscillator; default 200 000
	StepOver    time.Duration // while acquiring, a larger offset is stepped, not slewed; default 10 µs
	SlewWithin  time.Duration // after holdover, a larger offset means acquiring again; default DefaultSlewWithin
	GivenSecond bool          // the clock's nearest second is right: labels are not needed and ignored
	ClockWithin time.Duration // error of the clock at the start, if something guarantees it; 0 = unknown
	PulseWidth  time.Duration // from the edge that begins the second to the other one; 0 = unknown
	Confirm     int           // consecutive agreeing seconds before a step or the first lock; default 3
	Verify      int           // pulses inside the gate before locked; default 3

	Labels LabelConfig
	Gate   GateConfig

	Limit      time.Duration // holdover limit: when the bound exceeds Status.Floor by more, clients see "unsynchronised"; default 100 µs
	Systematic time.Duration // error that no measurement shows: bias of receiver, antenna, cable; default 8 ns
	BoundSigma float64       // bound in standard deviations of the estimate; default 6
}

// LabelConfig holds the thresholds for time messages.
type LabelConfig struct {
	Timeout      time.Duration // this long without a valid label means holdover; default 10 s
	VoidTimeout  time.Duration // the same if the receiver says that its time is not valid; default 2.5 s
	LatencyMax   time.Duration // a message for second S comes at most this long after S; default 1 s
	DisputeAfter int           // consecutive seconds of disputed labels before holdover; default 5
	FaultyAfter  int           // the same, before faulty; default 60
	RelabelAfter int           // the same, before the second is acquired again; default 0 = longer than labels had agreed with the clock
}

// GateConfig holds the thresholds for pulses.
type GateConfig struct {
	Sigma       float64       // gate around the prediction in standard deviations; default 4
	MissAfter   time.Duration // this long without a pulse means holdover; default 2.5 s
	RejectLimit int           // consecutive refused pulses before holdover; default 15
	JumpConfirm int           // consecutive agreeing pulses after a jump before it is followed (small) or, beyond Limit, acquired again; default 60
	Suspect     time.Duration // pulses this long before an alarm are forgotten, because receivers notice a lost antenna that late; default 30 s, negative = none
}

// Default returns the configuration with every default filled in.
func Default() Config { return Config{}.fill() }

func (c Config) fill() Config {
	str := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	num := func(p *float64, v float64) {
		if *p == 0 {
			*p = v
		}
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p == 0 {
			*p = v
		}
	}
	count := func(p *int, v int) {
		if *p == 0 {
			*p = v
		}
	}
	str(&c.Servo, "kalman")
	num(&c.MaxFreqPPB, 500e3)
	num(&c.MaxSlewPPB, 100e3)
	num(&c.MaxErrorPPB, 200e3)
	dur(&c.StepOver, 10*time.Microsecond)
	dur(&c.SlewWithin, DefaultSlewWithin)
	count(&c.Confirm, 3)
	count(&c.Verify, 3)
	dur(&c.Labels.Timeout, 10*time.Second)
	dur(&c.Labels.VoidTimeout, 2500*time.Millisecond)
	dur(&c.Labels.LatencyMax, time.Second)
	count(&c.Labels.DisputeAfter, 5)
	count(&c.Labels.FaultyAfter, 60)
	num(&c.Gate.Sigma, 4)
	dur(&c.Gate.MissAfter, 2500*time.Millisecond)
	count(&c.Gate.RejectLimit, 15)
	count(&c.Gate.JumpConfirm, 60)
	dur(&c.Gate.Suspect, 30*time.Second)
	dur(&c.Limit, 100*time.Microsecond)
	dur(&c.Systematic, 8*time.Nanosecond)
	num(&c.BoundSigma, 6)
	return c
}

// Check reports what is wrong with a configuration, defaults filled in.
func (c Config) Check() error {
	c = c.fill()
	switch {
	case c.Servo != "kalman" && c.Servo != "pi":
		return fmt.Errorf("servo %q: must be kalman or pi", c.Servo)
	case !(c.MaxFreqPPB > 0) || !(c.MaxSlewPPB > 0) || !(c.MaxErrorPPB > 0) || !(c.Gate.Sigma >= 2) || !(c.BoundSigma >= 1):
		return fmt.Errorf("a limit in ppb or standard deviations is too small")
	case c.Confirm < 2 || c.Verify < 1 || c.Gate.RejectLimit < 3 || c.Gate.JumpConfirm < c.Confirm:
		return fmt.Errorf("a number of confirming seconds is too small")
	case c.StepOver < 0 || c.SlewWithin < c.StepOver || c.Gate.MissAfter < 1100*time.Millisecond || c.Limit <= 0 || c.Systematic < 0:
		return fmt.Errorf("a duration is out of range")
	case c.PulseWidth < 0 || c.PulseWidth >= time.Second:
		return fmt.Errorf("pulse width %v: must be shorter than a second", c.PulseWidth)
	}
	return nil
}
