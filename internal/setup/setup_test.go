package setup

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"noonmark/internal/backup"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
	"noonmark/internal/exitcode"
	"noonmark/server/certs"
)

var update = flag.Bool("update", false, "write the wanted results into testdata")

// machines are those of testdata with the clock that is to be chosen.
var machines = []struct {
	name, clock string
	kind        Kind
}{
	{"nothing", "kernel", KernelClock}, {"fresh-pi", "kernel", KernelClock}, {"lan", "chrony", ChronyClock},
	{"console", "system", SystemClock}, {"pi", "system", SystemClock}, {"rack", "enp1s0", CardClock},
}

// What setup finds and would write on each machine is as the archive has it.
func TestPlanOfEachMachine(t *testing.T) {
	t.Parallel()
	for _, x := range machines {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, x.name)
			m := s.look(nil)
			s.setUnits(m)
			var text bytes.Buffer
			m.print(&text)
			p, err := s.system().Plan(m, Defaults(m), false)
			if err != nil {
				t.Fatal(err)
			}
			if p.Source.ID != x.clock || p.Source.Kind != x.kind {
				t.Errorf("chose %s (%s), want %s (%s)", p.Source.ID, p.Source.Kind, x.clock, x.kind)
			}
			p.Boot = BootEdits(m, DefaultGPIO)
			fmt.Fprintln(&text)
			p.Print(&text)
			if want := s.file("want/plan"); text.String() != string(want) && !*update {
				t.Errorf("%s", diff("plan", string(want), text.String()))
			}
			if *update {
				s.archive.Files = slices.DeleteFunc(s.archive.Files, func(f txtar.File) bool { return f.Name == "want/plan" })
				s.archive.Files = append(s.archive.Files, txtar.File{Name: "want/plan", Data: text.Bytes()})
				if err := os.WriteFile(filepath.Join("testdata", x.name+".txtar"), txtar.Format(s.archive), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// Each key of a written file changes something: none has its default.
func TestOnlyKeysThatDifferAreWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	parse := func(text string) (refclockd.File, ntsserve.File) {
		path := filepath.Join(dir, "file.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var a refclockd.File
		var b ntsserve.File
		if s, _ := refclockd.Load(path); s != nil {
			a = s.File
		}
		if s, _ := ntsserve.Load(path); s != nil {
			b = s.File
		}
		return a, b
	}
	keyLine := regexp.MustCompile(`^[a-z_0-9]+ = `)
	for _, x := range machines {
		s := load(t, x.name)
		m := s.look(nil)
		for _, a := range []Answers{Defaults(m), {x.clock, "all", "acme time.example.org", "off"}, {x.clock, "192.0.2.0/24", "none", "local"}} {
			p, err := s.system().Plan(m, a, false)
			if err != nil {
				t.Fatalf("%s, %+v: %v", x.name, a, err)
			}
			for _, f := range p.Files {
				if !strings.HasSuffix(f.Path, ".toml") || f.data == nil {
					continue
				}
				a1, b1 := parse(string(f.data))
				lines := strings.Split(string(f.data), "\n")
				for i, l := range lines {
					if !keyLine.MatchString(l) {
						continue
					}
					if !strings.HasPrefix(lines[i-1], "# ") {
						t.Errorf("%s, %s: no reason for %s", x.name, f.Path, l)
					}
					a2, b2 := parse(strings.Join(append(slices.Clone(lines[:i]), lines[i+1:]...), "\n"))
					if fmt.Sprint(a1) == fmt.Sprint(a2) && fmt.Sprint(b1) == fmt.Sprint(b2) {
						t.Errorf("%s, %s: %s is the default", x.name, f.Path, l)
					}
				}
			}
		}
	}
}

// On every machine a second setup changes nothing, and undo restores every file,
// directory, mode and unit.
func TestSecondSetupChangesNothingAndUndoRestores(t *testing.T) {
	t.Parallel()
	for _, x := range machines {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, x.name)
			m := s.look(nil)
			s.setUnits(m)
			files, units := tree(t, s.root), s.unitStates()
			sys := s.system()
			p, err := sys.Plan(m, Defaults(m), false)
			if err != nil {
				t.Fatal(err)
			}
			if err := sys.Apply(p); err != nil {
				t.Fatal(err)
			}
			if u := s.units[ntsserveUnit]; u == nil || !u.Active || !u.Enabled {
				t.Errorf("ntsserve does not run: %v", s.log)
			}
			if x.kind == SystemClock && x.name == "pi" && s.units["systemd-timesyncd.service"].Active {
				t.Error("timesyncd runs beside refclockd, which steers the system clock")
			}
			written := tree(t, s.root)
			again, err := sys.Plan(m, Defaults(m), false)
			if err != nil {
				t.Fatal(err)
			}
			if again.Units = slices.DeleteFunc(again.Units, func(u UnitChange) bool { return u.Action == "stop" && !s.units[u.Unit].Active }); !again.Empty() {
				var b bytes.Buffer
				again.Print(&b)
				t.Errorf("a second setup changes: %s", b.String())
			}
			sameTree(t, "looking again", written, tree(t, s.root))
			var out bytes.Buffer
			if err := sys.Undo(&out); err != nil {
				t.Fatalf("%v\n%s", err, out.String())
			}
			sameTree(t, "undo", files, tree(t, s.root))
			if now := s.unitStates(); !maps.Equal(units, now) {
				t.Errorf("units after undo: %v, were %v", now, units)
			}
			out.Reset()
			if err := sys.Undo(&out); err != nil || !strings.Contains(out.String(), "nothing to undo") {
				t.Errorf("a second undo: %v, %q", err, out.String())
			}
		})
	}
}

// Undo restarts each unit that setup restarted and that ran before: its files are the old ones again.
// chronyd would go on without its port.
func TestUndoRestartsWhatSetupRestarted(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	m := s.look(nil)
	s.setUnits(m)
	p, err := s.system().Plan(m, Defaults(m), false)
	if err == nil {
		err = s.system().Apply(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	const chrony = "restart chrony.service"
	if !slices.Contains(s.log, chrony) {
		t.Fatalf("chronyd does not give up its port: %q", s.log)
	}
	s.log = nil
	if err := s.system().Undo(io.Discard); err != nil || !slices.Contains(s.log, chrony) {
		t.Errorf("%v; chronyd does not take its port again: %q", err, s.log)
	}
}

// The report of an undo, and of its dry run, has what is restored.
func TestReportOfAnUndo(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	s.setUnits(s.look(nil))
	run := func(o Options) *Report {
		t.Helper()
		r, err := s.setup().Run(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := run(Options{Yes: true, Undo: true}); r.Changed || r.Undo == nil || !r.Undo.empty() {
		t.Errorf("with nothing to undo: changed %v, %+v", r.Changed, r.Undo)
	}
	s.put(t, webConfig, "max_streams = 8\n")
	if r := run(Options{Yes: true, Replace: true}); r.Undo != nil {
		t.Errorf("a setup undoes %+v", r.Undo)
	}
	before := tree(t, s.root)
	dry := run(Options{DryRun: true, Undo: true})
	sameTree(t, "dry run", before, tree(t, s.root))
	done := run(Options{Yes: true, Undo: true})
	if dry.Changed || !done.Changed || !reflect.DeepEqual(dry.Undo, done.Undo) {
		t.Errorf("changed %v and %v; %+v and %+v", dry.Changed, done.Changed, dry.Undo, done.Undo)
	}
	for _, f := range []FileUndo{{webConfig, Restore}, {ntsserveFile, Remove}, {certificateDir, Remove}, {authorityDir, Remove}} {
		if !slices.Contains(done.Undo.Files, f) {
			t.Errorf("no %+v in %+v", f, done.Undo.Files)
		}
	}
	for _, u := range []UnitRecord{{"chrony.service", true, true}, {ntsserveUnit, false, false}} {
		if !slices.Contains(done.Undo.Units, u) {
			t.Errorf("no %+v in %+v", u, done.Undo.Units)
		}
	}
}

// An undo that asks shows first what it would do. It keeps, and does not list, an authority that has issued
// certificates to other places since.
func TestUndoShowsWhatItWouldDoBeforeItAsks(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	s.setUnits(s.look(nil))
	if _, err := s.setup().Run(context.Background(), Options{Yes: true}); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		t.Helper()
		var out bytes.Buffer
		x := s.setup()
		x.In, x.Out = strings.NewReader("n\n"), &out
		if r, err := x.Run(context.Background(), Options{Undo: true, Terminal: true}); err != nil || r.Changed {
			t.Fatalf("%v, changed %v", err, r.Changed)
		}
		list, _, _ := strings.Cut(out.String(), "Restore what was there")
		return list
	}
	const authority = "remove " + authorityDir + "\n"
	if list := ask(); !strings.Contains(list, authority) || !strings.Contains(list, "remove "+ntsserveFile+"\n") {
		t.Errorf("before it asks: %q", list)
	}
	s.put(t, authorityDir+"/"+certs.IssuedFile, "{\"out\": \"/srv/other\"}\n")
	if list := ask(); strings.Contains(list, authority) {
		t.Errorf("it lists an authority that it keeps: %q", list)
	}
}

// A setup that fails midway can be undone, wherever it failed.
func TestInterruptedSetupIsUndone(t *testing.T) {
	t.Parallel()
	for _, fail := range []string{"daemon-reload", "disable --now systemd-timesyncd.service", "enable refclockd.service", "restart ntsserve.service", "enable noonmark-ca-renew.timer"} {
		s := load(t, "pi")
		m := s.look(nil)
		s.setUnits(m)
		files, units := tree(t, s.root), s.unitStates()
		sys := s.system()
		p, err := sys.Plan(m, Defaults(m), false)
		if err != nil {
			t.Fatal(err)
		}
		s.fail = fail
		if err := sys.Apply(p); exitcode.Of(err) != exitcode.Unavailable {
			t.Errorf("%s failed, and Apply returned %v", fail, err)
		}
		s.fail = ""
		if err := sys.Undo(io.Discard); err != nil {
			t.Errorf("after %s: %v", fail, err)
		}
		sameTree(t, "undo after "+fail, files, tree(t, s.root))
		if now := s.unitStates(); !maps.Equal(units, now) {
			t.Errorf("units after undo: %v, were %v", now, units)
		}
	}
}

// A file that was changed by hand is kept; with replace it is replaced, and undo
// restores it. One that was changed after setup survives undo under another name.
func TestHandEditedFilesAreNeverLost(t *testing.T) {
	t.Parallel()
	const mine = "# mine\n[pulse]\nsource = \"none\"\n[clock]\nsource = \"none\"\n"
	s := load(t, "pi")
	m := s.look(nil)
	path := filepath.Join(s.root, refclockdFile)
	put := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	put(mine)
	sys := s.system()
	apply := func(replace bool) *Plan {
		t.Helper()
		p, err := sys.Plan(m, Defaults(m), replace)
		if err == nil {
			err = sys.Apply(p)
		}
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	content := func(path string) string { b, _ := os.ReadFile(path); return string(b) }
	p := apply(false)
	if content(path) != mine || !strings.Contains(strings.Join(p.Notes, "\n"), "-replace") {
		t.Errorf("the file became %q; notes %q", content(path), p.Notes)
	}
	apply(true)
	if content(path) == mine {
		t.Error("the file was not replaced")
	}
	later := content(path) + "# and mine again\n"
	put(later)
	apply(false)
	if content(path) != later {
		t.Error("a file that was changed after setup was replaced")
	}
	p = apply(true)
	if content(path) == later || content(path+".before-setup") != later || !strings.Contains(strings.Join(p.Notes, "\n"), path[len(s.root):]+".before-setup") {
		t.Errorf("an edit since the first setup was replaced and is not kept: %q; notes %q", content(path+".before-setup"), p.Notes)
	}
	put(later + "# once more\n")
	apply(true)
	if content(path+".before-setup") != later || content(path+".before-setup.1") != later+"# once more\n" {
		t.Errorf("a second edit is not kept beside the first: %q", content(path+".before-setup.1"))
	}
	put(later)
	if err := sys.Undo(io.Discard); err != nil {
		t.Fatal(err)
	}
	if content(path) != mine || content(path+".before-undo") != later {
		t.Errorf("after undo: %q and %q", content(path), content(path+".before-undo"))
	}
	apply(true)
	put(later + "# before a second undo\n")
	var out bytes.Buffer
	if err := sys.Undo(&out); err != nil {
		t.Fatal(err)
	}
	if kept := path + ".before-undo.1"; content(path+".before-undo") != later || content(kept) != later+"# before a second undo\n" || !strings.Contains(out.String(), kept[len(s.root):]+"\n") {
		t.Errorf("after a second undo: %q and %q; %q", content(path+".before-undo"), content(kept), out.String())
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("after undo: %v, %v", fi.Mode(), err)
	}
	put("[pulse]\nsorce = \"none\"\n")
	if _, err := sys.Plan(m, Defaults(m), false); err == nil || !strings.Contains(err.Error(), "refclockd.toml:2") {
		t.Errorf("a broken file that would be kept: %v", err)
	}
}

// While refclockd uses the devices, what was heard at the last setup counts: nothing is
// opened.
func TestDevicesOfRefclockdAreNotOpened(t *testing.T) {
	t.Parallel()
	s := load(t, "rack")
	first := s.look(nil)
	s.process(t, 900, "refclockd", "/dev/ttyACM0", "/dev/ptp0")
	s.devices.Receivers = map[string]Heard{"/dev/ttyS0": {}} // any other port that is opened panics
	s.devices.Inputs = nil
	second := s.look(first)
	a, b := Sources(first)[0], Sources(second)[0]
	if a.Text != b.Text || !bytes.Equal(receiverFile(first, &a, &Answers{}), receiverFile(second, &b, &Answers{})) {
		t.Errorf("first %q, then %q", a.Text, b.Text)
	}
}

// A server that was configured by hand keeps its clock: nothing that refclockd uses is opened, and what
// it serves is in its configuration. Its files, and the settings of their units, stay.
func TestServerThatWasConfiguredByHandIsLeftAlone(t *testing.T) {
	t.Parallel()
	const rack = "[pulse]\nsource = \"extts\"\npin = 3\n[clock]\ndevice = \"enp1s0\"\n[receiver]\ndevice = \"/dev/ttyACM0\"\nbaud = \"auto\"\n"
	for _, x := range []struct {
		name, machine, config string
		uses                  []string
		clock                 string // empty: refused
	}{
		{"a pulse of the kernel for a card's clock", "rack", "[clock]\ndevice = \"enp1s0\"\n", []string{"/dev/ttyACM0", "/dev/ptp0"}, ""},
		{"a card that is not there", "rack", "[pulse]\nsource = \"extts\"\n[clock]\ndevice = \"/dev/ptp7\"\n", []string{"/dev/ttyACM0"}, ""},
		{"a broken file", "rack", "[pulse\n", []string{"/dev/ptp0"}, ""},
		{"no file", "rack", "", []string{"/dev/ptp0"}, ""},
		{"a card", "rack", rack, []string{"/dev/ttyACM0", "/dev/ptp0"}, "enp1s0"},
		{"a card's second interface", "rack", strings.Replace(rack, "enp1s0", "bond0", 1), []string{"/dev/ttyACM0", "/dev/ptp0"}, "enp1s0"},
		{"a port of another driver", "rack", strings.Replace(rack, "ttyACM0", "gnss0", 1), []string{"/dev/gnss0", "/dev/ptp0"}, "enp1s0"},
		{"a system clock", "pi", "[clock]\nsource = \"system\"\n[receiver]\ndevice = \"/dev/ttyAMA0\"\n", []string{"/dev/ttyAMA0", "/dev/pps0"}, "system"},
		{"a system clock whose port is free for a moment", "pi", "[clock]\nsource = \"system\"\n[receiver]\ndevice = \"/dev/ttyAMA0\"\n", []string{"/dev/pps0"}, "system"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := load(t, x.machine)
			s.process(t, 900, "refclockd", x.uses...)
			s.put(t, ntsserveFile, "[[endpoint]]\naddress = \"127.0.0.1:123\"\n")
			if x.config != "" {
				s.put(t, refclockdFile, x.config)
			}
			for _, u := range []string{refclockdUnit, ntsserveUnit} {
				s.units[u] = &UnitRecord{u, true, true}
			}
			for _, device := range x.uses { // one that is opened panics
				if missing(filepath.Join(s.root, device)) {
					s.put(t, device, "")
				}
				delete(s.devices.Inputs, device)
			}
			for device := range s.devices.Receivers {
				to, err := os.Readlink(filepath.Join(s.root, device))
				if slices.Contains(x.uses, device) || err == nil && slices.Contains(x.uses, "/dev/"+filepath.Base(to)) {
					delete(s.devices.Receivers, device)
				}
			}
			before := tree(t, s.root)
			r, err := s.setup().Run(context.Background(), Options{DryRun: true, GPIO: DefaultGPIO})
			if x.clock == "" {
				if err == nil || exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), "-clock") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			sameTree(t, "dry run", before, tree(t, s.root))
			if r.Plan.Source.ID != x.clock {
				t.Errorf("it would serve %s, want %s", r.Plan.Source.ID, x.clock)
			}
			for _, f := range r.Plan.Files {
				if want := map[string]Action{ntsserveFile: Keep, refclockdFile: Keep}[f.Path]; f.Action != want && (want != "" || strings.HasSuffix(f.Path, "/setup.conf")) {
					t.Errorf("%s: %s, want %q", f.Path, f.Action, want)
				}
			}
			for _, u := range r.Plan.Units {
				if u.Unit == refclockdUnit || u.Unit == ntsserveUnit {
					t.Errorf("%s %s: %s", u.Action, u.Unit, u.Why)
				}
			}
		})
	}
}

// A server whose receiver is unplugged keeps its clock, whoever made its configuration: refclockd holds the
// pulse alone, or waits for its next start. Where another receiver is there instead, setup takes that one.
func TestServerWithoutItsReceiverKeepsItsClock(t *testing.T) {
	t.Parallel()
	const byID = "/dev/serial/by-id/usb-u-blox_AG_-_www.u-blox.com_u-blox_GNSS_receiver-if00"
	for _, x := range []struct {
		machine, clock, port, other, pulse string
		gone                               []string
		config                             string // by hand; empty: setup makes it
	}{
		{"pi", "system", "/dev/ttyAMA0", "/dev/ttyAMA10", "/dev/pps0", []string{"dev/ttyAMA0", "sys/class/tty/ttyAMA0"}, ""},
		{"pi", "system", "/dev/ttyAMA0", "/dev/ttyAMA10", "/dev/pps0", []string{"dev/ttyAMA0", "sys/class/tty/ttyAMA0"}, "[clock]\nsource = \"system\"\n[receiver]\ndevice = \"/dev/ttyAMA0\"\n"},
		{"rack", "enp1s0", byID, "/dev/ttyS0", "/dev/ptp0", []string{"dev/ttyACM0", "sys/class/tty/ttyACM0", byID}, ""},
	} {
		for name, state := range map[string]UnitRecord{
			"it runs": {refclockdUnit, true, true}, "it was started by hand": {refclockdUnit, false, true}, "it failed": {refclockdUnit, true, false},
		} {
			for _, port := range []string{x.port, x.other} {
				t.Run(fmt.Sprintf("%s, %s, by hand %v, %s", x.machine, name, x.config != "", port), func(t *testing.T) {
					t.Parallel()
					s := load(t, x.machine)
					s.setUnits(s.look(nil))
					if x.config != "" {
						s.put(t, refclockdFile, x.config)
						s.put(t, ntsserveFile, "[[endpoint]]\naddress = \"127.0.0.1:123\"\n")
					} else if _, err := s.setup().Run(context.Background(), Options{Yes: true}); err != nil {
						t.Fatal(err)
					}
					s.units[refclockdUnit], s.units[ntsserveUnit] = &state, &UnitRecord{ntsserveUnit, true, true}
					if state.Active {
						s.process(t, 900, refclockdName, x.pulse)
					}
					for _, path := range x.gone {
						if err := os.RemoveAll(filepath.Join(s.root, path)); err != nil {
							t.Fatal(err)
						}
					}
					if port == x.other {
						s.devices.Receivers[port] = Heard{Baud: 9600, Octets: 900, Messages: []string{"RMC"}, Dated: true, Fix: true}
					}
					r, err := s.setup().Run(context.Background(), Options{DryRun: true})
					if err != nil {
						t.Fatal(err)
					}
					if r.Plan.Source.ID != x.clock || r.Plan.Source.port.Device != port || !r.Machine.Refclockd {
						t.Errorf("it would serve %s of %v", r.Plan.Source.ID, r.Plan.Source.port)
					}
					anew := port == x.other && x.config == ""
					for _, f := range r.Plan.Files {
						if f.Action == Remove || f.Action == Replace && !anew || f.Path == refclockdFile && anew != (f.Action == Replace) {
							t.Errorf("%s %s", f.Action, f.Path)
						}
					}
					if slices.ContainsFunc(r.Plan.Units, func(u UnitChange) bool {
						return ourUnit(u.Unit) && u.Action == "stop" || u.Unit == refclockdUnit && u.Action == "restart" && !anew
					}) {
						t.Errorf("units: %+v", r.Plan.Units)
					}
				})
			}
		}
	}
}

// A pulse that went with its receiver is no reason to serve another clock: setup says what is missing.
func TestServerWithoutItsPulseIsNotReplaced(t *testing.T) {
	t.Parallel()
	s := load(t, "pi")
	s.setUnits(s.look(nil))
	if _, err := s.setup().Run(context.Background(), Options{Yes: true}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"dev/ttyAMA0", "sys/class/tty/ttyAMA0", "dev/pps0", "sys/class/pps/pps0"} {
		if err := os.RemoveAll(filepath.Join(s.root, path)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.setup().Run(context.Background(), Options{Yes: true}); exitcode.Of(err) != exitcode.Config || !strings.Contains(err.Error(), "-clock") {
		t.Errorf("%v", err)
	}
	if r, err := s.setup().Run(context.Background(), Options{DryRun: true, Answers: Answers{Clock: "kernel"}}); err != nil || r.Plan.Source.Kind != KernelClock {
		t.Errorf("a clock that was chosen: %v", err)
	}
}

// Where a user cannot see who has the devices, none is opened, and the plan says so.
func TestDevicesWhoseUsersAreUnseenAreNotOpened(t *testing.T) {
	t.Parallel()
	s := load(t, "rack")
	m := Look(os.DirFS(s.root), s.host())
	m.Unseen = []string{"gpsd"}
	s.devices = devices{} // whatever is opened panics
	Listen(context.Background(), m, nil, ears{&s.devices})
	p, err := s.system().Plan(m, Defaults(m), false)
	if err != nil || !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.HasPrefix(n, "gpsd may use ports and cards") }) {
		t.Errorf("%v, %q", err, p.Notes)
	}
	m.Unseen, m.Refclockd = []string{refclockdName}, true
	if err := s.system().adopt(m, &Record{}); exitcode.Of(err) != exitcode.Permission || !strings.Contains(err.Error(), "only root") {
		t.Errorf("%v", err)
	}
}

// Two setups at once would lose a record: the second ends, and names the first. A dry run changes
// nothing, so it needs no lock and leaves none.
func TestSecondSetupAtTheSameTimeEnds(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	s.setUnits(s.look(nil))
	before := tree(t, s.root)
	if _, err := s.setup().Run(context.Background(), Options{DryRun: true}); err != nil {
		t.Fatal(err)
	}
	sameTree(t, "a dry run", before, tree(t, s.root))
	if !missing(filepath.Join(s.root, lockFile)) {
		t.Error("a dry run takes a lock")
	}
	first, err := lock(filepath.Join(s.root, lockFile))
	if err != nil {
		t.Fatal(err)
	}
	before = tree(t, s.root)
	for _, o := range []Options{{Yes: true}, {Yes: true, ApplyBoot: true}, {Yes: true, Undo: true}} {
		if _, err := s.setup().Run(context.Background(), o); !errors.Is(err, ErrBusy) || !strings.Contains(err.Error(), fmt.Sprintf("process %d;", os.Getpid())) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := s.setup().Run(context.Background(), Options{DryRun: true}); err != nil {
		t.Errorf("a dry run beside a setup: %v", err)
	}
	sameTree(t, "while another is at work", before, tree(t, s.root))
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := s.setup().Run(context.Background(), Options{Yes: true}); err != nil || !r.Changed {
		t.Errorf("after the first: %v", err)
	}
}

// An authority that has issued other certificates since is kept by undo.
func TestUndoKeepsAnAuthorityThatIsUsedElsewhere(t *testing.T) {
	t.Parallel()
	s := load(t, "nothing")
	m := s.look(nil)
	sys := s.system()
	p, err := sys.Plan(m, Defaults(m), false)
	if err == nil {
		err = sys.Apply(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(s.root, authorityDir, "issued.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(f, `{"serial":"1","names":["other"],"out":"/srv/other"}`)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := sys.Undo(&out); err != nil || !strings.Contains(out.String(), "is kept") {
		t.Errorf("%v, %q", err, out.String())
	}
	if _, err := os.Stat(filepath.Join(s.root, authorityDir, "ca.key")); err != nil {
		t.Error(err)
	}
}

// The web page follows the answer: it runs with a configuration of its own, or not at all. One that
// was set up by hand is kept.
func TestWebPageFollowsTheAnswer(t *testing.T) {
	t.Parallel()
	for _, hand := range []bool{true, false} {
		s := load(t, "lan")
		m := s.look(nil)
		s.setUnits(m)
		path := filepath.Join(s.root, webConfig)
		if hand {
			s.units[webUnit] = &UnitRecord{webUnit, true, true}
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("max_streams = 8\n"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		for _, web := range []string{"off", "local", "off", "local"} {
			a := Defaults(m)
			a.Web = web
			p, err := s.system().Plan(m, a, false)
			if err == nil {
				err = s.system().Apply(p)
			}
			if err != nil {
				t.Fatal(err)
			}
			u, want := s.units[webUnit], hand || web == "local"
			if runs := u != nil && u.Active && u.Enabled; runs != want {
				t.Errorf("by hand %v, answer %s: runs %v: %v", hand, web, runs, s.log)
			}
			if missing(path) == want {
				t.Errorf("by hand %v, answer %s: the file is missing: %v", hand, web, !want)
			}
		}
		if _, err := refclockweb.Load(path); err != nil {
			t.Error(err)
		}
		if err := s.system().Undo(io.Discard); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); (string(b) == "max_streams = 8\n") != hand || s.units[webUnit].Active != hand {
			t.Errorf("by hand %v: after undo %q, %+v", hand, b, *s.units[webUnit])
		}
	}
}

// A certificate that lacks a name of the machine is issued anew, if setup issued it.
func TestCertificateFollowsTheNames(t *testing.T) {
	t.Parallel()
	s := load(t, "nothing")
	m := s.look(nil)
	sys := s.system()
	for i, want := range []Action{Create, Same, Replace} {
		if i == 2 {
			m.Names = append(m.Names, "2001:db8::30")
		}
		p, err := sys.Plan(m, Defaults(m), false)
		if err != nil {
			t.Fatal(err)
		}
		if p.Certificate != want {
			t.Errorf("setup %d: %s, want %s", i+1, p.Certificate, want)
		}
		if err := sys.Apply(p); err != nil {
			t.Fatal(err)
		}
	}
	if p, err := sys.Plan(m, Defaults(m), false); err != nil || !p.Empty() {
		t.Errorf("after that: %v, %+v", err, p)
	}
}

// After a restore on another system, undo removes what the backup brought, leaves what
// belongs to other programs there, and says so.
func TestUndoAfterARestoreOnAnotherSystem(t *testing.T) {
	t.Parallel()
	old, anew := load(t, "fresh-pi"), load(t, "fresh-pi")
	old.identify(t, "6d2f0c6d7c9b4d0d8a8a4b0f5f1a2b3c")
	anew.identify(t, "0123456789abcdef0123456789abcdef")
	m := old.look(nil)
	old.setUnits(m)
	p, err := old.system().Plan(m, Defaults(m), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := old.system().Apply(p); err != nil {
		t.Fatal(err)
	}
	p.Boot = BootEdits(m, DefaultGPIO)
	if len(p.Boot) == 0 {
		t.Fatal("this board has no boot settings to write")
	}
	if err := old.system().ApplyBoot(p); err != nil {
		t.Fatal(err)
	}
	p.record.remember(UnitRecord{Unit: "systemd-timesyncd.service", Enabled: true, Active: true})
	if err := old.system().save(p.record); err != nil {
		t.Fatal(err)
	}

	kept, _, err := (&backup.Machine{Root: old.root}).Read()
	if err != nil {
		t.Fatal(err)
	}
	anew.setUnits(anew.look(nil))
	boot := filepath.Join(anew.root, p.Boot[0].Path)
	if err := os.WriteFile(boot, []byte("# of the new board\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := (&backup.Machine{Root: anew.root}).Write(kept.Files); err != nil {
		t.Fatal(err)
	}
	// On real systems both have the same root.
	issued := filepath.Join(anew.root, authorityDir, certs.IssuedFile)
	b, err := os.ReadFile(issued)
	if err == nil {
		err = os.WriteFile(issued, bytes.ReplaceAll(b, []byte(old.root), []byte(anew.root)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if missing(filepath.Join(anew.root, RecordFile)) || missing(filepath.Join(anew.root, ntsserveFile)) {
		t.Fatal("the backup lacks the record or the configuration")
	}
	if fi, err := os.Stat(filepath.Dir(filepath.Join(anew.root, RecordFile))); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the folder of the record: %v, %v", fi, err)
	}
	var out bytes.Buffer
	if err := anew.system().Undo(&out); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"the record is of another system", "left as it is: " + p.Boot[0].Path + "\n", "left as it is: systemd-timesyncd.service\n", "remove " + ntsserveFile + "\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out.String())
		}
	}
	for _, l := range anew.log {
		if strings.Contains(l, "timesyncd") {
			t.Errorf("a unit of others was touched: %s", l)
		}
	}
	if b, err := os.ReadFile(boot); err != nil || string(b) != "# of the new board\n" {
		t.Errorf("the boot settings of the new board became %q, %v", b, err)
	}
	for _, name := range [...]string{refclockdFile, ntsserveFile, webConfig, authorityDir, certificateDir, RecordFile} {
		if !missing(filepath.Join(anew.root, name)) {
			t.Errorf("%s is left", name)
		}
	}
}

// Boot settings that are written with the record of a restored backup belong to this system: undo
// restores what its board had, also after a setup.
func TestBootSettingsAfterARestoreAreUndone(t *testing.T) {
	t.Parallel()
	old, anew := load(t, "fresh-pi"), load(t, "fresh-pi")
	old.identify(t, "6d2f0c6d7c9b4d0d8a8a4b0f5f1a2b3c")
	anew.identify(t, "0123456789abcdef0123456789abcdef")
	plan := func(s *site) *Plan {
		t.Helper()
		m := s.look(nil)
		p, err := s.system().Plan(m, Defaults(m), false)
		if err != nil {
			t.Fatal(err)
		}
		p.Boot = BootEdits(m, DefaultGPIO)
		return p
	}
	p := plan(old)
	if err := errors.Join(old.system().Apply(p), old.system().ApplyBoot(p)); err != nil {
		t.Fatal(err)
	}
	kept, _, err := (&backup.Machine{Root: old.root}).Read()
	if err != nil {
		t.Fatal(err)
	}
	kept.Files = slices.DeleteFunc(kept.Files, func(f backup.File) bool { return f.Name != RecordFile })
	if err := (&backup.Machine{Root: anew.root}).Write(kept.Files); err != nil {
		t.Fatal(err)
	}
	const text = "# of the new board\ndtoverlay=special\n"
	boot := p.Boot[0].Path
	anew.put(t, boot, text)
	if err := anew.system().ApplyBoot(plan(anew)); err != nil {
		t.Fatal(err)
	}
	rec, err := anew.system().readRecord()
	if err != nil || anew.system().foreign(rec) || rec.Time.IsZero() || rec.Machine != nil {
		t.Errorf("%v, the record: %+v", err, rec)
	}
	if err := anew.system().Apply(plan(anew)); err != nil {
		t.Fatal(err)
	}
	if err := anew.system().Undo(io.Discard); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(anew.root, boot)); err != nil || string(b) != text {
		t.Errorf("%v; after undo it has %q", err, b)
	}
}
