package browser

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"noonmark/internal/appliance"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
	"noonmark/phc"
)

// aFleet is a fleet of four nodes, each in another state.
func aFleet() *fleetview.File {
	now := time.Now().UTC().Truncate(time.Second)
	at := func(days float64) time.Time { return now.Add(time.Duration(days * 24 * float64(time.Hour))) }
	ns := func(v int64) *int64 { return &v }
	alone := &fleetview.Configuration{State: "left alone: there is no ntsserve.local.toml", Unmanaged: []string{"ntsserve"}}
	has := &fleetview.Certificate{Generation: 3, NotAfter: at(60).Unix(), State: "in place"}
	return &fleetview.File{
		Self: fleetview.Self{State: fleetview.Serves, Alone: true},
		Fleet: fleetview.Fleet{
			Name: "time", Node: "a", Time: now, Plan: 12, Until: at(38), Without: at(37.9), Rotate: "24h0m0s", Keep: 8, Serving: 2, Planner: "b",
			Roots: []fleetview.Root{
				{ID: "0b1c2d3e4f5061728394a5b6c7d8e9f0", State: "opens", Since: at(-10), Until: at(-2), Expires: at(7), Holders: 3},
				{ID: "1b1c2d3e4f5061728394a5b6c7d8e9f0", State: "sealing", Since: at(-2), Until: at(6), Expires: at(15), Holders: 3},
				{ID: "2b1c2d3e4f5061728394a5b6c7d8e9f0", State: "planned", Since: at(6), Until: at(14), Expires: at(23), Holders: 2},
				{ID: "3b1c2d3e4f5061728394a5b6c7d8e9f0", State: "pending", Holders: 1},
			},
			Nodes: []fleetview.Node{
				{Name: "a", Live: true, State: fleetview.Serves, Trusted: true, Plan: 12, Holds: 4, Configuration: alone, Certificate: has,
					Health: &fleetview.Health{Announced: true, Healthy: true, Clock: "locked, disciplined", BoundNS: ns(120), Stratum: 1, Load: 840}},
				{Name: "b", Live: true, State: fleetview.Serves, Trusted: true, Plan: 12, Holds: 4, Configuration: &fleetview.Configuration{State: "refused: line 7"}, Certificate: &fleetview.Certificate{Generation: 2, State: "has not taken it yet"},
					Health: &fleetview.Health{Reasons: []string{"bound: 24 µs"}, Clock: "holdover, no_pulse", BoundNS: ns(24000), Stratum: 1, Load: 12}},
				{Name: "c", Live: true, State: fleetview.Drained, Drain: "<i>new disc</i>", Trusted: true, Plan: 12, Holds: 3, Configuration: alone, Certificate: has},
				{Name: "a-node-with-a-long-name.example", State: "away"},
			},
			Rollout:     &fleetview.Rollout{Number: 4, Phase: "undone", Why: "b: line 7", Granted: []string{}},
			Certificate: &fleetview.Order{Names: []string{"time.example.org"}, Generation: 3, Expires: at(60)},
		},
	}
}

// aMaintainedFleet is a fleet as it mostly is: one node is drained for work, one in holdover. docs/page-fleet.png
// shows it.
func aMaintainedFleet() *fleetview.File {
	f := aFleet()
	n := f.Fleet.Nodes
	for i := range n {
		n[i].Plan, n[i].Live, n[i].State, n[i].Trusted, n[i].Holds = f.Fleet.Plan, true, fleetview.Serves, true, 3
		n[i].Configuration, n[i].Certificate = &fleetview.Configuration{Rollout: 4, Healthy: true, State: "in place"}, n[0].Certificate
	}
	n[2].State, n[2].Drain = fleetview.Drained, "new disc"
	bound := int64(310)
	n[3].Name, n[3].Health = "d", &fleetview.Health{Announced: true, Healthy: true, Clock: "locked, disciplined", BoundNS: &bound, Stratum: 1, Load: 795}
	f.Fleet.Serving, f.Fleet.Rollout, f.Fleet.Roots = 3, &fleetview.Rollout{Number: 4, Phase: "done", Granted: []string{}}, f.Fleet.Roots[:3]
	return f
}

// publishFleet plays the agent of a node: it writes what f returns as long as the test lasts.
// It returns how often.
func publishFleet(t *testing.T, path string, f func() *fleetview.File) *atomic.Int64 {
	t.Helper()
	file := durable.Published{Path: path, Mode: 0o644}
	var count atomic.Int64
	write := func() {
		x := f()
		if x == nil {
			return
		}
		x.PID, x.Mono = 7, phc.MonoRaw()
		x.ReadMono = x.Mono - int64(3*time.Second)
		b, err := x.Encode()
		if err == nil {
			err = file.Write(b)
		}
		if err != nil {
			t.Error(err)
		}
		count.Add(1)
	}
	write()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				write()
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	return &count
}

// The view of the fleet is there where an agent publishes, and shows each node, the bounds on
// one axis and the schedule of roots.
func TestFleetIsShown(t *testing.T) {
	b := open(t)
	var present atomic.Pointer[fleetview.File]
	a := start(t, appliance.Options{Seed: 3})
	path := filepath.Join(a.Dir, fleetview.FileName)
	b.size(1280, 900, "light")
	b.visit(a.URL() + "#fleet")
	b.until("the page is connected", `noonmark.last !== null`)
	if !eval[bool](b, `document.getElementById("nav-fleet").hidden`) {
		t.Error("a machine in no fleet has a link to the fleet")
	}
	b.until("it says that there is none", `document.getElementById("fleet-none").innerText.includes("is in no fleet")`)
	b.fits("no fleet")

	// publishFleet writes before it returns; the page looks again within 5 s.
	publishFleet(t, path, func() *fleetview.File {
		if f := present.Load(); f != nil {
			return f
		}
		return aFleet()
	})
	b.until("the link is there", `!document.getElementById("nav-fleet").hidden`)
	b.until("the nodes are shown", `document.querySelectorAll("#fleet-nodes .node").length === 4`)
	if s := b.text("fleet-sentence"); s != "Fleet time, seen from a. 2 of 4 nodes serve. b plans for all." {
		t.Errorf("sentence: %s", s)
	}
	// Those that do not serve come first; what others wrote is text.
	want := []string{"a-node-with-a-long-name.example bad", "b warn", "c warn", "a good"}
	if got := eval[[]string](b, `[...document.querySelectorAll("#fleet-nodes .node")].map((e) => e.querySelector("h3").firstChild.textContent + " " + e.dataset.level)`); strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("nodes %q, want %q", got, want)
	}
	if s := b.text("fleet-nodes"); !strings.Contains(s, "drained: <i>new disc</i>") || !strings.Contains(s, "refused: line 7") || !strings.Contains(s, "bound: 24 µs") {
		t.Errorf("nodes:\n%s", s)
	}
	if tiles := b.text("fleet-tiles"); !strings.Contains(tiles, "2 of 4") || !strings.Contains(tiles, "±24.0\u00a0µs") || !strings.Contains(tiles, "852 /s") || !strings.Contains(tiles, "37 d") || !strings.Contains(tiles, "time.example.org") {
		t.Errorf("tiles: %q", tiles)
	}
	b.fleetBounds()
	b.fleetRoots()
	if rows := eval[[][]string](b, `[...document.querySelectorAll("#fleet-table tbody tr")].map((r) => [...r.cells].map((c) => c.textContent))`); len(rows) != 4 || rows[0][0] != "a" || rows[0][3] != "±120\u00a0ns" || rows[3][1] != "away" {
		t.Errorf("table: %q", rows)
	}
	for _, s := range [...]struct {
		name          string
		width, height int64
		colours       string
	}{{"phone", 390, 844, "light"}, {"desk", 1280, 900, "light"}, {"wall", 1920, 1080, "dark"}} {
		b.size(s.width, s.height, s.colours)
		b.fits("fleet " + s.name)
		b.keep("fleet-" + s.name)
	}

	present.Store(aMaintainedFleet())
	b.until("another fleet is shown", `document.getElementById("fleet-sentence").innerText.includes("3 of 4 nodes serve.")`)
	b.size(1280, 900, "light")
	b.fits("a maintained fleet")
	b.keep("fleet-maintained")

	drained := aFleet()
	drained.Self = fleetview.Self{State: fleetview.Drained, Why: "is drained", Drain: "new disc"}
	drained.Etcd = "read fleet: context deadline exceeded"
	drained.Rotation = &fleetview.Rotation{Waits: []fleetview.Waiter{{Node: "c", Reason: "away", Why: "is away"}}}
	present.Store(drained)
	b.until("what is wrong with this node is said", `/etcd does not answer: read fleet/.test(document.getElementById("fleet-notes").innerText) && /This node is drained \(new disc\)/.test(document.getElementById("fleet-notes").innerText) && /They wait: node c is away/.test(document.getElementById("fleet-notes").innerText)`)
	b.quiet()
}

// fleetBounds checks the lengths of the bars: the axis is one of powers of ten.
func (b *browser) fleetBounds() {
	b.t.Helper()
	type bar struct {
		Node string
		W    float64
	}
	bars := eval[[]bar](b, `[...document.querySelectorAll("#fleet-bounds .bound")].map((e) => ({Node: e.dataset.node, W: +e.getAttribute("width")}))`)
	if len(bars) != 2 || bars[0].Node != "b" || bars[1].Node != "a" {
		b.t.Fatalf("bars of bounds: %+v", bars)
	}
	// From 100 ns to 100 µs are three decades.
	for i, bound := range []float64{24000, 120} {
		if want := 320 * math.Log10(bound/100) / 3; math.Abs(bars[i].W-want) > .5 {
			b.t.Errorf("the bar of %s is %.1f long, want %.1f", bars[i].Node, bars[i].W, want)
		}
	}
	if s := eval[string](b, `document.querySelector("#fleet-bounds svg").getAttribute("aria-label")`); s != "Error bounds. b 24.0\u00a0µs, a 120\u00a0ns" {
		b.t.Errorf("the picture of bounds is called %q", s)
	}
}

// fleetRoots checks when each root seals, and that the present is inside the one that does.
func (b *browser) fleetRoots() {
	b.t.Helper()
	type bar struct {
		Root string
		X, W float64
	}
	bars := eval[[]bar](b, `[...document.querySelectorAll("#fleet-roots .seals")].map((e) => ({Root: e.dataset.root[0], X: +e.getAttribute("x"), W: +e.getAttribute("width")}))`)
	now := eval[float64](b, `+document.querySelector("#fleet-roots .now").getAttribute("x1")`)
	if len(bars) != 3 {
		b.t.Fatalf("roots: %+v", bars)
	}
	day := 350.0 / 33 // from 10 days ago to in 23 days
	for i, from := range []float64{-10, -2, 6} {
		if x := bars[i]; x.Root != fmt.Sprint(i) || math.Abs(x.X-(now+from*day)) > .5 || math.Abs(x.W-8*day) > .5 {
			b.t.Errorf("root %d: %+v, want %.1f from %.1f on", i, x, 8*day, now+from*day)
		}
	}
	if s := b.text("fleet-roots-line"); !strings.HasPrefix(s, "3 in the schedule, 1 waiting") {
		b.t.Errorf("roots: %s", s)
	}
}
