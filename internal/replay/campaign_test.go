package replay

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/simulate"
	"noonmark/refclock/gnss/nmea"
)

// wild is a random site. Everything about it follows from its seed and the parts that
// are left out.
type wild struct {
	seed  uint64
	start time.Time
	for_  int // s

	order  []string      // of the sentences of a burst
	first  time.Duration // from the second to the first sentence
	jitter time.Duration
	baud   int
	fixAt  int // s; before it there is no fix
	stale  int // s, by which labels are ahead until staleTo
	faults []wildFault
	args   []string // options of the replay
	quiet  int      // s from which nothing is wrong any more
}

// wildFault is a misbehaviour of the receiver between two seconds.
type wildFault struct {
	kind     string // silence, garbage, lost, void
	from, to int
}

// newWild draws a site.
func newWild(seed uint64) *wild {
	r := rand.New(rand.NewPCG(seed, 0x77696c64))
	w := &wild{seed: seed, start: time.Date(2026, 11, 5+r.IntN(200), r.IntN(24), r.IntN(60), r.IntN(60), 0, time.UTC), for_: 2400}
	w.order = []string{"RMC"}
	for _, x := range []string{"GGA", "ZDA", "GLL", "GSA", "VTG"} {
		if r.IntN(2) == 0 {
			w.order = append(w.order, x)
		}
	}
	r.Shuffle(len(w.order), func(i, j int) { w.order[i], w.order[j] = w.order[j], w.order[i] })
	w.first = time.Duration(30+r.IntN(400)) * time.Millisecond
	w.jitter = time.Duration(r.IntN(30)) * time.Millisecond
	w.baud = []int{9600, 9600, 19200, 38400, 115200}[r.IntN(5)]
	at := 0
	if r.IntN(2) == 0 {
		w.fixAt = 5 + r.IntN(120)
		at = w.fixAt
	}
	if r.IntN(4) == 0 {
		w.stale = 1 + r.IntN(4)
		at = w.fixAt + 200 + r.IntN(300)
	}
	for range r.IntN(4) {
		from := at + 5 + r.IntN(200)
		at = from + 1 + r.IntN(60)
		w.faults = append(w.faults, wildFault{[]string{"silence", "garbage", "lost", "void"}[r.IntN(4)], from, at})
	}
	switch r.IntN(4) {
	case 0:
		w.args = append(w.args, "-no-rtc")
	case 1:
		w.args = append(w.args, "-kept")
	case 2:
		w.args = append(w.args, "-system", fmt.Sprintf("%dms", r.IntN(2000)-1000))
	}
	switch r.IntN(4) {
	case 0:
		w.args = append(w.args, "-both-edges", "-width", fmt.Sprintf("%dms", 10+r.IntN(400)), "-width-known")
	case 1:
		from := 20 + r.IntN(600)
		w.args = append(w.args, "-no-pulses", fmt.Sprintf("%d-%d", from, from+1+r.IntN(120)))
		at = max(at, from+121)
	}
	if r.IntN(3) == 0 {
		from := 60 + r.IntN(600)
		w.args = append(w.args, "-restart", fmt.Sprintf("%d,%d", from, from+1+r.IntN(300)))
		at = max(at, from+301)
	}
	w.quiet = at
	return w
}

// events are what the receiver sends.
func (w *wild) events() *Events {
	r := rand.New(rand.NewPCG(w.seed, 0x65766e74))
	e := &Events{Name: fmt.Sprintf("seed %d", w.seed), Start: w.start}
	for i := 1; i <= w.for_; i++ {
		at := time.Duration(i)*time.Second + w.first + time.Duration(r.Float64()*float64(w.jitter))
		fault := ""
		for _, f := range w.faults {
			if i >= f.from && i < f.to {
				fault = f.kind
			}
		}
		if fault == "silence" {
			continue
		}
		label := w.start.Add(time.Duration(i) * time.Second)
		if w.stale != 0 && i < w.staleTo() {
			label = label.Add(time.Duration(w.stale) * time.Second)
		}
		for _, k := range w.order {
			b := nmea.Append(nil, body(k, label, i >= w.fixAt && fault != "void"))
			if fault == "garbage" {
				for j := range b {
					b[j] = byte(r.Uint32())
				}
			}
			if fault != "lost" || r.IntN(2) == 0 {
				e.Sent = append(e.Sent, Sent{at, b})
			}
			at += time.Duration(len(b)) * 10 * time.Second / time.Duration(w.baud)
		}
	}
	return e
}

// staleTo is the second at which the receiver learns the leap seconds: within 13 min
// of its fix.
func (w *wild) staleTo() int { return w.fixAt + 100 + int(w.seed%100) }

// body is a sentence about a second.
func body(kind string, t time.Time, fix bool) string {
	hms, q, mode := t.Format("150405")+".00", "1", "A"
	pos := "4723.0012,N,00832.4412,E"
	if !fix {
		q, mode, pos = "0", "V", ",,,"
	}
	switch kind {
	case "RMC":
		return "GNRMC," + hms + "," + mode + "," + pos + ",0.004,," + t.Format("020106") + ",,," + strings.NewReplacer("V", "N").Replace(mode)
	case "GGA":
		return "GNGGA," + hms + "," + pos + "," + q + ",09,0.9,408.1,M,47.3,M,,"
	case "ZDA":
		return "GNZDA," + hms + t.Format(",02,01,2006") + ",00,00"
	case "GLL":
		return "GNGLL," + pos + "," + hms + "," + mode + "," + strings.NewReplacer("V", "N").Replace(mode)
	case "GSA":
		return "GNGSA,A," + map[bool]string{true: "3", false: "1"}[fix] + ",02,05,06,12,15,25,29,,,,,,1.61,0.90,1.33,1"
	}
	return "GNVTG,,T,,M,0.004,N,0.008,K," + mode
}

// fails returns what does not hold for a site; empty: all does.
func (w *wild) fails() (string, error) {
	var s Site
	fl := flag.NewFlagSet("", flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	s.Flags(fl)
	if err := fl.Parse(w.args); err != nil {
		return "", err
	}
	run, err := s.Run(w.events())
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	run.JSON = &b
	if _, err := run.Play(); err != nil {
		return "", err
	}
	var sum simulate.Summary
	end, served := float64(w.for_), false
	for line := range bytes.Lines(b.Bytes()) {
		var x simulate.Second
		if json.Unmarshal(line, &x) == nil && x.T > end-120 && x.T <= end && x.Served {
			served = true
		}
		if bytes.HasPrefix(line, []byte(`{"summary"`)) {
			if err := json.Unmarshal(line, &sum); err != nil {
				return "", err
			}
		}
	}
	switch {
	case sum.WrongS > 0:
		return fmt.Sprintf("wrong time served for %d s, at worst %d ns off", sum.WrongS, sum.WorstNS), nil
	case sum.OutsideS > 0:
		return fmt.Sprintf("%d s outside the bound", sum.OutsideS), nil
	case !served:
		return fmt.Sprintf("not served at the end, %d s after the last fault: %s", w.for_-w.quiet, sum.FinalState), nil
	}
	return "", nil
}

// shrink leaves out what the failure does not need.
func (w *wild) shrink() *wild {
	try := func(change func(*wild)) {
		n := *w
		n.faults, n.args, n.order = slices.Clone(w.faults), slices.Clone(w.args), slices.Clone(w.order)
		change(&n)
		if f, err := n.fails(); err == nil && f != "" {
			w = &n
		}
	}
	for i := len(w.faults) - 1; i >= 0; i-- {
		try(func(n *wild) { n.faults = slices.Delete(n.faults, i, i+1) })
	}
	try(func(n *wild) { n.stale = 0 })
	try(func(n *wild) { n.fixAt = 0 })
	try(func(n *wild) { n.jitter = 0 })
	for i := len(w.order) - 1; i >= 0; i-- {
		if w.order[i] != "RMC" {
			try(func(n *wild) { n.order = slices.Delete(n.order, i, i+1) })
		}
	}
	for i := len(w.args) - 1; i >= 0; i-- {
		if strings.HasPrefix(w.args[i], "-") {
			end := i + 1
			for end < len(w.args) && (!strings.HasPrefix(w.args[end], "-") || w.args[i] == "-system" && end == i+1) {
				end++
			}
			try(func(n *wild) { n.args = slices.Delete(n.args, i, end) })
		}
	}
	return w
}

// write writes the events of a site, with its options in a comment.
func (w *wild) write(dir, why string) (string, error) {
	e := w.events()
	var b bytes.Buffer
	fmt.Fprintf(&b, "# campaign, seed %d: %s\n# options: %s\nstart %s\n", w.seed, why, strings.Join(w.args, " "), e.Start.Format(time.RFC3339))
	for _, x := range e.Sent {
		fmt.Fprintf(&b, "%.6f hex %x\n", x.At.Seconds(), x.Data)
	}
	path := filepath.Join(dir, fmt.Sprintf("seed-%d.events", w.seed))
	return path, os.WriteFile(path, b.Bytes(), 0o600)
}

// TestCampaign plays random sites: nothing may be served outside of the bound, and a
// good receiver must be served again, whatever was before. NOONMARK_CAMPAIGN is for
// how long, such as 10m; NOONMARK_SEED the first seed; NOONMARK_CAMPAIGN_DIR where
// failures are written. Without them a few sites are played.
func TestCampaign(t *testing.T) {
	t.Parallel()
	long, err := time.ParseDuration(os.Getenv("NOONMARK_CAMPAIGN"))
	sites := 4
	if err == nil {
		sites = 1 << 30
	}
	seed, err := strconv.ParseUint(os.Getenv("NOONMARK_SEED"), 10, 64)
	if err != nil {
		seed = 1
	}
	dir := os.Getenv("NOONMARK_CAMPAIGN_DIR")
	if dir == "" {
		dir = t.TempDir()
	}
	began, n, bad := time.Now(), 0, 0
	for ; n < sites && (long == 0 || time.Since(began) < long); n++ {
		w := newWild(seed + uint64(n))
		why, err := w.fails()
		if err != nil {
			t.Fatalf("seed %d: %v", w.seed, err)
		}
		if why == "" {
			continue
		}
		bad++
		small := w.shrink()
		why, _ = small.fails()
		path, err := small.write(dir, why)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("seed %d: %s; refclockctl replay %s %s", w.seed, why, strings.Join(small.args, " "), path)
	}
	t.Logf("seeds %d to %d: %d sites, %d failures", seed, seed+uint64(n)-1, n, bad)
}
