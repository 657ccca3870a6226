package browser

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"noonmark/internal/appliance"
	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/refclock/discipline"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// expiring is an appliance, and what its page is to show of what ends.
type expiring struct {
	name               string
	life, certificate  time.Duration // of the certificate, and until it ends
	leap               int           // days until the table ends
	keys               string        // keys.renew
	wantCert, wantLeap string        // levels
	wantKeys           int           // days that the secret has; 0: no schedule
	tls                bool          // the page has the certificate too
}

// write writes the files of the appliance: a certificate and a table of leap seconds.
func (x *expiring) write(t *testing.T, s *appliance.Site, now time.Time) {
	t.Helper()
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	issued := now.Add(x.certificate - x.life)
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, issued)
	fail(err)
	leaf, err := ca.Issue([]string{"localhost", "127.0.0.1"}, x.life, nil, issued)
	fail(err)
	for _, old := range []string{certs.ServerCert, certs.ServerKey} {
		fail(os.Remove(filepath.Join(s.Dir, old)))
	}
	fail(leaf.Save(s.Dir))
	fail(os.WriteFile(filepath.Join(s.Dir, certs.AuthorityCert), ca.CertPEM(), 0o644))

	const ntpEpoch = 2208988800 // s from 1900 to 1970
	expires := now.Truncate(24*time.Hour).AddDate(0, 0, x.leap)
	published, err := os.ReadFile(filepath.Join("..", "..", "..", "phc", "tai", "testdata", "leap-seconds.list"))
	fail(err)
	table := fmt.Sprintf("#@ %d\n", expires.Unix()+ntpEpoch)
	for line := range strings.Lines(string(published)) {
		if !strings.HasPrefix(line, "#") { // its hash covers its own expiry
			table += line
		}
	}
	list := proctest.Write(t, filepath.Join(s.Dir, "leap-seconds.list"), table)
	change := func(program, old, text string) {
		t.Helper()
		b, err := os.ReadFile(s.Config(program))
		fail(err)
		if strings.Count(string(b), old) != 1 {
			t.Fatalf("%s.toml has not one %q", program, old)
		}
		proctest.Write(t, s.Config(program), strings.Replace(string(b), old, text, 1))
	}
	change("refclockd", "[leap]\nfile = \"\"\n", fmt.Sprintf("[leap]\nfile = %q\n", list))
	if x.tls {
		change("refclockweb", "[refclockd]\n", fmt.Sprintf("[[certificate]]\nfile = %q\nkey = %q\n[refclockd]\n", filepath.Join(s.Dir, certs.ServerCert), filepath.Join(s.Dir, certs.ServerKey)))
	}
	change("ntsserve", "[keys]\n", fmt.Sprintf("[keys]\nrenew = %q\n", x.keys))
}

// The table of what ends has each date, the days left and how urgent that is. The secret
// of cookie keys, which ntsserve replaces itself, is not urgent.
func TestExpiryIsShown(t *testing.T) {
	b := open(t, chromedp.IgnoreCertErrors)
	for _, x := range []expiring{
		{name: "overdue", life: 90 * 24 * time.Hour, certificate: 10*24*time.Hour + 12*time.Hour, leap: -3, keys: "never", wantCert: "bad", wantLeap: "bad"},
		{name: "near", life: 90 * 24 * time.Hour, certificate: 20*24*time.Hour + 12*time.Hour, leap: 20, keys: "480h", wantCert: "warn", wantLeap: "warn", wantKeys: 20, tls: true},
		{name: "far", life: 6 * 24 * time.Hour, certificate: 5*24*time.Hour + 12*time.Hour, leap: 200, keys: "auto", wantCert: "good", wantLeap: "good", wantKeys: 8},
	} {
		now := time.Now().UTC()
		a := start(t, appliance.Options{Seed: 5}, func(s *appliance.Site) { x.write(t, s, now) })
		url := a.URL()
		if x.tls {
			url = "https" + strings.TrimPrefix(url, "http")
		}
		b.visit(url + "#health")
		for _, s := range [...]struct {
			width, height int64
			colours       string
		}{{390, 844, "light"}, {1920, 1080, "dark"}} {
			b.size(s.width, s.height, s.colours)
			b.expiry(&x, now)
			b.fits(x.name)
			if cut := eval[[]string](b, `[...document.querySelectorAll("#expiry .tag")].filter((e) => e.getBoundingClientRect().right > e.closest(".scroll").getBoundingClientRect().right).map((e) => e.textContent)`); len(cut) > 0 {
				t.Errorf("%s, %d px: the days left are cut: %q", x.name, s.width, cut)
			}
			b.keep(fmt.Sprintf("expiry-%s-%d", x.name, s.width))
		}
		// ntsserve's table is the same without the leap seconds, and the keyboard reaches it.
		eval[bool](b, `(document.getElementById("main").focus(), true)`)
		for range 12 {
			if b.press(kb.Tab); eval[bool](b, `document.activeElement.getAttribute("aria-label") === "Expiry, table"`) {
				break
			}
		}
		if f := eval[[]string](b, focused); f[1] != "" || !eval[bool](b, `document.activeElement.contains(document.getElementById("expiry"))`) {
			t.Errorf("%s: the keyboard does not reach the table: %q", x.name, f)
		}
		eval[bool](b, `(location.hash = "#server", true)`)
		b.until("the server's table", `document.querySelectorAll("#certs tbody tr").length === 2`)
		b.quiet()
		b.visit("about:blank")
		for _, p := range []*proctest.Process{a.web, a.ntsserve, a.refclockd} {
			if err := p.Stop(); err != nil {
				t.Errorf("%s: %v", x.name, err)
			}
		}
	}
}

// What refclockd learned of the oscillator is shown with its sign and enough digits, also
// where it is small. It publishes coefficients after days of pulses: here its own
// writers publish them.
func TestLearnedCoefficientsAreShown(t *testing.T) {
	b := open(t)
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	w, err := status.Create(filepath.Join(site.Dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	var present atomic.Pointer[report.Report]
	publish := func(d discipline.Thermal) {
		t.Helper()
		mono := phc.MonoRaw()
		r := &report.Report{Discipline: discipline.Status{Thermal: d}, Snapshot: status.Snapshot{
			State: status.Locked, Kind: status.SimClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PID: uint32(os.Getpid()), Mono: mono, Clock: 2e18, RefTime: 2e18,
			Bound: 100, BoundRate: 10, Limit: time.Millisecond, TAIOffset: 37, PulseMono: mono, Pulses: 7, Reason: "disciplined", Pulse: "sim", Receiver: "sim",
		}}
		if d.TempMono != 0 {
			r.Discipline.TempMono = mono
		}
		if err := w.Write(&r.Snapshot); err != nil {
			t.Fatal(err)
		}
		present.Store(r)
	}
	publish(discipline.Thermal{})
	read := func() *observe.Reference { return &observe.Reference{Report: present.Load(), Mono: phc.MonoRaw()} }
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- observe.NewDetails(site.Dir, read, slog.New(slog.DiscardHandler)).Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	proctest.Start(t, proctest.Program(t, "refclockweb"), "-config", site.Config("refclockweb")).WaitFor(t, "msg=ready")
	b.size(390, 844, "light")
	b.visit(site.URL() + "#sky")
	for _, c := range []struct {
		name                        string
		learned                     discipline.Thermal
		temperature, effect, ageing string // empty: not shown
	}{
		{"no sensor", discipline.Thermal{}, "", "", ""},
		{"ageing without a sensor", discipline.Thermal{AgeingPPB: 5.678}, "", "", "+5.68 ppb/day"},
		{"a sensor without effect", discipline.Thermal{TempMono: 1, TempC: 42.54}, "42.5 °C", "none seen so far", ""},
		{"a sensor that is stuck", discipline.Thermal{TempMono: 1, TempC: -3.2, SensorStuck: true}, "−3.2 °C, the sensor is stuck: not used", "none seen so far", ""},
		{"large", discipline.Thermal{TempMono: 1, TempC: 42, TempPPB: -123.44, TempLagS: 1200, AgeingPPB: 20}, "42.0 °C", "−123 ppb/K, lag 20 min", "+20 ppb/day"},
		{"small", discipline.Thermal{TempMono: 1, TempC: 42, TempPPB: .004, TempLagS: 90, AgeingPPB: -.003}, "42.0 °C", "+0.004 ppb/K, lag 1 min 30 s", "−0.003 ppb/day"},
	} {
		publish(c.learned)
		want := []string{c.temperature, c.effect, c.ageing}
		proctest.UntilState(t, c.name+" is shown", func() (bool, string) {
			got := eval[[]string](b, `["Temperature", "Effect of temperature", "Ageing"].map((k) => [...document.querySelectorAll("#pulse dt")].find((e) => e.textContent === k)?.nextElementSibling.textContent || "")`)
			return slices.Equal(got, want), fmt.Sprintf("%q, want %q", got, want)
		})
		b.fits(c.name)
	}
	b.size(1920, 1080, "dark")
	b.fits("coefficients on a wall")
	b.quiet()
}

// expiry checks the table of what ends.
func (b *browser) expiry(x *expiring, from time.Time) {
	b.t.Helper()
	b.until("both daemons are read", `noonmark.last?.status?.tai_offset_s === 37 && document.querySelectorAll("#expiry tbody tr").length >= 4`)
	rows := eval[[][]string](b, `[...document.querySelectorAll("#expiry tbody tr")].map((r) => [...r.cells].map((c) => c.textContent).concat([...(r.cells[2].firstElementChild?.classList || [])].filter((c) => c !== "tag")))`)
	row := func(what string) []string {
		for _, r := range rows {
			if strings.Contains(r[0], what) {
				return append(r, "")
			}
		}
		b.t.Errorf("%s: no row of %s in %q", x.name, what, rows)
		return []string{"", "", "", ""}
	}
	// check compares a row. The days left may have changed by one since from.
	check := func(what string, until time.Time, level, over string) {
		b.t.Helper()
		r := row(what)
		var left []string
		for _, at := range []time.Time{from, time.Now()} {
			if s := until.Sub(at); s < 0 {
				left = append(left, over)
			} else {
				left = append(left, fmt.Sprintf("%d d", int(s.Hours()/24)))
			}
		}
		days, _, _ := strings.Cut(r[2], " d ")
		if strings.Contains(r[2], " d ") {
			days += " d"
		}
		if r[1] != until.UTC().Format(time.DateOnly) || !slices.Contains(left, days) || r[3] != level {
			b.t.Errorf("%s: %q; want %s, %s left, %s", x.name, r, until.UTC().Format(time.DateOnly), left, level)
		}
	}
	check("certificate localhost, 127.0.0.1", from.Add(x.certificate), x.wantCert, "expired")
	if x.tls {
		check("certificate of this page localhost, 127.0.0.1", from.Add(x.certificate), x.wantCert, "expired")
	}
	check("/leap-seconds.list", from.Truncate(24*time.Hour).AddDate(0, 0, x.leap), x.wantLeap, "expired")
	if x.wantKeys == 0 {
		if r := row("cookie keys: "); r[1] != "no schedule" || r[2] != "–" || r[3] != "" {
			b.t.Errorf("%s: %q; want no schedule", x.name, r)
		}
		return
	}
	check("cookie keys: ", from.Add(time.Duration(x.wantKeys)*24*time.Hour), "good", "overdue")
}
