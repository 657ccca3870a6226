package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"noonmark/internal/appliance"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// screenshots is where the pictures are kept, relative to the root of the tree.
const screenshots = "../../../.cache/web"

// appliances are the programs of a simulated appliance.
type running struct {
	*appliance.Site
	refclockd, ntsserve, web *proctest.Process
}

// start starts an appliance, once its files are as before made them. Its programs end
// with the test.
func start(t *testing.T, o appliance.Options, before ...func(*appliance.Site)) *running {
	t.Helper()
	site, err := appliance.Write(proctest.ShortDir(t), o)
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	for _, f := range before {
		f(site)
	}
	a := &running{Site: site}
	a.refclockd = proctest.Start(t, proctest.Program(t, "refclockd"), "-config", site.Config("refclockd"))
	a.refclockd.WaitFor(t, "msg=ready")
	cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", site.Config("ntsserve"))
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+site.ServerRuntime())
	a.ntsserve = proctest.StartCmd(t, cmd)
	a.web = proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", site.Config("refclockweb"))
	a.web.WaitFor(t, "msg=ready")
	return a
}

// browser is Chromium with one page.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string // of the console
}

// open opens Chromium.
func open(t *testing.T, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	path := proctest.Require(t, "chromium")
	opts := append(append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path)), more...)
	if os.Getuid() == 0 {
		opts = append(opts, chromedp.NoSandbox)
	}
	ctx, stop := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatalf("chromium: %v", err)
	}
	console := chromedp.Console(ctx)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			b.mu.Lock()
			b.messages = append(b.messages, fmt.Sprintf("%s: %s (%s:%d)", m.Type, m.Text, m.URL, m.Line+1))
			b.mu.Unlock()
		}
	}()
	return b
}

// visit opens a view.
func (b *browser) visit(url string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// size sets the size of the window and its colours: light or dark.
func (b *browser) size(width, height int64, colours string) {
	b.t.Helper()
	media := func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: colours}}})
		return chromedp.Void{}, err
	}
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height), media); err != nil {
		b.t.Fatalf("set the size of the window: %v", err)
	}
}

// eval returns the value of an expression in the page.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits until an expression is true in the page.
func (b *browser) until(what, expression string) {
	b.t.Helper()
	proctest.UntilState(b.t, what, func() (bool, string) {
		return eval[bool](b, "!!("+expression+")"), eval[string](b, `document.body.dataset.level + ": " + document.getElementById("sentence").textContent`)
	})
}

// keep keeps a picture of the whole page.
func (b *browser) keep(name string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.MkdirAll(screenshots, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(screenshots, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Errorf("screenshot %s: %v", name, err)
	}
}

// fits checks that nothing is wider than the window, once it is drawn.
func (b *browser) fits(name string) {
	b.t.Helper()
	proctest.UntilState(b.t, name+" fits the window", func() (bool, string) {
		over := eval[[]string](b, `[...document.querySelectorAll("body *")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest(".scroll, nav, svg, .hidden, .skip")).map((e) => e.tagName + "." + e.className + "#" + e.id).slice(0, 5)`)
		return len(over) == 0, fmt.Sprintf("wider: %q", over)
	})
}

// quiet checks that the page wrote nothing to the console.
func (b *browser) quiet() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		b.t.Errorf("console: %s", m)
	}
	b.messages = nil
}

// drawn is what a chart shows.
type drawn struct {
	X      []float64 // time
	Series [][]*float64
	Pixels int // of the canvas that differ from the first one
}

// chart returns what is drawn in a chart of the page.
func (b *browser) chart(name string) (d drawn) {
	b.t.Helper()
	text := eval[string](b, fmt.Sprintf(`(() => {
		const p = noonmark.charts[%q].plot, c = p.ctx.canvas;
		const copy = new OffscreenCanvas(c.width, c.height).getContext("2d", {willReadFrequently: true});
		copy.drawImage(c, 0, 0);
		const px = new Uint32Array(copy.getImageData(0, 0, c.width, c.height).data.buffer);
		let n = 0;
		for (const v of px) n += v !== px[0];
		return JSON.stringify({X: p.data[0], Series: p.data.slice(1), Pixels: n});
	})()`, name))
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		b.t.Fatalf("chart %s: %v", name, err)
	}
	return d
}

// text returns the text of an element.
func (b *browser) text(id string) string {
	b.t.Helper()
	return strings.TrimSpace(eval[string](b, fmt.Sprintf(`document.getElementById(%q).innerText`, id)))
}
