package clock

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

const (
	// quietFirst is how long the system clock must have been left alone before it
	// is steered for the first time. A daemon that polls more seldom is found by
	// its name, or when it steers against us.
	quietFirst = 5 * time.Second
	// quietAgain is the same after another program was seen steering.
	quietAgain = 5 * time.Minute
)

// System is the system clock as a Device that other programs may steer as well.
// It notices them, returns errors that wrap ErrContested then, and tells the
// kernel how good the clock is. Two programs that both correct one clock make it
// oscillate. System is for one goroutine.
type System struct {
	dev    Device
	kernel Kernel
	mono   func() int64
	rivals func() []string

	base    phc.Timex // the kernel's state as it was last seen or set
	known   bool      // base holds something
	ours    bool      // base holds what we set
	baseAt  int64     // mono of base
	quietAt int64     // mono since when nobody else was seen
	quiet   time.Duration
}

// NewSystem returns the system clock d, whose kernel state is k. mono reads
// CLOCK_MONOTONIC_RAW, ns. rivals names running programs that are known to steer
// the clock (Rivals).
func NewSystem(d Device, k Kernel, mono func() int64, rivals func() []string) *System {
	return &System{dev: d, kernel: k, mono: mono, rivals: rivals, quiet: quietFirst}
}

// Available reports whether other programs have left the clock alone for long
// enough that it may be steered. After another program was seen, the error says
// what has to happen first.
func (s *System) Available() (ok bool, why error) {
	if rs := s.rivals(); len(rs) > 0 {
		s.quietAt = s.mono()
		return false, fmt.Errorf("%w: %s is running; stop and disable it, or leave the system clock to it (system_clock.mode = \"observe\" beside a PHC)", ErrContested, strings.Join(rs, ", "))
	}
	if err := s.look(); err != nil {
		return false, err
	}
	if s.mono()-s.quietAt >= int64(s.quiet) {
		return true, nil
	}
	if s.quiet == quietAgain {
		return false, fmt.Errorf("%w: it was seen less than %v ago", ErrContested, s.quiet)
	}
	return false, nil
}

// Claim begins to steer: it tells the kernel the offset of TAI, TAI - UTC in s,
// by which the clock is read from now on.
func (s *System) Claim(offset int) error { return s.set(phc.Quality{TAI: offset}) }

// SetQuality reports the quality of the clock to the kernel.
func (s *System) SetQuality(q phc.Quality) error {
	if err := s.look(); err != nil {
		return err
	}
	return s.set(q)
}

func (s *System) set(q phc.Quality) error {
	if err := s.kernel.SetQuality(q); err != nil {
		return err
	}
	return s.rebase()
}

// crossWithin is how long a reading of the clock and of the kernel's TAI offset
// may take together, ns, so that both are of one moment.
const crossWithin = int64(100 * time.Millisecond)

// Cross reads the clock as TAI by the kernel's own offset. At a leap second that
// offset alone changes together with CLOCK_REALTIME; adjtimex may show the change
// up to a tick before clock_gettime does, which shows in the time it returns.
func (s *System) Cross() (phc.Cross, error) {
	if err := s.look(); err != nil {
		return phc.Cross{}, err
	}
	for range 3 {
		was, begun := s.base.TAI, s.mono()
		x, err := s.dev.Cross()
		if err != nil {
			return x, err
		}
		now, err := s.kernel.Load()
		if err != nil {
			return x, err
		}
		ahead := math.Round(float64(now.Real-x.Real) * 1e-9) // s: a leap second that only one of the two shows
		if now.TAI == was && math.Abs(ahead) <= 1 && s.mono()-begun < crossWithin {
			x.Clock = tai.Time(x.Real + int64(was+int(ahead))*1e9)
			return x, nil
		}
		s.base.TAI = now.TAI
	}
	return phc.Cross{}, errors.New("read system clock: the clock or its TAI offset changed during each of three readings")
}

// AdjFreq sets the correction, ppb, + = faster.
func (s *System) AdjFreq(ppb float64) error {
	if err := s.look(); err != nil {
		return err
	}
	err := s.dev.AdjFreq(ppb)
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		return err
	}
	return errors.Join(err, s.rebase())
}

// Step adds delta to the clock, + = forward.
func (s *System) Step(delta time.Duration) error {
	if err := s.look(); err != nil {
		return err
	}
	if err := s.dev.Step(delta); err != nil {
		return err
	}
	return s.rebase()
}

// FreqPPB returns the correction in force.
func (s *System) FreqPPB() (float64, error) { return s.dev.FreqPPB() }

// MaxFreq returns the largest correction.
func (s *System) MaxFreq() float64 { return s.dev.MaxFreq() }

// rebase takes the kernel's present state as the one we set.
func (s *System) rebase() error {
	t, err := s.kernel.Load()
	if err != nil {
		return err
	}
	s.base, s.known, s.ours, s.baseAt = t, true, true, s.mono()
	return nil
}

// look compares the kernel's state with base. The error wraps ErrContested if
// another program has written to it.
func (s *System) look() error {
	t, err := s.kernel.Load()
	if err != nil {
		return err
	}
	now := s.mono()
	if !s.known {
		s.base, s.known, s.baseAt, s.quietAt = t, true, now, now
		return nil
	}
	what := written(s.base, t, time.Duration(now-s.baseAt))
	if what == "" {
		if !s.ours {
			s.base, s.baseAt = t, now
		}
		return nil
	}
	s.base, s.baseAt, s.quietAt, s.ours, s.quiet = t, now, now, false, quietAgain
	who := ""
	if rs := s.rivals(); len(rs) > 0 {
		who = "; " + strings.Join(rs, ", ") + " is running"
	}
	return fmt.Errorf("%w: its %s was written%s", ErrContested, what, who)
}

// written names the part of the kernel's state that another program changed from
// b to t, within the time since b was read; "" if none did.
func written(b, t phc.Timex, since time.Duration) string {
	if t.MaxError >= phc.MaxError && b.MaxError < phc.MaxError && t.Status&phc.StaUnsync != 0 {
		// A step of the clock clears all of this (ntp_clear, kernel/time/ntp.c).
		// Whoever reads the clock sees the step itself.
		b.MaxError, b.EstError, b.Status, b.Offset = t.MaxError, t.EstError, t.Status, t.Offset
	}
	const set = phc.StaLoops | phc.StaIns | phc.StaDel | phc.StaFreqHold
	leap := b.Status&(phc.StaIns|phc.StaDel) != 0
	grown := t.MaxError - b.MaxError
	switch {
	case math.Abs(t.FreqPPB-b.FreqPPB) > phc.FreqResolutionPPB:
		return "frequency"
	case t.Tick != b.Tick:
		return "tick"
	case (t.Status^b.Status)&set != 0, b.Status&phc.StaUnsync != 0 && t.Status&phc.StaUnsync == 0:
		return "status"
	case t.Offset > max(b.Offset, -b.Offset), -t.Offset > max(b.Offset, -b.Offset): // the kernel only lets it shrink
		return "offset"
	case grown < 0, t.MaxError < phc.MaxError && grown > time.Duration(since.Seconds()+2)*phc.MaxErrorRate:
		return "maximum error"
	case t.EstError != b.EstError:
		return "estimated error"
	case t.TAI != b.TAI && !leap:
		return "TAI offset"
	}
	return ""
}
