package browser

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/appliance"
	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/history/historytest"
	"noonmark/internal/proctest"
	"noonmark/refclock/status"
)

// views are the views of the page, by their fragment.
var views = []string{"now", "history", "stability", "sky", "server", "fleet", "health"}

// The appliance locks, loses its antenna, gets it back, and inserts a leap second.
func TestPageFollowsAnAppliance(t *testing.T) {
	const outage = 45 * time.Second
	b := open(t)
	a := start(t, appliance.Options{Seed: 7, Start: time.Date(2016, 12, 31, 23, 58, 20, 0, time.UTC), Faults: appliance.AntennaUnplugged(outage, 30*time.Second)})

	b.size(1280, 900, "light")
	b.visit(a.URL())
	b.until("the page is connected", `document.getElementById("link").dataset.on !== undefined`)
	// The state and what is to be done may come a second apart, and are spoken one after the other.
	eval[bool](b, `(globalThis.spoken = [], new MutationObserver(() => spoken.push(document.getElementById("announce").textContent)).observe(document.getElementById("announce"), {childList: true}), true)`)
	// The inserted second is shown for a second, in which this test may get no time.
	eval[bool](b, `(globalThis.leap = 0, new MutationObserver(() => leap += document.getElementById("time").textContent === "23:59:60").observe(document.getElementById("time"), {childList: true, characterData: true, subtree: true}), true)`)
	b.until("the clock is locked", `document.getElementById("state").textContent === "locked"`)
	ask(t, a)

	now := b.chart("live")
	if n := len(now.X); n < 5 || len(now.Series) != 3 || now.Pixels < 1000 {
		t.Errorf("the chart has %d points of %d series, %d pixels", n, len(now.Series), now.Pixels)
	}
	last := len(now.X) - 1
	if bound, offset := now.Series[0][last], now.Series[2][last]; bound == nil || offset == nil || *bound <= 0 || max(*offset, -*offset) > *bound {
		t.Errorf("bound and offset drawn last: %v, %v", bound, offset)
	}
	if s := b.text("sentence"); !strings.Contains(s, "Locked") || !strings.Contains(s, "of true time") {
		t.Errorf("sentence: %s", s)
	}
	if d := b.text("date"); !strings.Contains(d, "31 December 2016") {
		t.Errorf("date: %s", d)
	}
	if n := eval[int](b, `document.querySelectorAll("#sky-small .sat.used").length`); n < 8 {
		t.Errorf("%d satellites in use are drawn", n)
	}
	b.quiet()

	b.until("holdover", `document.getElementById("state").textContent === "holdover"`)
	b.until("the antenna is named", `/antenna/.test(document.getElementById("todo").innerText)`)
	if s := eval[string](b, `spoken.join(" | ")`); !strings.Contains(s, "Holdover") || !strings.Contains(s, "antenna") {
		t.Errorf("spoken in holdover: %q", s)
	}
	if s := b.text("sentence"); !strings.Contains(s, "Holdover") || !strings.Contains(s, "limit") {
		t.Errorf("sentence in holdover: %s", s)
	}
	b.until("there are points without an offset", `noonmark.live.offset_ns.slice(-3).every((x) => x === null)`)
	b.until("the prediction is drawn", `!document.getElementById("hold-past").hidden && !!noonmark.charts.hold?.plot && noonmark.charts.hold.plot.data[2].at(-1) > 0`)
	b.until("the prediction is known for a while", `noonmark.charts.hold.plot.data[0].length >= 20`)
	// How well the bound is predicted is shown in refclock/sim, in virtual time. After half a
	// minute of pulses, on a busy machine, only a wrong unit or a wrong second shows here.
	hold := b.chart("hold")
	for i, came := range hold.Series[0] {
		if v := hold.Series[1][i]; v != nil && came != nil && (*v > 2**came || *v < *came/2) {
			t.Errorf("second %d of the holdover: predicted %.0f ns, came %.0f ns", i, *v, *came)
		}
	}
	b.keep("holdover")
	b.until("no satellite is tracked", `document.querySelectorAll("#sky-small .sat.used").length === 0`)

	b.until("locked again", `document.getElementById("state").textContent === "locked"`)
	for _, v := range views {
		eval[string](b, `location.hash = "#`+v+`"`)
		if v == "history" || v == "stability" {
			b.until("what is kept is drawn", `noonmark.loads > 0 && !!noonmark.charts.`+map[string]string{"history": "kept", "stability": "tdev"}[v]+`?.plot`)
			eval[int](b, `noonmark.loads = 0`)
		}
		b.until("the view "+v, `noonmark.shown === "`+v+`" && !document.getElementById("`+v+`").hidden`)
		for _, s := range [...]struct {
			name          string
			width, height int64
			colours       string
		}{{"phone", 390, 844, "light"}, {"desk", 1280, 900, "light"}, {"wall", 1920, 1080, "dark"}} {
			b.size(s.width, s.height, s.colours)
			b.until("the page is drawn", `document.readyState === "complete"`)
			b.fits(v + " " + s.name)
			b.keep(v + "-" + s.name)
		}
	}
	kept := b.chart("kept")
	holdover := 0
	for i, bound := range kept.Series[0] {
		if bound != nil && kept.Series[4][i] == nil {
			holdover++ // a bound without a measurement
		}
	}
	if n := len(kept.X); n < 600 || n > 602 || holdover < 15 || kept.Pixels < 1000 {
		t.Errorf("history: %d points, %d in holdover, %d pixels", n, holdover, kept.Pixels)
	}
	if s := b.chart("tdev"); len(s.X) < 2 || s.Series[0][0] == nil || *s.Series[0][0] < 1 || *s.Series[0][0] > 1000 || s.Series[2][0] == nil {
		t.Errorf("stability: %d points: %v", len(s.X), s.Series)
	}
	if s := b.text("receiver"); !strings.Contains(s, "u-blox SIM-9T") || !strings.Contains(s, "SIM 1.00") || !strings.Contains(s, "NMEA 0183, UBX, version 27.31") {
		t.Errorf("the receiver is shown as %q", s)
	}
	b.size(1280, 900, "light")
	eval[string](b, `location.hash = "#server"`)
	b.until("requests are counted", `/ntp/.test(document.getElementById("endpoints").innerText)`)
	b.until("the client is listed", `/127\.0\.0\.0\/24/.test(document.getElementById("clients-table").innerText)`)
	eval[string](b, `location.hash = "#now"`)

	b.until("the inserted second", `leap > 0`)
	b.keep("leap-second")
	b.until("the new year", `/1 January 2017/.test(document.getElementById("date").textContent)`)
	b.until("the new count of leap seconds", `/TAI−UTC 37 s/.test(document.getElementById("date").textContent)`)
	if e := eval[[]string](b, `noonmark.errors`); len(e) > 0 {
		t.Errorf("errors of the page: %q", e)
	}
	b.quiet()
}

// Zooming reads finer data, and back coarser ones.
func TestZoomReadsFinerData(t *testing.T) {
	b := open(t)
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	now := time.Now().Truncate(time.Minute)
	keepDay(t, filepath.Join(site.Dir, "history"), now)
	web := proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", site.Config("refclockweb"))
	web.WaitFor(t, "msg=ready")
	b.size(1280, 900, "light")
	b.visit(site.URL() + "#history")
	b.until("the page is connected", `noonmark.loads > 0`)
	step := `(() => { const t = noonmark.charts.kept?.plot.data[0]; return t && t.length > 1 ? t[1] - t[0] : 0; })()`
	eval[int](b, `(noonmark.history.pick(86400), 0)`)
	b.until("the day is drawn", step+" >= 60")
	b.fits("day")
	b.keep("history-day")
	peak := func() (m float64) {
		for _, v := range b.chart("kept").Series[3] {
			if v != nil {
				m = max(m, *v)
			}
		}
		return m
	}
	if p := peak(); p < 4999 {
		t.Errorf("the highest offset of the day is drawn as %v, want 5000: a short peak must not vanish in means", p)
	}
	at := now.Add(-6 * time.Hour).Unix()
	eval[int](b, fmt.Sprintf(`(noonmark.history.select(%d, %d), 0)`, at-300, at+300))
	b.until("seconds are drawn", step+" === 1")
	b.keep("history-zoom")
	if p := peak(); p < 4999 {
		t.Errorf("the peak is drawn as %v after zooming", p)
	}
	eval[int](b, `([...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "Back").click(), 0)`)
	b.until("the day is drawn again", step+" >= 60")
	eval[string](b, `location.hash = "#stability"`)
	eval[int](b, `([...document.querySelectorAll("#stability-ranges button")].find((x) => x.textContent === "Day").click(), 0)`)
	b.until("the stability of a day", `noonmark.charts.tdev?.plot?.data[0].at(-1) >= 10000`)
	b.keep("stability-day")
	b.quiet()
	checkMemory(t, web)
	web.Signal(t, os.Interrupt)
	<-web.Ended()
}

// checkMemory checks what the program took at most: answers about a day are the
// largest.
func checkMemory(t *testing.T, p *proctest.Process) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		t.Skipf("no /proc to read the memory of a process in: %v", err)
	}
	var kB int
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &kB); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Logf("refclockweb took at most %d kB", kB)
	if kB == 0 || kB > 20<<10 {
		t.Errorf("refclockweb took %d kB, want less than 20 MB", kB)
	}
}

// keepDay keeps a day of measurements with noise that is a sine, and one peak.
func keepDay(t *testing.T, dir string, end time.Time) {
	t.Helper()
	columns := []history.Column{{Name: history.Offset, Digits: 1}, {Name: history.Bound}, {Name: history.State}, {Name: history.Temperature, Digits: 2}, {Name: history.ColumnName(history.WitnessOf, "a.test"), Digits: 1}}
	from := end.Unix() - 86400
	historytest.Keep(t, dir, columns, func(add func(unix int64, values ...float64)) {
		for i := range int64(86400) {
			x := float64(i)
			offset, state := 30*math.Sin(x*1.7)+20*math.Sin(x/5000), float64(status.Locked)
			if i == 64800 {
				offset = 5000
			}
			if i > 30000 && i < 34000 {
				offset, state = math.NaN(), float64(status.Holdover)
			}
			add(from+i, offset, 200+math.Max(0, math.Min(x-30000, 34000-x)), state, 42+5*math.Sin(x/14000), 2e4*math.Sin(x/700)+1e5)
		}
	})
	historytest.Events(t, dir,
		events.Event{Time: time.Unix(from+30000, 0).UTC(), Kind: events.State, Text: "locked to holdover", State: "holdover", Was: "locked", Reason: "no_pulses"},
		events.Event{Time: time.Unix(from+34000, 0).UTC(), Kind: events.Holdover, Text: "holdover ended", DurationS: ptr(4000.), BoundNS: ptr(int64(2200)), OffsetNS: ptr(-310.), Reason: "no_pulses"},
	)
}

func ptr[T any](v T) *T { return &v }

// ask sends a few requests to the server of an appliance.
func ask(t *testing.T, a *running) {
	t.Helper()
	out, err := exec.Command(proctest.Program(t, "ntsquery"), "-plain", "-n", "3", a.NTPAddress()).CombinedOutput()
	if err != nil {
		t.Errorf("ntsquery: %v\n%s", err, out)
	}
}
