package discipline

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/reason"
	"noonmark/refclock/status"
)

// FuzzController plays random sequences of events to a controller: there is
// never a panic, a frequency beyond the device's, a value that is not finite, a
// step except while acquiring, or a negative bound.
func FuzzController(f *testing.F) {
	seed := func(ops ...byte) {
		b := []byte{}
		for _, o := range ops {
			b = append(b, o, 0, 0, 0, 0)
		}
		f.Add(b, false, false)
		f.Add(b, true, true)
	}
	seed(0, 5, 8, 0, 5, 8, 0, 5, 8, 0, 5, 8, 0, 5, 8, 0, 5, 8, 0, 5, 8, 0, 5, 8)
	seed(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 9, 11, 12, 13, 14, 10, 15, 4, 2, 3, 6, 7, 23)
	seed(16, 17, 0, 0, 0, 0, 18, 0, 0, 19, 0, 20, 0, 0, 17, 21, 0, 17, 22, 23)
	f.Add([]byte{1, 255, 255, 255, 127, 0, 1, 2, 3, 4, 3, 255, 255, 255, 255}, true, false)
	f.Fuzz(func(t *testing.T, b []byte, given, pi bool) {
		cfg := Config{GivenSecond: given, Confirm: 2, Verify: 2, MaxFreqPPB: 50e3,
			Gate: GateConfig{RejectLimit: 4, JumpConfirm: 6}, Labels: LabelConfig{DisputeAfter: 2, FaultyAfter: 4, RelabelAfter: 8}}
		if pi {
			cfg.Servo = "pi"
		}
		p := player{t: t, c: New(cfg), maxFreq: cfg.MaxFreqPPB, mono: 1e12, clock: epochTAI, stepped: true}
		for n := 0; n < 400 && len(b) >= 5; n, b = n+1, b[5:] {
			p.play(b[0], int32(binary.LittleEndian.Uint32(b[1:])))
		}
	})
}

// player plays events to a controller.
type player struct {
	t       *testing.T
	c       *Controller
	maxFreq float64
	mono    int64
	clock   tai.Time
	stepped bool // the last step was reported
}

// check checks an action and the status after it.
func (p *player) check(a Action) {
	s := p.c.Status()
	if !(math.Abs(a.FreqPPB) <= p.maxFreq) {
		p.t.Fatalf("frequency %v", a.FreqPPB)
	}
	for _, v := range [...]float64{s.Bound, s.BoundRate, s.EstNS, s.NoiseNS, s.WhiteFM, s.WalkFM, s.DriftPPB, s.OffsetNS} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			p.t.Fatalf("not finite: %+v", s)
		}
	}
	if s.Bound < 0 || s.BoundRate < 0 {
		p.t.Fatalf("bound %v growing by %v", s.Bound, s.BoundRate)
	}
	if s.Text() == "" || s.Text() == None.String() {
		p.t.Fatalf("%v without a reason", s.State)
	}
	if a.Step == 0 {
		return
	}
	if s.ServoState != status.Acquiring {
		p.t.Fatalf("step of %v while %v", a.Step, s.ServoState)
	}
	p.stepped = false
	p.clock = p.clock.Add(a.Step)
}

// pass lets d ns pass.
func (p *player) pass(d int64) { p.mono, p.clock = p.mono+d, p.clock+tai.Time(d) }

// play plays event op with value v.
func (p *player) play(op byte, v int32) {
	const pulses, labels = 5, 8
	switch op %= 24; {
	case op < pulses:
		p.pulse(op, v)
	case op < labels:
		p.label(op, v)
	default:
		p.report(op, v)
	}
}

func (p *player) pulse(op byte, v int32) {
	switch op {
	case 0: // a good second
		p.pass(1e9)
		p.check(p.c.Pulse(Pulse{Clock: p.clock + tai.Time(v%1000), Mono: p.mono}))
	case 1: // any edge
		p.check(p.c.Pulse(Pulse{Clock: p.clock + tai.Time(v), Mono: p.mono + int64(v), Now: p.mono, Width: time.Duration(v >> 8)}))
	case 2: // extremes
		p.check(p.c.Pulse(Pulse{Clock: tai.Time(math.MaxInt64 - int64(uint32(v))), Mono: p.mono + 5e8}))
	case 3:
		p.check(p.c.Pulse(Pulse{Clock: tai.Time(math.MinInt64 + int64(uint32(v))), Mono: p.mono + 7e8}))
	case 4: // corrections of pulses change
		p.c.Shift(float64(v), p.mono)
		p.check(p.c.Tick(p.mono, p.clock))
	}
}

func (p *player) label(op byte, v int32) {
	switch op {
	case 5: // a good one
		p.c.Label(Label{Time: p.clock.Round(), Mono: p.mono + 2e8, Valid: true, Source: "RMC"})
	case 6: // any
		p.c.Label(Label{Time: p.clock.Round() + tai.Time(v)*tai.Second/4, Mono: p.mono + int64(v), Valid: v&1 == 0, TAcc: time.Duration(v)})
	case 7: // extremes
		p.c.Label(Label{Time: tai.Time(math.MaxInt64 / int64(tai.Second) * int64(tai.Second)), Mono: math.MaxInt64 - int64(uint32(v)), Valid: true})
	}
}

func (p *player) report(op byte, v int32) {
	switch op {
	case 8:
		p.pass(1e8)
		p.check(p.c.Tick(p.mono, p.clock))
	case 9: // any reading
		p.check(p.c.Tick(p.mono+int64(v), p.clock+tai.Time(v)*1000))
	case 10: // a long time
		p.pass(int64(uint32(v)) * 1000)
		p.check(p.c.Tick(p.mono, p.clock))
	case 11:
		p.c.Stepped(p.mono, time.Duration(v))
		p.stepped = true
	case 12:
		p.c.Alarm(reason.Code(v), "x", p.mono)
	case 13:
		p.c.Clear(p.mono)
	case 14:
		p.c.Reset(p.mono)
	case 15:
		p.c.Import(p.c.Export())
	case 16:
		p.c.ClockLost(reason.ClockGone)
	case 17:
		p.c.ClockOpened(50e3 + float64(v&1))
	case 18:
		p.c.ClockDenied()
	case 19:
		p.c.ClockAllowed(p.mono)
	case 20:
		p.c.ClockMoving()
	case 21:
		p.c.LeapUndecided(v&1 == 0)
	case 22:
		p.check(Action{FreqPPB: p.c.Status().FreqPPB})
		p.c.Temperature(float64(v)/1e7, p.mono)
	default:
		if !p.stepped {
			p.c.Stepped(p.mono, time.Duration(v%2)*time.Millisecond)
			p.stepped = true
		}
	}
}
