package setup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/doctor"
)

// site is a machine of testdata: its file tree, and what its devices would answer.
type site struct {
	root    string
	archive *txtar.Archive
	devices devices
	units   map[string]*UnitRecord
	fail    string // a command of systemctl that fails
	log     []string
}

// devices replaces what needs a driver.
type devices struct {
	Stamps    map[string]doctor.Stamping `json:"stamping"`
	Receivers map[string]Heard           `json:"receivers"`
	PPS       map[string]int             `json:"pulses"`
	Inputs    map[string][]Pin           `json:"pins"`
}

func (d *devices) Stamping(name string) (doctor.Stamping, error) {
	s, ok := d.Stamps[name]
	if !ok {
		return s, errors.ErrUnsupported
	}
	return s, nil
}

func (d *devices) Clock(string) doctor.ClockFacts {
	return doctor.ClockFacts{Err: errors.ErrUnsupported}
}

func (d *devices) Serial(string, int) (io.ReadCloser, error) { return nil, errors.ErrUnsupported }

func (d *devices) Receiver(_ context.Context, device string) Heard {
	h, ok := d.Receivers[device]
	if !ok {
		panic("opened " + device)
	}
	return h
}

// ears are the devices as Listen hears them.
type ears struct{ *devices }

func (e ears) Pulses(_ context.Context, device string) (int, error) {
	n, ok := e.PPS[device]
	if !ok {
		panic("opened " + device)
	}
	return n, nil
}

func (e ears) Pins(_ context.Context, card string) ([]Pin, error) {
	pins, ok := e.Inputs[card]
	if !ok {
		panic("opened " + card)
	}
	return slices.Clone(pins), nil
}

// hostDevices are the devices as doctor's host has them.
type hostDevices struct{ *devices }

func (h hostDevices) Pulses(context.Context, *refclockd.Settings, time.Duration) doctor.PulseFacts {
	return doctor.PulseFacts{Err: errors.ErrUnsupported}
}

// load unpacks a machine of testdata. A name "A -> B" is a link.
func load(t *testing.T, name string) *site {
	t.Helper()
	a, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{root: t.TempDir(), archive: a, units: map[string]*UnitRecord{}}
	for _, dir := range []string{"run", "var/lib", "etc/systemd/system", "etc/chrony/conf.d"} {
		if err := os.MkdirAll(filepath.Join(s.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range a.Files {
		path, to, link := strings.Cut(f.Name, " -> ")
		if strings.HasPrefix(path, "test/") || strings.HasPrefix(path, "want/") {
			continue
		}
		path = filepath.Join(s.root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if link {
			err = os.Symlink(to, path)
		} else {
			err = os.WriteFile(path, f.Data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(s.file("test/devices.json"), &s.devices); err != nil {
		t.Fatal(err)
	}
	return s
}

// file returns a file of the archive.
func (s *site) file(name string) []byte {
	for _, f := range s.archive.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func (s *site) host() *doctor.Host {
	h := doctor.ThisHost("")
	h.Root, h.Devices, h.Names = s.root, hostDevices{&s.devices}, strings.Fields(string(s.file("test/names")))
	h.Rivals = func() []string { return []string{"systemd-timesyn", "chronyd"} }
	return h
}

// process adds a process of a unit of its name, with files that it has open.
func (s *site) process(t *testing.T, pid int, name string, open ...string) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d/", pid)
	s.put(t, dir+"comm", name+"\n")
	s.put(t, dir+"cgroup", "0::/system.slice/"+name+".service\n")
	s.put(t, dir+"cmdline", name+"\x00")
	for fd, to := range open {
		link := filepath.Join(s.root, dir, "fd", strconv.Itoa(fd))
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink(to, link)); err != nil {
			t.Fatal(err)
		}
	}
}

// identify gives the system a machine-id(5).
func (s *site) identify(t *testing.T, id string) {
	t.Helper()
	s.put(t, machineIDFile, id+"\n")
}

// put writes a file.
func (s *site) put(t *testing.T, path, text string) {
	t.Helper()
	path = filepath.Join(s.root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// setup returns a setup of the machine, without people.
func (s *site) setup() *Setup {
	return &Setup{Host: s.host(), Ears: ears{&s.devices}, System: s.system(), In: strings.NewReader(""), Out: io.Discard, Root: true}
}

// look looks and listens.
func (s *site) look(earlier *Machine) *Machine {
	m := Look(os.DirFS(s.root), s.host())
	Listen(context.Background(), m, earlier, ears{&s.devices})
	return m
}

func (s *site) system() *System {
	return &System{
		Root: s.root, Program: "/usr/bin/refclockctl", Now: func() time.Time { return time.Unix(1796000000, 0) }, Command: s.systemctl,
		User: func(string) (int, int, error) { return os.Getuid(), os.Getgid(), nil },
	}
}

// systemctl keeps units as systemd does, as far as setup uses it.
func (s *site) systemctl(_ string, args ...string) (string, error) {
	unit := args[len(args)-1]
	u := s.units[unit]
	if u == nil {
		u = &UnitRecord{Unit: unit}
		s.units[unit] = u
	}
	if args[0] != "show" {
		s.log = append(s.log, strings.Join(args, " "))
		if s.fail != "" && strings.Join(args, " ") == s.fail {
			return "", errors.New("exit status 1")
		}
	}
	switch args[0] {
	case "show":
		state, file := "inactive", "disabled"
		if u.Active {
			state = "active"
		}
		if u.Enabled {
			file = "enabled"
		}
		return fmt.Sprintf("ActiveState=%s\nUnitFileState=%s\n", state, file), nil
	case "enable":
		u.Enabled = true
	case "disable":
		u.Enabled = false
		u.Active = u.Active && !slices.Contains(args, "--now")
	case "restart":
		u.Active = true
	case "stop":
		u.Active = false
	}
	return "", nil
}

// setUnits gives units the state that the machine's tree shows.
func (s *site) setUnits(m *Machine) {
	for _, r := range m.Rivals {
		s.units[r.Unit] = &UnitRecord{r.Unit, r.Enabled, r.Running}
	}
}

// tree returns every file below a directory with mode and content, but for the lock of setup.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == filepath.Join(root, lockFile) {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		text := fi.Mode().String()
		if fi.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(b)
		}
		rel, err := filepath.Rel(root, path)
		all[rel] = text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// sameTree compares two trees.
func sameTree(t *testing.T, when string, before, after map[string]string) {
	t.Helper()
	for _, p := range slices.Sorted(maps.Keys(after)) {
		if before[p] != after[p] {
			t.Errorf("%s: %s differs: %q, was %q", when, p, after[p], before[p])
		}
	}
	for p := range before {
		if _, ok := after[p]; !ok {
			t.Errorf("%s: %s is missing", when, p)
		}
	}
}

func (s *site) unitStates() map[string]UnitRecord {
	all := map[string]UnitRecord{}
	for n, u := range s.units {
		if u.Active || u.Enabled {
			all[n] = *u
		}
	}
	return all
}
