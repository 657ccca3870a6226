package discipline

import (
	"math"
	"testing"
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/discipline/servo"
)

// A line of an earlier run that cannot be one is not compared with: it comes from a file.
func TestImplausibleLastLine(t *testing.T) {
	t.Parallel()
	good := LastLine{Mono: 1e12, Time: 1_790_000_000e9, RatePPB: 2000, Err: 100, ErrRate: 5, Since: 0.99e12}
	for name, c := range map[string]struct {
		change func(*LastLine)
		kept   bool
	}{
		"as it was given on":           {func(*LastLine) {}, true},
		"a negative error":             {func(l *LastLine) { l.Err = -1 }, false},
		"an error of half a second":    {func(l *LastLine) { l.Err = 0.5e9 }, false},
		"an error that shrinks":        {func(l *LastLine) { l.ErrRate = -1 }, false},
		"pulses left it after the end": {func(l *LastLine) { l.Since = l.Mono + 1 }, false},
	} {
		line := good
		c.change(&line)
		var ctl Controller
		ctl.Inherit(Inherited{Last: line})
		if kept := ctl.inherited.Last != (LastLine{}); kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}

// Pulses that are acquired anew, after they had jumped, are compared with where they were.
// That reduces what the bound covers, and never adds to it.
func TestJumpsAreComparedWithTheLineBefore(t *testing.T) {
	t.Parallel()
	const mono, second = int64(1e12), 1_790_000_000 * tai.Second
	g := givenUp{line: LastLine{Mono: mono, Time: second, RatePPB: 2000}, mono: mono, e: servo.Estimate{R: 900, P22: 0.01, Q2: 0.01, N: 100}, now: ClockNow{Err: 100}}
	for name, c := range map[string]struct {
		before jump          // in the bound when the line was noted
		covers jump          // since
		moved  float64       // ns, by which pulses are off the line now
		shift  tai.Time      // whole seconds that labels moved meanwhile
		after  time.Duration // the pulses are acquired
		want   float64       // ns that the bound covers then, to a tenth
	}{
		"back":                       {covers: jump{413e3, 100}, moved: 0, after: 300 * time.Second, want: 0},
		"back, and another second":   {covers: jump{413e3, 100}, moved: 30, shift: -tai.Second, after: 300 * time.Second, want: 0},
		"partly back":                {covers: jump{-413e3, 100}, moved: -200e3, after: 300 * time.Second, want: 200e3},
		"where they had jumped to":   {covers: jump{413e3, 100}, moved: 413e3, after: 300 * time.Second, want: 413e3},
		"farther away":               {covers: jump{413e3, 100}, moved: 900e3, after: 300 * time.Second, want: 413e3},
		"no jump, and away":          {moved: 900e3, after: 300 * time.Second, want: 0},
		"the line is uncertain":      {covers: jump{413e3, 100}, moved: 20e3, after: 6000 * time.Second, want: 20e3 + 113e3},
		"the line shows nothing now": {covers: jump{413, 100}, moved: 0, after: 40 * time.Hour, want: 513},
		"back to an earlier place":   {before: jump{413e3, 100}, covers: jump{413e3, 100}, moved: -413e3, after: 300 * time.Second, want: 0},
		"on a line that had jumped":  {before: jump{413e3, 100}, covers: jump{413e3, 100}, moved: 0, after: 300 * time.Second, want: 413e3},
	} {
		g.jump = c.before
		b := errorBound{jump: c.covers}
		at := mono + int64(c.after)
		begins := second + tai.Time(c.after) + tai.Time(2000e-9*float64(c.after)) - tai.Time(c.moved) + c.shift
		j, ok := g.jumped(begins, at, 30)
		if !ok {
			t.Fatalf("%s: no line", name)
		}
		b.reduce(j)
		if got := b.unexplained(); math.Abs(got-c.want) > c.want/10 {
			t.Errorf("%s: the bound covers %.0f ns, want %.0f", name, got, c.want)
		}
	}
	if _, ok := new(givenUp).jumped(second, mono, 30); ok {
		t.Error("there was no line")
	}
}
