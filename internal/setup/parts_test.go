package setup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/sim"
)

func TestBootSettings(t *testing.T) {
	t.Parallel()
	heard := Port{Node: "/dev/ttyAMA0", Heard: &Heard{Baud: 9600, Dated: true}}
	for _, c := range []struct {
		name, config, cmdline string
		m                     Machine
		add, drop             string
	}{
		{name: "no Raspberry Pi"},
		{name: "a card has the pulse", config: "a=1\n", m: Machine{Board: "Raspberry Pi 5", Cards: []Card{{Pins: []Pin{{Stamps: 3}}}}}},
		{name: "all there", config: "dtoverlay=pps-gpio,gpiopin=4\nenable_uart=1\ndtoverlay=disable-bt\n", cmdline: "console=tty1 root=x", m: Machine{Board: "Raspberry Pi 4"}},
		{name: "commented out", config: "#dtoverlay=pps-gpio\n", m: Machine{Board: "Raspberry Pi 5", Ports: []Port{heard}}, add: "dtoverlay=pps-gpio,gpiopin=18"},
		{name: "pulse only", config: "", m: Machine{Board: "Raspberry Pi 5", Pulses: []Pulse{{Device: "/dev/pps0"}}}, add: "dtparam=uart0=on"},
		{name: "fresh Pi 3", config: "x", cmdline: "console=serial0,115200 console=tty1 root=x\n", m: Machine{Board: "Raspberry Pi 3 Model B"},
			add: "dtoverlay=pps-gpio,gpiopin=18 enable_uart=1 dtoverlay=disable-bt", drop: "console=serial0,115200"},
	} {
		c.m.Boot = Boot{config: c.config, cmdLine: c.cmdline}
		if c.name != "no Raspberry Pi" {
			c.m.Boot.Config, c.m.Boot.CmdLine = "/boot/config.txt", "/boot/cmdline.txt"
		}
		var add, drop []string
		for _, e := range BootEdits(&c.m, DefaultGPIO) {
			add, drop = append(add, e.Add...), append(drop, e.Drop...)
			switch {
			case e.Path == c.m.Boot.Config && !strings.HasPrefix(e.text, c.config):
				t.Errorf("%s: config.txt lost lines: %q", c.name, e.text)
			case e.Path == c.m.Boot.CmdLine && e.text != "console=tty1 root=x\n":
				t.Errorf("%s: cmdline.txt is %q", c.name, e.text)
			}
		}
		if strings.Join(add, " ") != c.add || strings.Join(drop, " ") != c.drop {
			t.Errorf("%s: add %q, remove %q; want %q, %q", c.name, add, drop, c.add, c.drop)
		}
	}
}

// Boot settings are written with a copy beside them, once, and undone.
func TestBootSettingsAreUndone(t *testing.T) {
	t.Parallel()
	s := load(t, "fresh-pi")
	m := s.look(nil)
	before := tree(t, s.root)
	sys := s.system()
	p, err := sys.Plan(m, Defaults(m), false)
	if err != nil {
		t.Fatal(err)
	}
	p.Boot = BootEdits(m, 4)
	if err := sys.ApplyBoot(p); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.root, m.Boot.Config)
	now, _ := os.ReadFile(config)
	kept, _ := os.ReadFile(config + ".before-setup")
	if !strings.Contains(string(now), "gpiopin=4") || string(kept) != m.Boot.config {
		t.Errorf("%q, and a copy %q", now, kept)
	}
	if again := BootEdits(s.look(nil), 4); len(again) != 0 {
		t.Errorf("again: %+v", again)
	}
	if err := sys.Undo(io.Discard); err != nil {
		t.Fatal(err)
	}
	sameTree(t, "undo", before, tree(t, s.root))
}

// The settings of the example drop-ins in systemd/ are in those that setup writes, so that a
// change of the units is not forgotten here.
func TestDropInsHaveTheSettingsOfTheExamples(t *testing.T) {
	t.Parallel()
	settings := func(text string) (list []string) {
		for line := range strings.Lines(text) {
			if l := strings.TrimSpace(line); l != "" && l[0] != '#' && l[0] != '[' && !strings.HasPrefix(l, "Conflicts=") {
				list = append(list, l)
			}
		}
		return list
	}
	unit := func(name string) string {
		b, err := os.ReadFile(filepath.Join("../../systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	m := &Machine{Units: Units{ntsserve: unit(ntsserveUnit)}, Rivals: []Rival{{Unit: "chrony.service", Clock: true}}}
	card := &Source{Kind: CardClock, card: &Card{StampsAll: true}, port: &Port{Node: "/dev/ttyS0"}}
	for example, written := range map[string][]byte{
		"ntsserve-hardware-stamps.conf": ntsserveSettings(m, card),
		"refclockd-card-clock.conf":     refclockdSettings(m, card),
		"ntsserve-kernel-source.conf":   ntsserveSettings(m, &Source{Kind: KernelClock}),
		"refclockweb-acme.conf":         webSettings(),
	} {
		have := settings(string(written))
		b, err := os.ReadFile(filepath.Join("../../systemd", example))
		if errors.Is(err, os.ErrNotExist) { // the unit has its settings now
			if len(have) > 0 {
				t.Errorf("%s is gone, and setup still writes %q", example, have)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range settings(string(b)) {
			if !slices.Contains(have, x) {
				t.Errorf("%s has %s, setup writes %q", example, x, have)
			}
		}
	}
	// Where refclockd is to keep the system clock too, it needs the capability of the unit.
	for _, s := range []*Source{card, {Kind: SystemClock, port: card.port}} {
		if have := settings(string(refclockdSettings(&Machine{}, s))); slices.Contains(have, "AmbientCapabilities=") {
			t.Errorf("kind %v: setup takes the capability away: %q", s.Kind, have)
		}
	}
}

// patch(1) turns the old text into the new one by our diff.
func TestDiffCanBeApplied(t *testing.T) {
	t.Parallel()
	const ten = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"
	for _, c := range [][2]string{
		{"", "a\nb\n"}, {"a\nb\n", ""}, {"a\n", "b\n"}, {ten, "0\n" + ten}, {ten, ten + "11\n"},
		{ten, strings.Replace(ten, "5\n", "", 1)}, {ten + ten, "x\n" + ten[2:] + strings.Replace(ten, "9\n", "y\nz\n", 1)},
		{ten + ten + ten, strings.Replace(ten, "2\n", "two\n", 1) + ten + strings.Replace(ten, "9\n", "nine\n", 1)},
	} {
		d := diff("file", c[0], c[1])
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if c[0] != "" {
			if err := os.WriteFile(path, []byte(c[0]), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		program, err := exec.LookPath("patch")
		if err != nil {
			t.Skip("needs the program patch")
		}
		cmd := exec.CommandContext(t.Context(), program, "-p0", "-s", "file")
		cmd.Dir, cmd.Stdin = dir, strings.NewReader(d)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("patch: %v\n%s\n%s", err, out, d)
			continue
		}
		if b, _ := os.ReadFile(path); string(b) != c[1] {
			t.Errorf("got %q, want %q by\n%s", b, c[1], d)
		}
	}
	if d := diff("file", ten, ten); d != "" {
		t.Errorf("no difference is %q", d)
	}
	if d := diff("file", "", strings.Repeat("x\n", maxDiff+1)); strings.Count(d, "\n") != 3 {
		t.Errorf("a huge file has a diff of %d octets", len(d))
	}
}

func TestTimestampsOfAPin(t *testing.T) {
	t.Parallel()
	const s = int64(time.Second)
	one := phc.ExtTSGrant{Version: 2, Edges: phc.Rising, Certain: true}
	both := phc.ExtTSGrant{Version: 2, Edges: phc.Both, Certain: true}
	unsure := phc.ExtTSGrant{Version: 1, Edges: phc.Rising}
	for _, c := range []struct {
		name   string
		stamps []int64
		grant  phc.ExtTSGrant
		n      int
		width  time.Duration
		fault  bool
	}{
		{"silent", nil, both, 0, 0, false},
		{"10 Hz", []int64{0, s / 10, 2 * s / 10, 3 * s / 10, 4 * s / 10, 5 * s / 10, 6 * s / 10, 7 * s / 10, 8 * s / 10}, both, 0, 0, true},
		{"stray edge", []int64{0, s / 3, s}, one, 0, 0, true},
		{"one edge", []int64{5, s + 6, 2*s + 1400}, one, 3, 0, false},
		{"one edge of a driver that promises both", []int64{5, s + 6, 2*s + 4}, both, 3, 0, false},
		{"both edges, in any order", []int64{s + s/10, 0, s, s / 10, 2*s + 300, 2*s + s/10}, both, 6, 100 * time.Millisecond, false},
		{"both edges by version 1", []int64{0, s / 5, s, s + s/5}, unsure, 4, 200 * time.Millisecond, false},
	} {
		p := Pin{}
		p.judge(c.stamps, c.grant)
		if p.Stamps != c.n || p.Width != c.width || p.Both != (c.width > 0) || (p.Error != "") != c.fault {
			t.Errorf("%s: %+v", c.name, p)
		}
	}
}

// card makes timestamps of a pulse and can refuse.
type card struct {
	events  []phc.ExtTSEvent
	enable  error
	read    error
	enabled int
}

func (c *card) EnableExtTS(phc.ExtTS) (phc.ExtTSGrant, error) {
	c.enabled++
	return phc.ExtTSGrant{Edges: phc.Both, Certain: true}, c.enable
}

func (c *card) DisableExtTS(int) error { c.enabled--; return nil }

func (c *card) ReadExtTS(ctx context.Context, dst []phc.ExtTSEvent) (int, error) {
	n := copy(dst, c.events)
	c.events = c.events[n:]
	if n == 0 {
		if c.read != nil {
			return 0, c.read
		}
		return 0, context.DeadlineExceeded
	}
	return n, nil
}

// Timestamps are disabled again, whatever happens; stamps of other channels and
// repeated ones do not count.
func TestPinIsLeftAsItWas(t *testing.T) {
	t.Parallel()
	flood := make([]phc.ExtTSEvent, 200)
	for i := range flood {
		flood[i].Clock = tai.Time(1000 * i)
	}
	for _, c := range []struct {
		name   string
		card   card
		stamps int
		fault  bool
	}{
		{"refused", card{enable: errors.New("busy"), enabled: 1}, 0, true}, // what was not enabled is not disabled
		{"gone", card{read: phc.ErrGone}, 0, true},
		{"flood", card{events: flood}, 0, true},
		{"pulse", card{events: []phc.ExtTSEvent{{Clock: 1e9}, {Clock: 1e9}, {Clock: 1e9 + 1e8}, {Clock: 12e8, Channel: 1}, {Clock: 2e9}, {Clock: 5, Offset: true}}}, 3, false},
	} {
		before := c.card.enabled
		p := Pin{}
		p.listen(t.Context(), &c.card)
		if c.name == "refused" {
			before++
		}
		if p.Stamps != c.stamps || (p.Error != "") != c.fault || c.card.enabled != before || !p.Heard {
			t.Errorf("%s: %+v, enabled %d times", c.name, p, c.card.enabled-before)
		}
	}
}

func TestQuestionsAreAskedUntilTheyCanBeUsed(t *testing.T) {
	t.Parallel()
	m := &Machine{Names: []string{"192.0.2.1"}, Rivals: []Rival{{Unit: "chrony.service", Running: true, Clock: true}}}
	for _, c := range []struct {
		typed string
		want  Answers
		err   error
	}{
		{"", Answers{}, ErrNoAnswer},
		{"\n\n", Answers{}, ErrNoAnswer},
		{"sundial\n2\n192.0.2.0/33\n192.0.2.0/24\nacme\nacme x\n2\nacme time.example.org\nlan\n3", Answers{"kernel", "192.0.2.0/24", "acme time.example.org", "off"}, nil},
		{"\n\n\n\n", Answers{"chrony", "private", "own", "local"}, nil},
		{"\n\n\nnetwork", Answers{"chrony", "private", "own", "network"}, nil},
	} {
		a := Defaults(m)
		var out bytes.Buffer
		p := NewPrompt(strings.NewReader(c.typed), &out)
		var err error
		qs := Questions(m, &a)
		if len(qs) > 4 {
			t.Errorf("%d questions", len(qs))
		}
		for _, q := range qs {
			if err = p.Ask(q); err != nil {
				break
			}
		}
		if !errors.Is(err, c.err) || err == nil && a != c.want {
			t.Errorf("%q: %v, %+v", c.typed, err, a)
		}
	}
	for typed, want := range map[string]bool{"": false, "\n": false, "no\n": false, "yesterday\n": false, "y\n": true, "YES\n": true} {
		if yes, _ := NewPrompt(strings.NewReader(typed), io.Discard).Yes("?"); yes != want {
			t.Errorf("%q is %v", typed, yes)
		}
	}
}

// Without somebody to answer, without root, with impossible answers and at the end of
// the input nothing is changed, and nothing waits.
func TestRunChangesNothingWithoutConsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		typed string
		root  bool
		o     Options
		err   error
	}{
		{"nobody to answer", "", true, Options{}, exitcode.ErrUsage},
		{"not root", "", false, Options{Yes: true}, os.ErrPermission},
		{"no such clock", "", true, Options{Yes: true, Answers: Answers{Clock: "eth9"}}, exitcode.ErrUsage},
		{"no such answer", "", true, Options{DryRun: true, Answers: Answers{NTS: "maybe"}}, exitcode.ErrUsage},
		{"no such networks", "", true, Options{DryRun: true, Answers: Answers{Clients: "192.0.2.0/33"}}, exitcode.ErrUsage},
		{"no such place", "", true, Options{DryRun: true, Answers: Answers{Web: "everywhere"}}, exitcode.ErrUsage},
		{"end of the input", "", true, Options{Terminal: true}, ErrNoAnswer},
		{"no", "\n\n\nno\n", true, Options{Terminal: true}, nil},
		{"undo, no", "no\n", true, Options{Terminal: true, Undo: true}, nil},
		{"dry run", "", false, Options{DryRun: true, ApplyBoot: true}, nil},
	} {
		s := load(t, "fresh-pi")
		before := tree(t, s.root)
		x := Setup{Host: s.host(), Ears: ears{&s.devices}, System: s.system(), In: strings.NewReader(c.typed), Out: io.Discard, Root: c.root}
		c.o.GPIO = DefaultGPIO
		r, err := x.Run(t.Context(), c.o)
		if !errors.Is(err, c.err) || r.Changed {
			t.Errorf("%s: %v, changed %v", c.name, err, r.Changed)
		}
		sameTree(t, c.name, before, tree(t, s.root))
		if len(s.log) > 0 {
			t.Errorf("%s: %v", c.name, s.log)
		}
	}
}

// After a yes everything is written; with the boot settings nothing else is.
func TestRunAfterAYes(t *testing.T) {
	t.Parallel()
	for _, boot := range []bool{false, true} {
		s := load(t, "fresh-pi")
		x := Setup{Host: s.host(), Ears: ears{&s.devices}, System: s.system(), In: strings.NewReader("\nnone\n3\nyes\n"), Out: io.Discard, Root: true}
		r, err := x.Run(t.Context(), Options{Terminal: true, ApplyBoot: boot, GPIO: 4})
		if err != nil || !r.Changed || r.Reboot != boot {
			t.Errorf("boot %v: %v, %+v", boot, err, r)
		}
		if missing(filepath.Join(s.root, ntsserveFile)) != boot || missing(filepath.Join(s.root, r.Machine.Boot.Config+".before-setup")) == boot {
			t.Errorf("boot %v: wrote the wrong files", boot)
		}
	}
}

func TestClientsGetLines(t *testing.T) {
	t.Parallel()
	m := &Machine{Names: []string{"time.lan", "192.0.2.1", "2001:db8::1"}}
	for _, c := range []struct {
		nts   string
		wants []string
		not   string
	}{
		{"none", []string{"server 192.0.2.1 iburst", "mode = \"server\"", "NTP=192.0.2.1", "w32tm", "option:ntp-server,192.0.2.1"}, "nts"},
		{"own", []string{"server time.lan nts certset 1", "ca.pem", "NTP=192.0.2.1"}, "example.org"},
		{"acme time.example.org", []string{"server time.example.org nts iburst", "mode = \"nts\"", "NTP=time.example.org"}, "ca.pem"},
	} {
		text := snippetText(Snippets(m, &Answers{NTS: c.nts}))
		for _, w := range c.wants {
			if !strings.Contains(text, w) {
				t.Errorf("%s: no %q in %s", c.nts, w, text)
			}
		}
		if strings.Contains(strings.ReplaceAll(text, "ntsserve", ""), c.not) {
			t.Errorf("%s: %q in %s", c.nts, c.not, text)
		}
	}
	if all := Snippets(&Machine{}, &Answers{NTS: "none"}); all != nil {
		t.Errorf("a machine without a name: %v", all)
	}
}

// A receiver on a real terminal is heard and asked for its model.
func TestReceiverIsHeardAndIdentified(t *testing.T) {
	t.Parallel()
	pty, err := sim.OpenPTY()
	if err != nil {
		t.Skip("needs a pseudo-terminal: ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		pty.Close() // this ends its Read
		wg.Wait()
	}()
	wg.Go(func() { // it sends every 100 ms
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				pty.Write(nmea.Append(nil, "GNZDA,120000.00,28,11,2026,00,00"))
			}
		}
	})
	poll := ubx.Append(nil, pollVersion, nil)
	wg.Go(func() { // it answers the question for its version
		var got []byte
		var buf [256]byte
		for ctx.Err() == nil {
			n, err := pty.Read(buf[:])
			if err != nil {
				return
			}
			if got = append(got, buf[:n]...); bytes.Contains(got, poll) {
				v := make([]byte, 70)
				copy(v, "EXT CORE 1.00 (test)")
				copy(v[30:], "00190000")
				copy(v[40:], "MOD=ZED-F9T")
				pty.Write(ubx.Append(nil, pollVersion, v))
				got = nil
			}
		}
	})
	h := ThisMachine(doctor.ThisHost("")).Receiver(ctx, pty.Name())
	if h.Baud == 0 || !h.Dated || !h.usable() || h.Receiver != "u-blox ZED-F9T, hardware 00190000, firmware EXT CORE 1.00 (test)" {
		t.Errorf("heard %+v", h)
	}
}
