package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/doctor"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/internal/privileges"
)

// Action is what becomes of a file or a certificate.
type Action string

// The actions.
const (
	Create  Action = "create"
	Replace Action = "replace"
	Remove  Action = "remove" // setup wrote it earlier, and it is not needed now
	Same    Action = "same"   // nothing changes
	Keep    Action = "keep"   // it was changed by hand
)

// FileChange is what becomes of one file.
type FileChange struct {
	Path   string `json:"path"`
	Action Action `json:"action"`
	Diff   string `json:"diff,omitempty"`

	data   []byte // wanted; nil: none
	mode   fs.FileMode
	reader string // the user that may read it besides root; empty: everybody may. Its content is shown to nobody
	edited bool   // since setup wrote it

	follows string // the configuration that it belongs to: while that is kept, this file is left alone
}

// UnitChange is what becomes of one unit.
type UnitChange struct {
	Unit   string `json:"unit"`
	Action string `json:"action"` // stop, start, restart or enable; stop and start are for the next boots too
	Why    string `json:"why"`

	state UnitRecord
}

// Plan is everything that setup would change.
type Plan struct {
	Source  Source       `json:"clock"`
	Answers Answers      `json:"answers"`
	Files   []FileChange `json:"files"`
	Units   []UnitChange `json:"units"`
	Boot    []BootEdit   `json:"boot"`
	Notes   []string     `json:"notes"`

	Authority       Action   `json:"authority"`        // of our own; empty: none is used
	Certificate     Action   `json:"certificate"`      // of ntsserve, by our own authority; empty: none is used
	PageCertificate Action   `json:"page_certificate"` // of the web page, likewise
	Names           []string `json:"certificate_names"`

	machine *Machine
	record  *Record
}

// System is the machine that setup changes.
type System struct {
	Root    string // directory of its file tree
	Program string // path of refclockctl
	Now     func() time.Time
	// User returns the numbers of a user.
	User func(name string) (uid, gid int, err error)
	// Command runs a program and returns its output.
	Command func(name string, args ...string) (string, error)
}

// ThisSystem returns the machine that this program, refclockctl, runs on. h runs its commands.
func ThisSystem(h *doctor.Host) (*System, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return &System{Root: "/", Program: program, Now: time.Now, User: numbersOf, Command: h.Command}, nil
}

// numbersOf returns the numbers of a user of this machine.
func numbersOf(name string) (uid, gid int, err error) {
	u, err := privileges.FindUser(name)
	if err != nil {
		return 0, 0, err
	}
	return u.UID, u.GID, nil
}

func (s *System) path(p string) string { return filepath.Join(s.Root, p) }

// maxConfig is the size up to which files are compared.
const maxConfig = 1 << 20

// Plan compares what answers ask for with what is there, and changes nothing. replace:
// files that were changed by hand are replaced too.
func (s *System) Plan(m *Machine, a Answers, replace bool) (*Plan, error) {
	rec, err := s.readRecord()
	if err != nil {
		return nil, err
	}
	src, err := sourceOf(m, a.Clock)
	if err != nil {
		return nil, err
	}
	p := &Plan{Source: *src, Answers: a, machine: m, record: rec, Files: []FileChange{}, Units: []UnitChange{}, Boot: []BootEdit{}, Notes: []string{}}
	fill := planner{s, p}
	if err := fill.planFiles(replace); err != nil {
		return nil, err
	}
	if err := fill.planCertificates(); err != nil {
		return nil, err
	}
	fill.planUnits()
	p.note(m)
	return p, nil
}

// planner fills a plan.
type planner struct {
	*System
	*Plan
}

// planFiles compares every file that setup may write.
func (p planner) planFiles(replace bool) error {
	m, src := p.machine, &p.Source
	files := []FileChange{{Path: ntsserveFile, data: serverFile(m, src, &p.Answers)}, {Path: ntsserveDropIn, data: ntsserveSettings(m, src), follows: ntsserveFile}}
	if src.Kind.receiver() {
		files = append(files, FileChange{Path: refclockdFile, data: receiverFile(m, src, &p.Answers)}, FileChange{Path: refclockdDropIn, data: refclockdSettings(m, src), follows: refclockdFile})
	} else {
		files = append(files, FileChange{Path: refclockdFile}, FileChange{Path: refclockdDropIn, follows: refclockdFile})
	}
	page, err := p.pageFiles()
	if err != nil {
		return err
	}
	files = append(files, page...)
	renew, service := FileChange{Path: unitDir + "/" + renewTimer}, FileChange{Path: unitDir + "/" + renewService}
	if p.usesAuthority() {
		renew.data, service.data = renewUnits(p.Program)
	}
	port := FileChange{Path: chronyPort}
	chronyServes := slices.Contains(m.NTPUsers, "chronyd") || p.record.file(chronyPort) != nil
	if src.Kind != SystemClock && chronyServes && m.runs("chrony.service", "chronyd.service") {
		port.data = []byte("# Written by refclockctl setup: ntsserve answers on this port.\nport 0\n")
	}
	if st, err := p.unitState(ntsserveUnit); err == nil && st.Active {
		port.follows = ntsserveFile // a kept one runs beside chronyd
	}
	for _, f := range append(files, renew, service, port) {
		if p.kept(f.follows) {
			continue
		}
		if f.reader == "" {
			f.mode = 0o644
		}
		if err := p.compare(&f, replace); err != nil {
			return err
		}
		if f.data != nil || f.Action == Remove || f.Action == Keep {
			p.Files = append(p.Files, f)
		}
	}
	return p.check()
}

// kept reports whether a file is kept as it was changed by hand.
func (p *Plan) kept(path string) bool {
	return slices.ContainsFunc(p.Files, func(f FileChange) bool { return f.Path == path && f.Action == Keep })
}

// compare decides what becomes of a file.
func (p planner) compare(f *FileChange, replace bool) error {
	was, mode, err := durable.ReadFile(p.path(f.Path), maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if f.data != nil {
			f.Action, f.Diff = Create, f.diff(nil)
		}
		return nil
	case err != nil:
		return fmt.Errorf("compare with what is there: %w", err)
	}
	ours := p.record.file(f.Path)
	untouched := ours != nil && ours.Written == digest(was)
	switch {
	case f.data == nil && ours == nil:
		return nil // not our matter
	case string(was) == string(f.data):
		f.Action = Same
	case !untouched && !replace:
		f.Action = Keep
	case f.data == nil:
		f.Action = Remove
	default:
		f.Action, f.mode = Replace, mode.Perm()
	}
	if f.Action == Remove || f.Action == Replace {
		f.Diff, f.edited = f.diff(was), ours != nil && ours.edited(was)
	}
	return nil
}

// diff returns the difference from what was there, without what is secret.
func (f *FileChange) diff(was []byte) string {
	shown := func(b []byte) string {
		if f.reader != "" && b != nil {
			return fmt.Sprintf("(random characters, which only root and %s can read)\n", f.reader)
		}
		return string(b)
	}
	return diff(f.Path, shown(was), shown(f.data))
}

// check has the daemons' own checks look at what is to be written. A failure is one of
// setup, or of a file that is kept.
func (p planner) check() error {
	for i := range p.Files {
		f := &p.Files[i]
		load := map[string]func(string) error{
			refclockdFile: func(path string) error { _, err := refclockd.Load(path); return err },
			ntsserveFile:  func(path string) error { _, err := ntsserve.Load(path); return err },
			webConfig:     p.loadPage,
		}[f.Path]
		if load == nil || f.Action == Remove {
			continue
		}
		if f.Action == Keep {
			if err := load(p.path(f.Path)); err != nil {
				return fmt.Errorf("%w: %w; correct it, or use -replace", exitcode.ErrConfig, err)
			}
			continue
		}
		if err := checkText(f.data, load); err != nil {
			return fmt.Errorf("check what would be written as %s: %w", f.Path, err)
		}
	}
	return nil
}

// checkText has a daemon's check read a text, by a file.
func checkText(text []byte, load func(string) error) error {
	t, err := os.CreateTemp("", "noonmark-setup-*.toml")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	_, err = t.Write(text)
	if err = errors.Join(err, t.Close()); err != nil {
		return err
	}
	return load(t.Name())
}

func missing(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// changed reports whether one of these files changes.
func (p *Plan) changed(paths ...string) bool {
	return slices.ContainsFunc(p.Files, func(f FileChange) bool {
		return slices.Contains(paths, f.Path) && f.Action != Same && f.Action != Keep
	})
}

// planUnits compares the units' states with those that are needed.
func (p planner) planUnits() {
	m := p.machine
	for _, r := range m.Rivals {
		switch why := ""; {
		case p.Source.Kind == SystemClock && r.Clock:
			why = "refclockd steers the system clock, and two programs must not"
			p.stop(r.Unit, why)
		case p.Source.Kind.receiver() && !r.Clock && p.Source.port != nil && slices.ContainsFunc(p.Source.port.Users, func(u string) bool { return strings.HasPrefix(u, "gpsd ") }):
			p.stop(r.Unit, "it reads the receiver, and refclockd needs it alone")
		case r.Running && holdsNTP(m, r.Unit):
			p.stop(r.Unit, "it answers on UDP 123, where ntsserve is to answer")
		}
	}
	for _, u := range [...]string{"chrony.service", "chronyd.service"} {
		if !p.changed(chronyPort) || !m.runs(u) {
			continue
		}
		if st, err := p.unitState(u); err != nil {
			p.Notes = append(p.Notes, fmt.Sprintf("%s will not be restarted, and keeps UDP 123: %v", u, err))
		} else {
			p.Units = append(p.Units, UnitChange{u, "restart", "it gives up UDP 123", st})
		}
	}
	if p.Source.Kind.receiver() {
		p.start(refclockdUnit, m.Units.Refclockd != "", refclockdFile, refclockdDropIn)
	} else if p.changed(refclockdFile) {
		p.stop(refclockdUnit, "there is no receiver for it")
	}
	p.start(ntsserveUnit, m.Units.Ntsserve != "", ntsserveFile, ntsserveDropIn)
	if p.Answers.observed() {
		p.start(webUnit, m.Units.Web != "", webConfig, webDropIn, pageToken)
	} else if p.changed(webConfig) {
		p.stop(webUnit, "there is no web page now")
	}
	if p.usesAuthority() {
		p.start(renewTimer, true, unitDir+"/"+renewTimer, unitDir+"/"+renewService)
	} else if p.changed(unitDir + "/" + renewTimer) {
		p.stop(renewTimer, "there is no authority of our own now")
	}
}

// holdsNTP reports whether a unit that is no chronyd listens on UDP 123.
func holdsNTP(m *Machine, unit string) bool {
	names := map[string]string{"ntp": "ntpd", "ntpsec": "ntpd", "ntpd": "ntpd", "openntpd": "ntpd", "ntpd-rs": "ntp-daemon"}
	return slices.Contains(m.NTPUsers, names[strings.TrimSuffix(unit, ".service")])
}

// stop plans that a unit is stopped, now and for the next boots.
func (p planner) stop(unit, why string) {
	st, err := p.unitState(unit)
	if err == nil && (st.Active || st.Enabled) {
		p.Units = append(p.Units, UnitChange{unit, "stop", why, st})
	}
}

// start plans that a unit runs with these files, now and after the next boots.
func (p planner) start(unit string, installed bool, files ...string) {
	st, err := p.unitState(unit)
	switch {
	case !installed:
		p.Notes = append(p.Notes, unit+" is not installed: install the package, or run make install")
	case err != nil:
		p.Notes = append(p.Notes, fmt.Sprintf("%s will not be started: %v", unit, err))
	case st.Active && st.Enabled && !p.changed(files...):
	case st.Active && !p.changed(files...):
		p.Units = append(p.Units, UnitChange{unit, "enable", "it runs, but not after the next boot", st})
	case st.Active && st.Enabled:
		p.Units = append(p.Units, UnitChange{unit, "restart", "its configuration changes", st})
	default:
		p.Units = append(p.Units, UnitChange{unit, "start", "it does not run yet, or not after the next boot", st})
	}
}

// note adds what people should know.
func (p *Plan) note(m *Machine) {
	for _, f := range p.Files {
		switch {
		case f.Action == Keep:
			p.Notes = append(p.Notes, f.Path+" was changed by hand and is kept, and so is what belongs to it; -replace writes it anew, and keeps a copy")
		case f.edited:
			p.Notes = append(p.Notes, f.Path+" was changed by hand since the last setup; what it has now is kept as "+f.Path+beforeSetup+", with a number if there is one already")
		}
	}
	for _, l := range p.leaves() {
		if *l.action == Keep {
			p.Notes = append(p.Notes, l.file()+" is not of this setup and is kept")
		}
	}
	if len(m.Unseen) > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%s may use ports and cards, which only root can see: nothing was listened to; run setup as root, also with -dry-run", strings.Join(m.Unseen, ", ")))
	}
	for _, x := range m.Ports {
		switch {
		case x.Console:
			p.Notes = append(p.Notes, consoleNote(&x))
		case x.Heard != nil && x.Heard.Baud == 0 && x.Heard.Octets > 0:
			p.Notes = append(p.Notes, fmt.Sprintf("%s: %s", x.Device, x.Heard.Looks))
		case x.Heard != nil && x.Heard.Error != "":
			p.Notes = append(p.Notes, fmt.Sprintf("%s: %s", x.Device, x.Heard.Error))
		}
	}
	if m.receiver() != nil && !p.Source.Kind.receiver() {
		p.Notes = append(p.Notes, "a receiver is there, but no pulse: connect its pulse output to a card's pin, or to a GPIO pin or DCD line that the kernel stamps, and run setup again")
	}
	if port := p.Source.port; port != nil && port.Heard != nil && strings.HasPrefix(port.Heard.Receiver, "u-blox") {
		p.Notes = append(p.Notes, "with receiver.configure = true in "+refclockdFile+" refclockd sets this u-blox receiver up: it then reports its leap seconds and the error of each pulse, and locks sooner")
	}
	if p.Source.Kind == KernelClock && !m.keepsSystemClock() {
		p.Notes = append(p.Notes, "no program keeps the system clock, so clients get \"not synchronised\": install chrony, or connect a receiver, and run setup again")
	}
}

// consoleNote says what keeps a port from being used.
func consoleNote(p *Port) string {
	name := strings.TrimPrefix(p.Node, "/dev/")
	return fmt.Sprintf("%s is a console (%s) and was not opened. If a receiver is connected there, remove console=%s from the kernel's command line, run systemctl disable --now serial-getty@%s.service, boot again, and run setup again",
		p.Node, strings.Join(p.Users, ", "), name, name)
}

// Empty reports whether nothing would change.
func (p *Plan) Empty() bool {
	return len(p.Units) == 0 && p.Authority != Create && !slices.ContainsFunc(p.leaves(), leaf.changes) &&
		!slices.ContainsFunc(p.Files, func(f FileChange) bool { return f.Action != Same && f.Action != Keep })
}

// Print shows a plan to people.
func (p *Plan) Print(w io.Writer) {
	fmt.Fprintf(w, "clock: %s\n", p.Source.Text)
	for _, f := range p.Files {
		if f.Diff != "" {
			fmt.Fprintf(w, "\n%s", f.Diff)
		}
	}
	var list []string
	if p.Authority == Create {
		list = append(list, "make a certificate authority in "+authorityDir)
	}
	for _, l := range p.leaves() {
		if l.changes() {
			list = append(list, fmt.Sprintf("issue %s for %s", l.file(), strings.Join(p.Names, ", ")))
		}
	}
	for _, u := range p.Units {
		list = append(list, fmt.Sprintf("%s %s: %s", u.Action, u.Unit, u.Why))
	}
	for i, l := range list {
		if i == 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "* %s\n", l)
	}
	for _, e := range p.Boot {
		fmt.Fprintf(w, "\n%s:\n", e.Path)
		for i, l := range e.Add {
			fmt.Fprintf(w, "  + %s    (%s)\n", l, e.Why[i])
		}
		for _, l := range e.Drop {
			fmt.Fprintf(w, "  - %s    (%s)\n", l, e.Why[0])
		}
	}
	for _, n := range p.Notes {
		fmt.Fprintf(w, "! %s\n", n)
	}
}
