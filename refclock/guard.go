package refclock

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// ErrContested is wrapped where a clock is left alone because another program
// steers it.
var ErrContested = errors.New("another program steers this clock")

const (
	// calmFirst is how long the system clock must have been left alone before
	// it is steered for the first time. A daemon that polls more seldom is found
	// by its name, or when it steers against us.
	calmFirst = 5 * time.Second
	// calmAgain is the same after another program was seen steering.
	calmAgain = 5 * time.Minute
)

// Guard is the system clock for a Follower: it notices other programs that
// steer it, keeps its hands off then, and tells the kernel how good the clock
// is. Two programs that both correct one clock swing it about. It is for one
// goroutine.
type Guard struct {
	clock  Clock
	kernel Kernel
	mono   func() int64
	rivals func() []string

	base   phc.Timex // as it was last seen or set
	known  bool
	ours   bool  // base holds what we set
	baseAt int64 // mono of it
	calmAt int64 // mono since when nobody else was seen
	calm   time.Duration
}

// NewGuard guards a clock, the system's. rivals names programs now running
// that are known to steer it (Rivals).
func NewGuard(c Clock, k Kernel, mono func() int64, rivals func() []string) *Guard {
	return &Guard{clock: c, kernel: k, mono: mono, rivals: rivals, calm: calmFirst}
}

// Calm looks whether the clock is left alone by others, and reports whether it
// has been for long enough to be steered. why says what it waits for after
// another program was seen.
func (g *Guard) Calm() (ok bool, why error) {
	if rs := g.rivals(); len(rs) > 0 {
		g.calmAt = g.mono()
		return false, fmt.Errorf("%w: %s is running; stop it, or set system_clock.mode to \"observe\"", ErrContested, strings.Join(rs, ", "))
	}
	if err := g.look(); err != nil {
		return false, err
	}
	if g.mono()-g.calmAt >= int64(g.calm) {
		return true, nil
	}
	if g.calm == calmAgain {
		return false, fmt.Errorf("%w: it was seen less than %v ago", ErrContested, g.calm)
	}
	return false, nil
}

// Own begins to steer: the kernel is told the offset of TAI, by which the clock
// is read from now on.
func (g *Guard) Own(offset int) error {
	if err := g.kernel.Tell(phc.Quality{TAI: offset}); err != nil {
		return err
	}
	return g.rebase()
}

// Tell tells the kernel how good the clock is.
func (g *Guard) Tell(q phc.Quality) error {
	if err := g.look(); err != nil {
		return err
	}
	if err := g.kernel.Tell(q); err != nil {
		return err
	}
	return g.rebase()
}

// crossWithin is how long a reading of the clock and of the kernel's offset may
// take together, for the two to be of one moment.
const crossWithin = int64(100 * time.Millisecond)

// Cross reads the clock as TAI, by the kernel's own offset: it alone changes in
// the same moment as CLOCK_REALTIME at a leap second, or up to a tick before it,
// which shows in the time that is told with it.
func (g *Guard) Cross() (phc.Cross, error) {
	if err := g.look(); err != nil {
		return phc.Cross{}, err
	}
	for range 3 {
		was, begun := g.base.TAI, g.mono()
		x, err := g.clock.Cross()
		if err != nil {
			return x, err
		}
		now, err := g.kernel.Load()
		if err != nil {
			return x, err
		}
		ahead := math.Round(float64(now.Real-x.Real) * 1e-9) // s: leap seconds that only one of the two has
		if now.TAI == was && math.Abs(ahead) <= 1 && g.mono()-begun < crossWithin {
			x.Clock = tai.Time(x.Real + int64(was+int(ahead))*1e9)
			return x, nil
		}
		g.base.TAI = now.TAI
	}
	return phc.Cross{}, errors.New("read system clock: it and its TAI offset do not stand still")
}

// AdjFreq sets the correction, ppb, + = faster.
func (g *Guard) AdjFreq(ppb float64) error {
	if err := g.look(); err != nil {
		return err
	}
	err := g.clock.AdjFreq(ppb)
	if err != nil && !errors.Is(err, phc.ErrFreqRange) {
		return err
	}
	return errors.Join(err, g.rebase())
}

// Step adds delta to the clock, + = forward.
func (g *Guard) Step(delta time.Duration) error {
	if err := g.look(); err != nil {
		return err
	}
	if err := g.clock.Step(delta); err != nil {
		return err
	}
	return g.rebase()
}

// FreqPPB returns the correction in force.
func (g *Guard) FreqPPB() (float64, error) { return g.clock.FreqPPB() }

// MaxFreq returns the largest correction.
func (g *Guard) MaxFreq() float64 { return g.clock.MaxFreq() }

// Index returns -1: the system clock is no PTP device.
func (g *Guard) Index() int { return -1 }

// rebase takes the state as ours.
func (g *Guard) rebase() error {
	t, err := g.kernel.Load()
	if err != nil {
		return err
	}
	g.base, g.known, g.ours, g.baseAt = t, true, true, g.mono()
	return nil
}

// look compares the kernel's state with what it was, and returns an error that
// wraps ErrContested if somebody else has written to it.
func (g *Guard) look() error {
	t, err := g.kernel.Load()
	if err != nil {
		return err
	}
	now := g.mono()
	if !g.known {
		g.base, g.known, g.baseAt, g.calmAt = t, true, now, now
		return nil
	}
	what := g.written(t, time.Duration(now-g.baseAt))
	if what == "" {
		if !g.ours {
			g.base, g.baseAt = t, now
		}
		return nil
	}
	g.base, g.baseAt, g.calmAt, g.ours, g.calm = t, now, now, false, calmAgain
	who := ""
	if rs := g.rivals(); len(rs) > 0 {
		who = "; " + strings.Join(rs, ", ") + " is running"
	}
	return fmt.Errorf("%w: its %s was written%s", ErrContested, what, who)
}

// written names what of the kernel's state changed by another hand within the
// time since it was last seen; "" if nothing did.
func (g *Guard) written(t phc.Timex, since time.Duration) string {
	b := g.base
	if t.MaxError >= phc.MaxError && b.MaxError < phc.MaxError && t.Status&phc.StaUnsync != 0 {
		// A step of the clock clears all of this (ntp_clear, kernel/time/ntp.c).
		// The step itself is seen by who reads the clock.
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
	case t.Offset > max(b.Offset, -b.Offset), -t.Offset > max(b.Offset, -b.Offset): // by itself it only shrinks
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

// daemons are programs that steer the system clock, as /proc/PID/comm shows
// them: 15 characters at most.
var daemons = []string{"chronyd", "ntpd", "systemd-timesyn", "phc2sys", "ntp-daemon", "openntpd", "timemaster"}

// Rivals names programs that run now and are known to steer the system clock.
// It is a hint: /proc may be another name space's, and a name says little.
// chronyd -x steers nothing.
func Rivals() []string { return rivals("/proc") }

func rivals(proc string) (found []string) {
	comms, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return nil // the pattern is a constant
	}
	for _, p := range comms {
		b, err := os.ReadFile(p)
		name := strings.TrimSpace(string(b))
		if err != nil || !slices.Contains(daemons, name) || slices.Contains(found, name) {
			continue
		}
		if args, err := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline")); err == nil && name == "chronyd" && slices.Contains(strings.Split(string(args), "\x00"), "-x") {
			continue
		}
		found = append(found, name)
	}
	return found
}
