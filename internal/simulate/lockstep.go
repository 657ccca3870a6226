package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline"
	"noonmark/refclock/status"
)

// ErrStep is the error of a line that is not "t_s offset_ns".
var ErrStep = errors.New("malformed line")

// ServeLockStep runs a discipline in lock step with a simulator: it answers each
// line "t_s offset_ns" of r (offset of the clock from the reference, + = clock
// ahead; nan = no edge) with a line "freq_ppb step_ns" on w, flushed. It returns
// at the end of the input.
func ServeLockStep(cfg discipline.Config, r io.Reader, w io.Writer) error {
	l := lockStep{c: discipline.New(cfg)}
	in, out := bufio.NewScanner(r), bufio.NewWriter(w)
	for n := 1; in.Scan(); n++ {
		t, offset, err := parseStep(in.Text())
		if err != nil {
			return fmt.Errorf("line %d: %w: %w", n, ErrStep, err)
		}
		freq, step := l.next(t, offset)
		fmt.Fprintf(out, "%.6f %.3f\n", freq, step)
		if err := out.Flush(); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// parseStep reads "t_s offset_ns"; an offset of nan means no edge.
func parseStep(line string) (t, offset float64, err error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return 0, 0, fmt.Errorf("%q: need \"t_s offset_ns\"", line)
	}
	if t, err = strconv.ParseFloat(f[0], 64); err != nil || !(t >= 0 && t < 1e9) {
		return 0, 0, fmt.Errorf("%q is no time in seconds", f[0])
	}
	if offset, err = strconv.ParseFloat(f[1], 64); err != nil || math.Abs(offset) > 1e18 {
		return 0, 0, fmt.Errorf("%q is no offset in ns", f[1])
	}
	return t, offset, nil
}

// lockStep runs a controller in whole simulated seconds.
type lockStep struct {
	c     *discipline.Controller
	moved float64 // ns by which steps and corrections have moved the clock
}

// lockStepStart is the virtual instant of second 0, in s; any value serves.
const lockStepStart = 1e9

// next gives one second to the controller and returns what is in force until the
// next: the frequency correction, + = clock made faster, and the step. Whole
// seconds are known, because the offset says them; a step is done at once.
func (l *lockStep) next(t, offset float64) (freqPPB, stepNS float64) {
	mono := int64(lockStepStart+math.Round(t)) * 1e9
	nominal := tai.Time(mono)
	if math.IsNaN(offset) {
		// Without an edge the clock's reading follows from its own corrections.
		freqPPB = l.c.Tick(mono, nominal+tai.Time(math.Round(l.moved))).FreqPPB
		l.moved += freqPPB
		return freqPPB, 0
	}
	s := l.c.Status()
	whole := 0.0
	if s.State == status.Locked || s.State == status.Holdover {
		// The edge of a false pulse is late on every clock, not on ours alone.
		mono += int64(math.Round(offset - s.EstNS))
	} else {
		whole = math.Round(offset/1e9) * 1e9
	}
	a := l.c.Pulse(discipline.Pulse{Clock: nominal + tai.Time(math.Round(offset-whole)), Mono: mono})
	if a.Step != 0 {
		l.c.Stepped(mono, a.Step)
		a.FreqPPB = l.c.Status().FreqPPB
	}
	stepNS = float64(a.Step) - whole
	l.moved += a.FreqPPB + stepNS
	return a.FreqPPB, stepNS
}
