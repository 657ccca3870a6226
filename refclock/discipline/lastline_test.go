package discipline

import "testing"

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
