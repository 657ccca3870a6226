package discipline

import (
	"fmt"
	"time"
)

// Config holds the thresholds of a Controller. A zero field takes its default.
type Config struct {
	Servo string // "kalman" (default) or "pi", the PI servo of facebook/time

	MaxFreqPPB   float64       // the largest correction the device takes; default 500 000
	MaxSlewPPB   float64       // the largest part of it spent on moving the phase; default 100 000
	MaxErrorPPB  float64       // the largest believable frequency error of the free oscillator; default 200 000
	StepOver     time.Duration // while acquiring, an offset beyond it is stepped, not slewed; default 10 µs
	SlewWithin   time.Duration // after holdover, an offset beyond it means acquiring again; default 1 ms
	GivenSecond  bool          // the clock's nearest second is right: no labels are needed or looked at
	Confirm      int           // consecutive agreeing seconds before a step or the first lock; default 3
	Verify       int           // pulses inside the gate before locked; default 3
	MissAfter    time.Duration // without a pulse so long means holdover; default 2.5 s
	LabelTimeout time.Duration // without a valid label so long means holdover; default 10 s
	VoidTimeout  time.Duration // the same, when the receiver says it is not valid; default 2.5 s
	LatencyMax   time.Duration // a message for second S comes at most so long after it; default 1 s
	PulseWidth   time.Duration // from the edge that counts to the other, where both are stamped; 0 = unknown

	GateSigma    float64       // gate around the prediction in standard deviations; default 4
	RejectLimit  int           // refused pulses in a row before holdover; default 15
	JumpConfirm  int           // agreeing pulses after a jump before it is followed (small) or, beyond Limit, acquired anew; default 60
	Suspect      time.Duration // pulses so long before a doubt are forgotten again: receivers notice a lost antenna that late; default 30 s, negative = none are
	DisputeAfter int           // seconds of disputed labels in a row before holdover; default 5
	FaultyAfter  int           // the same, before faulty; default 60
	RelabelAfter int           // the same, before the second is learned anew; default 0 = never without Reset
	Limit        time.Duration // holdover limit: when the bound exceeds Status.Floor by it clients are told "unsynchronised"; default 100 µs
	ClockWithin  time.Duration // the clock is right to so much at the start, because somebody stands for it; 0 = unknown
	Systematic   time.Duration // what no measurement shows: bias of receiver, antenna, cable; default 8 ns
	BoundSigma   float64       // bound in standard deviations of the estimate; default 6
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
	dur(&c.SlewWithin, time.Millisecond)
	count(&c.Confirm, 3)
	count(&c.Verify, 3)
	dur(&c.MissAfter, 2500*time.Millisecond)
	dur(&c.LabelTimeout, 10*time.Second)
	dur(&c.VoidTimeout, 2500*time.Millisecond)
	dur(&c.LatencyMax, time.Second)
	num(&c.GateSigma, 4)
	count(&c.RejectLimit, 15)
	count(&c.JumpConfirm, 60)
	count(&c.DisputeAfter, 5)
	count(&c.FaultyAfter, 60)
	dur(&c.Suspect, 30*time.Second)
	dur(&c.Limit, 100*time.Microsecond)
	dur(&c.Systematic, 8*time.Nanosecond)
	num(&c.BoundSigma, 6)
	return c
}

// Check says what is wrong with a configuration, defaults filled in.
func (c Config) Check() error {
	c = c.fill()
	switch {
	case c.Servo != "kalman" && c.Servo != "pi":
		return fmt.Errorf("servo %q: must be kalman or pi", c.Servo)
	case !(c.MaxFreqPPB > 0) || !(c.MaxSlewPPB > 0) || !(c.MaxErrorPPB > 0) || !(c.GateSigma >= 2) || !(c.BoundSigma >= 1):
		return fmt.Errorf("a limit in ppb or standard deviations is not positive")
	case c.Confirm < 2 || c.Verify < 1 || c.RejectLimit < 3 || c.JumpConfirm < c.Confirm:
		return fmt.Errorf("a number of confirming seconds is too small")
	case c.StepOver < 0 || c.SlewWithin < c.StepOver || c.MissAfter < 1100*time.Millisecond || c.Limit <= 0 || c.Systematic < 0:
		return fmt.Errorf("a duration is out of range")
	case c.PulseWidth < 0 || c.PulseWidth >= time.Second:
		return fmt.Errorf("pulse width %v: must be within a second", c.PulseWidth)
	}
	return nil
}
