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

// FuzzController throws random sequences of events at a controller: whatever
// comes, no panic, no frequency beyond the device, nothing that is not finite,
// no step but while acquiring, and a bound that is never negative.
func FuzzController(f *testing.F) {
	seed := func(ops ...byte) {
		b := []byte{}
		for _, o := range ops {
			b = append(b, o, 0, 0, 0, 0)
		}
		f.Add(b, false, false)
		f.Add(b, true, true)
	}
	seed(0, 2, 4, 0, 2, 4, 0, 2, 4, 0, 2, 4, 0, 2, 4, 0, 2, 4, 0, 2, 4, 0, 2, 4)
	seed(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
	f.Add([]byte{1, 255, 255, 255, 127, 0, 1, 2, 3, 4, 3, 255, 255, 255, 255}, true, false)
	f.Fuzz(func(t *testing.T, b []byte, given, pi bool) {
		if len(b) > 5*400 {
			b = b[:5*400]
		}
		cfg := Config{GivenSecond: given, Confirm: 2, Verify: 2, MaxFreqPPB: 50e3,
			Gate: GateConfig{RejectLimit: 4, JumpConfirm: 6}, Labels: LabelConfig{DisputeAfter: 2, FaultyAfter: 4, RelabelAfter: 8}}
		if pi {
			cfg.Servo = "pi"
		}
		c := New(cfg)
		mono, clock := int64(1e12), epochTAI
		stepped := true
		check := func(a Action) {
			s := c.Status()
			if !(math.Abs(a.FreqPPB) <= cfg.MaxFreqPPB) {
				t.Fatalf("frequency %v", a.FreqPPB)
			}
			if a.Step != 0 && s.State != status.Acquiring {
				t.Fatalf("step of %v while %v", a.Step, s.State)
			}
			for _, v := range [...]float64{s.Bound, s.BoundRate, s.EstNS, s.NoiseNS, s.WhiteFM, s.WalkFM, s.DriftPPB, s.OffsetNS} {
				if math.IsNaN(v) || math.IsInf(v, 0) {
					t.Fatalf("not finite: %+v", s)
				}
			}
			if s.Bound < 0 || s.BoundRate < 0 {
				t.Fatalf("bound %v growing by %v", s.Bound, s.BoundRate)
			}
			if a.Step != 0 {
				stepped = false
				clock = clock.Add(a.Step)
			}
		}
		for ; len(b) >= 5; b = b[5:] {
			v := int32(binary.LittleEndian.Uint32(b[1:]))
			switch b[0] % 16 {
			case 0: // a good second
				mono, clock = mono+1e9, clock+tai.Second
				check(c.Pulse(Pulse{Clock: clock + tai.Time(v%1000), Mono: mono}))
			case 1: // any edge
				check(c.Pulse(Pulse{Clock: clock + tai.Time(v), Mono: mono + int64(v), Now: mono, Width: time.Duration(v >> 8)}))
			case 2:
				c.Label(Label{Time: clock.Round(), Mono: mono + 2e8, Valid: true, Source: "RMC"})
			case 3:
				c.Label(Label{Time: clock.Round() + tai.Time(v)*tai.Second/4, Mono: mono + int64(v), Valid: v&1 == 0, TAcc: time.Duration(v)})
			case 4:
				mono, clock = mono+1e8, clock+1e8
				check(c.Tick(mono, clock))
			case 5:
				check(c.Tick(mono+int64(v), clock+tai.Time(v)*1000))
			case 6:
				c.Stepped(mono, time.Duration(v))
				stepped = true
			case 7:
				c.Alarm(reason.None, "x", mono)
			case 8:
				c.Clear(mono)
			case 9:
				c.Reset(mono)
			case 10: // time passes
				d := int64(uint32(v)) * 1000
				mono, clock = mono+d, clock+tai.Time(d)
				check(c.Tick(mono, clock))
			case 11:
				c.Import(c.Export())
				c.Shift(float64(v), mono)
				check(c.Tick(mono, clock))
			case 12: // extremes
				check(c.Pulse(Pulse{Clock: tai.Time(math.MaxInt64 - int64(uint32(v))), Mono: mono + 5e8}))
			case 13:
				check(c.Pulse(Pulse{Clock: tai.Time(math.MinInt64 + int64(uint32(v))), Mono: mono + 7e8}))
			case 14:
				c.Label(Label{Time: tai.Time(math.MaxInt64 / int64(tai.Second) * int64(tai.Second)), Mono: math.MaxInt64 - int64(uint32(v)), Valid: true})
			default:
				if !stepped {
					c.Stepped(mono, time.Duration(v%2)*time.Millisecond)
					stepped = true
				}
			}
		}
	})
}
