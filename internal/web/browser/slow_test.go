package browser

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"noonmark/internal/appliance"
	"noonmark/internal/history"
	"noonmark/internal/history/historytest"
	"noonmark/internal/proctest"
	"noonmark/refclock/status"
)

const day = 86400

// What the history of slow changes contains. It ends at a full hour; x is the time
// before its end, s.
const (
	freqEnd, freqSlope = -312.2, 0.4 / day // ppb, ppb/s: less than a ppb in a day
	tempEnd, tempSlope = 42.5, 0.25 / day  // degrees Celsius, K/s
	witnessGone        = 14 * day          // the first witness is silent for a week that begins then
	oldFrom, oldTo     = 40 * day, 35 * day
)

// slow are the columns of witnesses and followers: what each had at x before the end.
var slow = []struct {
	prefix, name string
	at           func(x float64) float64 // ns
}{
	{history.WitnessOf, "a.test", func(x float64) float64 {
		if x <= witnessGone && x > witnessGone-7*day {
			return math.NaN()
		}
		return 2e4 * math.Sin(x/(3*day))
	}},
	{history.WitnessOf, "b.test", func(x float64) float64 { return 3e5 - 5e4*x/(7*day) }},
	{history.WitnessOf, "old.test", func(x float64) float64 { // before the last month
		if x <= oldFrom && x > oldTo {
			return 7e4
		}
		return math.NaN()
	}},
	{history.FollowerOf, "/dev/ptp1", func(x float64) float64 { return 40 + 10*math.Cos(x/(2*day)) }},
	{history.FollowerOf, "system", func(x float64) float64 { return -700 + 100*x/(7*day) }},
}

// keepSlow keeps six weeks: a second in each half an hour, and in the last day one in
// each minute.
func keepSlow(t *testing.T, dir string, end int64) {
	t.Helper()
	columns := []history.Column{{Name: history.Frequency, Digits: 4}, {Name: history.Temperature, Digits: 3}, {Name: history.Bound}, {Name: history.State}}
	for _, s := range slow {
		columns = append(columns, history.Column{Name: history.ColumnName(s.prefix, s.name), Digits: 1})
	}
	historytest.Keep(t, dir, columns, func(add func(unix int64, values ...float64)) {
		step := int64(1800)
		for at := end - 42*day; at < end; at += step {
			if end-at <= day {
				step = 60
			}
			x := float64(end - at)
			v := []float64{freqEnd - freqSlope*x, tempEnd - tempSlope*x, 150, float64(status.Locked)}
			for _, s := range slow {
				v = append(v, s.at(x))
			}
			add(at, v...)
		}
	})
}

// pick shows a range of the history.
func (b *browser) pick(name string) {
	b.t.Helper()
	eval[bool](b, `(noonmark.loads = 0, [...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "`+name+`").click(), true)`)
	b.until(name+" is drawn", `noonmark.loads > 0 && [...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "`+name+`").getAttribute("aria-pressed") === "true"`)
}

// axis checks the labels of a chart's vertical axis: there are some, they differ, and
// they do not touch.
func (b *browser) axis(name string) {
	b.t.Helper()
	type label struct {
		Text string
		At   float64 // pixels
	}
	list := eval[[]label](b, fmt.Sprintf(`(() => {
		const p = noonmark.charts[%q].plot, a = p.axes[1];
		return a._values.map((v, i) => ({Text: v, At: p.valToPos(a._splits[i], "y")})).filter((l) => l.Text !== "");
	})()`, name))
	bad := len(list) < 3
	for i := range list {
		for _, l := range list[:i] {
			bad = bad || l.Text == list[i].Text || math.Abs(l.At-list[i].At) < 14
		}
	}
	if bad {
		b.t.Errorf("%s: the labels of the axis are %v", name, list)
	}
}

// labels returns the names of a chart's lines, and colours what tells them apart.
func (b *browser) labels(name string) (labels, colours []string) {
	b.t.Helper()
	return eval[[]string](b, fmt.Sprintf(`noonmark.charts[%q].kind.series.map((s) => s.label)`, name)),
		eval[[]string](b, fmt.Sprintf(`noonmark.charts[%[1]q].plot.series.slice(1).map((s) => noonmark.charts[%[1]q].plot.ctx && s.stroke(noonmark.charts[%[1]q].plot) + " " + (s.dash || ""))`, name))
}

// line fits a line to the values that are drawn, and returns its value at the time end,
// its slope and the largest distance of a value from it.
func line(x []float64, y []*float64, end float64) (at, slope, off float64, n int) {
	var sx, sy, sxx, sxy float64
	for i, v := range y {
		if v != nil {
			t := x[i] - end
			n, sx, sy, sxx, sxy = n+1, sx+t, sy+*v, sxx+t*t, sxy+t**v
		}
	}
	slope = (float64(n)*sxy - sx*sy) / (float64(n)*sxx - sx*sx)
	at = (sy - slope*sx) / float64(n)
	for i, v := range y {
		if v != nil {
			off = max(off, math.Abs(*v-at-slope*(x[i]-end)))
		}
	}
	return at, slope, off, n
}

// What changes slowly is drawn as the history has it: the frequency and the temperature
// of a day, and witnesses and followers over weeks.
func TestSlowChangesAreDrawn(t *testing.T) {
	b := open(t)
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	end := time.Now().Truncate(time.Hour).Unix()
	keepSlow(t, filepath.Join(site.Dir, "history"), end)
	proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", site.Config("refclockweb")).WaitFor(t, "msg=ready")
	b.size(1280, 900, "light")
	b.visit(site.URL() + "#history")
	b.until("the page is connected", `noonmark.loads > 0`)

	b.pick("Day")
	for _, c := range []struct {
		chart              string
		atEnd, slope, fine float64 // fine: how exact the values are
	}{
		{"frequency_ppb", freqEnd, freqSlope, 1e-3},
		{"temperature_c", tempEnd, tempSlope, 1e-3},
	} {
		d := b.chart(c.chart)
		step := d.X[1] - d.X[0]
		at, slope, off, n := line(d.X, d.Series[0], float64(end))
		// The page opens up to an hour after the end, and a point is the mean of its step.
		if want := int((day - 3600) / step); n < want-2 || step > 600 {
			t.Errorf("%s: %d values each %v s, want %d", c.chart, n, step, want)
		}
		if math.Abs(at-c.atEnd) > c.slope*step+c.fine || math.Abs(slope-c.slope) > c.slope/50 || off > c.slope*step+c.fine {
			t.Errorf("%s: %.4f at the end, slope %.4f a day, %.4f off a line; want %.4f and %.4f", c.chart, at, slope*day, off, c.atEnd, c.slope*day)
		}
		if d.Pixels < 500 {
			t.Errorf("%s: %d pixels", c.chart, d.Pixels)
		}
	}
	// The keyboard tells two neighbouring minutes of a slow change apart.
	eval[bool](b, `(document.getElementById("chart-frequency_ppb").focus(), true)`)
	said := map[string]bool{}
	for _, k := range []string{kb.Home, kb.ArrowRight, kb.ArrowRight, kb.ArrowRight, kb.ArrowRight} {
		b.press(k)
		_, figure, _ := strings.Cut(eval[string](b, `document.getElementById("announce").textContent`), " · ")
		said[figure] = true
	}
	if len(said) < 4 {
		t.Errorf("five keys spoke %d figures: %v", len(said), said)
	}
	b.sizes("day")

	b.pick("Month")
	groups := []struct{ prefix, figure string }{{history.WitnessOf, "chart-group0"}, {history.FollowerOf, "chart-group1"}}
	for _, g := range groups {
		b.weeks(g.prefix, g.figure, end, 30*day)
	}
	b.sizes("month")

	// Two years have a witness more: its chart is made again, and obeys each key once.
	b.pick("Two years")
	for _, g := range groups {
		b.weeks(g.prefix, g.figure, end, 42*day)
	}
	width := `(noonmark.charts["witness_ns:"].window[1] - noonmark.charts["witness_ns:"].window[0])`
	whole := eval[float64](b, width)
	eval[bool](b, `(document.getElementById("chart-group0").focus(), noonmark.loads = 0, true)`)
	b.press(kb.End)
	b.press("+")
	b.until("+ shows a quarter", fmt.Sprintf(`noonmark.loads > 0 && Math.abs(%s / %f - .25) < .02`, width, whole))
	// The button goes back by one range: a second one would be of a chart that is not shown any more.
	eval[bool](b, `(noonmark.loads = 0, document.querySelector("#ranges button[aria-label='Back to the range before']").focus(), true)`)
	b.press(kb.Enter)
	b.until("Back shows all of it", fmt.Sprintf(`noonmark.loads > 0 && Math.abs(%s / %f - 1) < .02`, width, whole))
	b.quiet()
}

// weeks checks a line for each witness or follower that has a value in a range.
func (b *browser) weeks(prefix, element string, end int64, reach float64) {
	b.t.Helper()
	d := b.chart(prefix)
	step := d.X[1] - d.X[0]
	labels, looks := b.labels(prefix)
	var want []string
	for _, s := range slow {
		if s.prefix != prefix || s.name == "old.test" && reach < oldFrom {
			continue
		}
		want = append(want, s.name)
		k := slices.Index(labels, s.name)
		if k < 0 {
			continue
		}
		first, last, silent, wrong := math.Inf(1), 0., 0, ""
		for i, v := range d.Series[k] {
			x := float64(end) - d.X[i] - step/2 // in the middle of the step
			if v == nil {
				if x > 0 && x < reach {
					silent++
				}
				continue
			}
			first, last = min(first, d.X[i]), max(last, d.X[i])
			// Of what it is the mean of, or of a part where the values begin or end.
			low, high := math.Inf(1), math.Inf(-1)
			for y := max(x-step/2, 1); y <= x+step/2; y += step / 64 {
				if e := s.at(y); !math.IsNaN(e) {
					low, high = min(low, e), max(high, e)
				}
			}
			if margin := 1 + (high-low)/16; !(*v >= low-margin && *v <= high+margin) {
				wrong = fmt.Sprintf("%.0f ns %.2f d before the end, want %.0f to %.0f ns", *v, x/day, low, high)
			}
		}
		if wrong != "" {
			b.t.Errorf("%s%s: %s", prefix, s.name, wrong)
		}
		begin, over, gap := reach, 0., 0.
		switch s.name {
		case "a.test":
			gap = 7 * day
		case "old.test":
			begin, over, gap = oldFrom, oldTo, oldTo
		}
		if math.Abs(float64(end)-first-begin) > 3*step+3600 || math.Abs(float64(end)-last-over) > 3*step {
			b.t.Errorf("%s%s: drawn from %.2f d to %.2f d before the end, want %.2f d to %.2f d", prefix, s.name, (float64(end)-first)/day, (float64(end)-last)/day, begin/day, over/day)
		}
		if s.name != "old.test" && math.Abs(float64(silent)*step-gap) > 3*step {
			b.t.Errorf("%s%s: nothing is drawn for %.2f d, want %.2f d", prefix, s.name, float64(silent)*step/day, gap/day)
		}
	}
	slices.Sort(want)
	if !slices.Equal(labels, want) {
		b.t.Errorf("%s: the lines are %q, want %q", prefix, labels, want)
	}
	if slices.Sort(looks); len(slices.Compact(looks)) != len(labels) {
		b.t.Errorf("%s: lines look alike: %q", prefix, looks)
	}
	if legend := eval[[]string](b, fmt.Sprintf(`[...document.querySelectorAll("figure:has(#%s) .legend li")].map((e) => e.textContent)`, element)); !slices.Equal(legend, want) {
		b.t.Errorf("%s: the legend is %q, want %q", prefix, legend, want)
	}
	if text := eval[string](b, fmt.Sprintf(`document.getElementById(%q).getAttribute("aria-label")`, element)); !slices.ContainsFunc(want, func(n string) bool { return strings.Contains(text, n+" ") }) {
		b.t.Errorf("%s is described as %q", prefix, text)
	}
	if d.Pixels < 500 {
		b.t.Errorf("%s: %d pixels", prefix, d.Pixels)
	}
}

// sizes checks that a view fits a phone and a wall.
func (b *browser) sizes(name string) {
	b.t.Helper()
	axes := func() {
		b.t.Helper()
		for _, c := range []string{"kept", "frequency_ppb", "temperature_c", history.WitnessOf, history.FollowerOf} {
			b.axis(c)
		}
	}
	b.size(390, 844, "dark")
	b.fits(name + " on a phone")
	axes()
	b.keep("slow-" + name + "-phone")
	b.size(1920, 1080, "dark")
	b.fits(name + " on a wall")
	axes()
	b.keep("slow-" + name + "-wall")
	b.size(1280, 900, "light")
}
