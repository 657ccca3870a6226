package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"noonmark/internal/appliance"
	"noonmark/internal/fleetview"
)

// accessible opens the page of an appliance that has kept a day before it started.
func accessible(t *testing.T) *browser {
	t.Helper()
	b := open(t)
	a := start(t, appliance.Options{Seed: 3}, func(s *appliance.Site) {
		keepDay(t, filepath.Join(s.Dir, "history"), time.Now().Add(-2*time.Minute).Truncate(time.Minute))
		publishFleet(t, filepath.Join(s.Dir, fleetview.FileName), aFleet)
	})
	b.size(1280, 900, "light")
	b.visit(a.URL())
	b.until("the clock is locked", `document.getElementById("state").textContent === "locked"`)
	ask(t, a)
	return b
}

// view opens a view and waits until it is drawn.
func (b *browser) view(name string) {
	b.t.Helper()
	eval[bool](b, `(noonmark.loads = 0, location.hash = "#`+name+`", true)`)
	b.until("the view "+name, `noonmark.shown === "`+name+`" && !document.getElementById("`+name+`").hidden`)
	if name == "history" || name == "stability" {
		b.until("what is kept is drawn", `noonmark.loads > 0`)
		eval[bool](b, `(noonmark.loads = 0, [...document.querySelectorAll("#`+name+` .ranges button")].find((x) => x.textContent === "Day").click(), true)`)
		b.until("a day is drawn", `noonmark.loads > 0 && noonmark.charts.`+map[string]string{"history": "kept", "stability": "tdev"}[name]+`?.plot?.data[0].length > 1`)
	}
	if name == "fleet" {
		b.until("the nodes are shown", `document.querySelectorAll("#fleet-nodes .node").length === 4`)
	}
	if name == "server" {
		b.until("requests are counted", `document.querySelectorAll("#endpoints .rows").length > 0`)
	}
}

// press presses a key.
func (b *browser) press(key string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.KeyEvent(key)); err != nil {
		b.t.Fatalf("press %q: %v", key, err)
	}
}

// controls lists what a keyboard must reach, in the order of the page, and gives each an
// attribute that tells it apart.
const controls = `(() => {
	const all = [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex='0']")].filter((e) => !e.disabled && e.checkVisibility());
	return all.map((e, i) => { e.dataset.control = i; return i + " " + e.tagName + " " + (e.getAttribute("aria-label") || e.textContent).trim().slice(0, 40); });
})()`

// focused describes the element that has the focus: its control, and what is wrong
// with how it shows that.
const focused = `(() => {
	const e = document.activeElement, s = getComputedStyle(e), r = e.getBoundingClientRect();
	if (!e || e === document.body) return ["", ""];
	const wrong = [];
	if (!(s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2)) wrong.push("no outline: " + s.outline);
	if (r.width < 1 || r.height < 1) wrong.push("no size");
	if (r.bottom < 0 || r.top > innerHeight) wrong.push("not on the screen: " + r.top);
	const head = document.querySelector("header").getBoundingClientRect();
	if (!e.closest("header") && !e.classList.contains("skip") && r.bottom <= head.bottom) wrong.push("behind the header");
	return [e.dataset.control ?? "", wrong.join(", ")];
})()`

// The keyboard reaches every control of every view in the order of the page, and the
// focus can be seen.
func TestKeyboardReachesEveryControl(t *testing.T) {
	b := accessible(t)
	for _, v := range views {
		b.view(v)
		eval[bool](b, `(document.activeElement.blur(), getSelection().removeAllRanges(), scrollTo(0, 0), true)`)
		want := eval[[]string](b, controls)
		var got []string
		for range 3 * len(want) {
			b.press(kb.Tab)
			f := eval[[]string](b, focused)
			if f[1] != "" {
				t.Errorf("%s: control %q: %s", v, f[0], f[1])
			}
			if len(got) > 0 && f[0] == got[0] {
				break // once around
			}
			if f[0] != "" { // the browser itself, behind the last one
				got = append(got, f[0])
			}
		}
		// The focus begins at main, where the view was opened: rotate to the first control.
		if i := slices.Index(got, "0"); i > 0 {
			got = append(got[i:], got[:i]...)
		}
		for i, w := range want {
			id, _, _ := strings.Cut(w, " ")
			if i >= len(got) || got[i] != id {
				t.Errorf("%s: the keyboard went %q; want every one of %q in order", v, got, want)
				break
			}
		}
		if len(want) < 8 {
			t.Errorf("%s has %d controls: %q", v, len(want), want)
		}
	}
	b.quiet()
}

// Enter and the space bar press the buttons of ranges, and keys move along a chart,
// speak its figures, zoom and go back.
func TestKeysWorkOnRangesAndCharts(t *testing.T) {
	b := accessible(t)
	b.view("history")
	pressed := func(name string) string {
		return `[...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "` + name + `").getAttribute("aria-pressed") === "true"`
	}
	for _, c := range []struct{ button, key, step string }{{"Hour", kb.Enter, "1"}, {"Day", " ", "60"}} {
		eval[bool](b, `(noonmark.loads = 0, [...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "`+c.button+`").focus(), true)`)
		b.press(c.key)
		b.until(c.button+" is pressed", pressed(c.button))
		b.until(c.button+" is drawn", `noonmark.loads > 0 && (() => { const t = noonmark.charts.kept.plot.data[0]; return t[1] - t[0] >= `+c.step+`; })()`)
	}
	spoken := `document.getElementById("announce").textContent`
	eval[bool](b, `(document.getElementById("chart-kept").focus(), true)`)
	said := map[string]bool{}
	for _, k := range []string{kb.End, kb.ArrowLeft, kb.ArrowLeft, kb.ArrowLeft, kb.ArrowRight} {
		b.press(k)
		text := eval[string](b, spoken)
		if k == kb.End { // of this minute nothing is kept yet
			continue
		}
		if !strings.Contains(text, "bound") || !strings.Contains(text, "\u00a0ns") && !strings.Contains(text, "µs") {
			t.Errorf("after %q the page says %q", k, text)
		}
		said[text] = true
	}
	if len(said) < 3 {
		t.Errorf("five keys spoke %d texts: %v", len(said), said)
	}
	if !eval[bool](b, `!document.querySelector("#chart-kept .tip").hidden`) {
		t.Error("the figures at the cursor are not shown")
	}
	width := `(noonmark.charts.kept.window[1] - noonmark.charts.kept.window[0])`
	day := eval[float64](b, width)
	for range 12 {
		b.press(kb.ArrowRight)
	}
	b.press("+")
	b.until("+ zooms in", width+fmt.Sprintf(" < %f", day/2))
	eval[bool](b, `(document.getElementById("chart-kept").focus(), true)`)
	b.press(kb.Escape)
	b.until("Escape goes back", width+fmt.Sprintf(" > %f", day*0.99))
	for _, c := range []struct{ button, then string }{{"Zoom in", " < 0.6 * "}, {"Zoom out", " > 0.9 * "}, {"Earlier", " > 0.9 * "}, {"Back", " > 0.9 * "}} {
		from := eval[float64](b, `noonmark.charts.kept.window[0]`)
		eval[bool](b, `(noonmark.loads = 0, [...document.querySelectorAll("#ranges button")].find((x) => x.textContent === "`+c.button+`").focus(), true)`)
		b.press(kb.Enter)
		b.until(c.button, `noonmark.loads > 0 && `+width+c.then+fmt.Sprint(day))
		if c.button == "Earlier" && eval[float64](b, `noonmark.charts.kept.window[0]`) > from-day/3 {
			t.Error("Earlier shows nothing earlier")
		}
	}
	b.quiet()
}

// What a screen reader gets: landmarks, one heading of the first level, no level left
// out, a name for every control, and for every chart and drawing a text with figures.
func TestAccessibilityTree(t *testing.T) {
	b := accessible(t)
	for _, v := range views {
		b.view(v)
		nodes := b.tree()
		count := map[string]int{}
		level, headings := 0, 0
		for _, n := range nodes {
			count[n.role]++
			switch n.role {
			case "button", "link", "textbox", "combobox", "DisclosureTriangle", "application", "image", "img", "progressbar", "progressIndicator", "navigation", "table", "group":
				if n.name == "" && !(n.role == "table" || n.role == "group") {
					t.Errorf("%s: a %s has no name", v, n.role)
				}
			case "heading":
				if n.level == 1 {
					headings++
				}
				if n.level > level+1 {
					t.Errorf("%s: heading %q has level %d behind level %d", v, n.name, n.level, level)
				}
				level = n.level
			}
			if (n.role == "application" || n.role == "image" || n.role == "img") && !strings.ContainsAny(n.name, "0123456789") && !strings.Contains(n.name, "No satellites") {
				t.Errorf("%s: %s %q has no figures", v, n.role, n.name)
			}
		}
		if headings != 1 {
			t.Errorf("%s has %d headings of the first level", v, headings)
		}
		for role, want := range map[string]int{"main": 1, "banner": 1, "navigation": 1} {
			if count[role] != want {
				t.Errorf("%s has %d of %s, want %d", v, count[role], role, want)
			}
		}
		if count["status"] < 1 {
			t.Errorf("%s has no status", v)
		}
		if charts := eval[int](b, `[...document.querySelectorAll(".chart")].filter((e) => e.checkVisibility()).length`); count["application"] != charts {
			t.Errorf("%s: %d charts are drawn, %d are in the tree", v, charts, count["application"])
		}
	}
	if live := eval[string](b, `document.getElementById("announce").getAttribute("aria-live")`); live != "polite" {
		t.Errorf("what is spoken is %q", live)
	}
	if s := eval[string](b, `document.getElementById("announce").textContent`); s == "" {
		t.Error("nothing was spoken")
	}
}

// node is a node of the accessibility tree that is not ignored.
type node struct {
	role, name string
	level      int
}

// tree returns the accessibility tree, in order.
func (b *browser) tree() (list []node) {
	b.t.Helper()
	got, err := chromedp.Run(b.ctx, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	if err != nil {
		b.t.Fatal(err)
	}
	text := func(v *accessibility.Value) (s string) {
		if v != nil {
			_ = json.Unmarshal([]byte(v.Value), &s)
		}
		return strings.TrimSpace(s)
	}
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range got.Nodes {
		byID[n.NodeID] = n
	}
	var walk func(n *accessibility.Node)
	walk = func(n *accessibility.Node) {
		if !n.Ignored {
			x := node{role: text(n.Role), name: text(n.Name)}
			for _, p := range n.Properties {
				if p.Name == "level" {
					_ = json.Unmarshal([]byte(p.Value.Value), &x.level)
				}
			}
			list = append(list, x)
		}
		for _, id := range n.ChildIDs {
			if c := byID[id]; c != nil {
				walk(c)
			}
		}
	}
	if len(got.Nodes) > 0 {
		walk(got.Nodes[0])
	}
	return list
}

// violation is a rule of axe that a view does not keep.
type violation struct {
	ID    string
	Help  string
	Nodes []struct{ HTML, FailureSummary string }
}

// The rules of axe-core hold in each view, light and dark, on a desk and a phone. They
// contain the contrast of all texts (WCAG 2.2, level AA).
func TestAxe(t *testing.T) {
	source, err := os.ReadFile(filepath.Join("..", "..", "..", ".cache", "npm", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		t.Skipf("axe-core is missing: npm install --prefix .cache/npm axe-core@4.14.1 (%v)", err)
	}
	b := accessible(t)
	eval[bool](b, string(source)+"\n;true")
	passed := map[string]bool{}
	for _, colours := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			b.size(width, 900, colours)
			for _, v := range views {
				b.view(v)
				var r struct {
					Violations, Passes []violation
				}
				text, err := chromedp.Run(b.ctx, chromedp.Evaluate[string](`axe.run(document, {resultTypes: ["violations"]}).then((r) => JSON.stringify({violations: r.violations, passes: r.passes.map((p) => ({id: p.id}))}))`, chromedp.EvalAwaitPromise))
				if err != nil {
					t.Fatal(err)
				}
				if err := json.Unmarshal([]byte(text), &r); err != nil {
					t.Fatal(err)
				}
				for _, p := range r.Passes {
					passed[p.ID] = true
				}
				for _, x := range r.Violations {
					for _, n := range x.Nodes[:min(len(x.Nodes), 3)] {
						t.Errorf("%s, %s, %d px: %s (%s): %s: %s", v, colours, width, x.ID, x.Help, n.HTML, n.FailureSummary)
					}
				}
			}
		}
	}
	for _, rule := range []string{"color-contrast", "button-name", "select-name", "heading-order", "landmark-one-main", "scrollable-region-focusable"} {
		if !passed[rule] {
			t.Errorf("the rule %s was never checked: %d rules were", rule, len(passed))
		}
	}
}
