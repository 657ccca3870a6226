package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"noonmark/internal/config"
	"noonmark/internal/config/alert"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
	"noonmark/internal/printable"
	"noonmark/refclock/report"
)

// File is the configuration file of one program on this node.
type File struct {
	Program Program
	Path    string   // that the program reads; written by the agent
	Local   string   // that the operator writes; it wins
	Check   []string // command to which the path of a candidate is appended; exit code 0: it is good

	// Apply lets the running program take over the file: by a reload, or by a restart
	// if a key has changed that a reload does not take over. nil: it does so by itself.
	Apply func(ctx context.Context, restart bool) error

	// Fragment: Path has only what the fleet sets, and Local, which the program reads first
	// and the agent may not write, names it with the key fleet.
	Fragment bool
	// Published is where the program itself says what it takes from the fleet, a
	// report.FragmentDetail: for a program whose local file has secrets, so that the agent
	// may not read it. Empty: the agent reads Local.
	Published string
}

// howToKeep says what is missing where a node takes nothing for a program.
func (p Program) howToKeep() string {
	switch p {
	case NTSServe:
		return fmt.Sprintf("there is no %s.local.toml", p)
	case Alert:
		return "refclockctl alert does not run, or alert.toml does not name the file of the agent with the key fleet"
	}
	return fmt.Sprintf("%s.toml does not name the file of the agent with the key fleet", p)
}

// CheckCommand is the usual Check of a program: its own -check.
func CheckCommand(p Program) []string {
	if p == Alert {
		return []string{"refclockctl", "alert", "-check", "-config"}
	}
	return []string{string(p), "-check", "-config"}
}

// LocalPath is the usual Local of a path: "ntsserve.local.toml" beside "ntsserve.toml".
func LocalPath(path string) string { return fleetview.LocalPath(path) }

// Systemd returns an Apply that asks systemd.
func Systemd(unit string) func(ctx context.Context, restart bool) error {
	return func(ctx context.Context, restart bool) error {
		verb := "reload"
		if restart {
			verb = "restart"
		}
		out, err := run(ctx, "systemctl", "--no-ask-password", verb, unit)
		if err != nil && deniedBySystemd(out) {
			err = fmt.Errorf("%w (%w)", ErrSystemd, err)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w: %s", verb, unit, err, out)
		}
		return nil
	}
}

// deniedBySystemd reports whether systemctl says that it needs more rights; its exit code
// does not.
func deniedBySystemd(out string) bool {
	for _, text := range [...]string{"uthentication required", "ccess denied", "ermission denied", "not permitted"} {
		if strings.Contains(out, text) {
			return true
		}
	}
	return false
}

const (
	checkTime = time.Minute // a check resolves no names, but a machine may be busy
	maxOutput = 2 << 10     // what is kept of the output of a command, octets
)

// run runs a command and returns the beginning of what it wrote, printable, on one line.
func run(ctx context.Context, name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, checkTime)
	defer stop()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) { // it ended well: a process that it left has its output, or this machine is busy
		err = nil
	}
	return printable.Text(oneLine(string(out[:min(len(out), maxOutput)]))), err
}

// oneLine joins lines, for reports and tables.
func oneLine(s string) string { return strings.ReplaceAll(strings.TrimSpace(s), "\n", "; ") }

// candidatePath is where a file waits for its check. One that was refused remains, so
// that the lines in the error can be looked at.
func (f File) candidatePath() string { return f.Path + ".candidate" }

// unmanaged reports whether the operator keeps the file alone: there is no local file,
// and the file that the program reads was not made from one.
func (f File) unmanaged() bool {
	if f.Fragment {
		of, err := f.Settings()
		return err != nil || of.Fleet.Path != f.Path
	}
	if _, err := os.Lstat(f.Local); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	b, _, err := durable.ReadFile(f.Path, config.MaxSize)
	if err != nil {
		return true
	}
	ours, _ := written(string(b))
	return !ours
}

// Settings are what a program has for the agent.
type Settings struct {
	// Fleet has the path of the file that the agent shall write. With File.Published also
	// what else the program says of it.
	Fleet      report.FragmentDetail
	RuntimeDir string // of refclockd
}

const (
	maxPublished = 64 << 10    // limits a file in which a program says what it takes, octets
	staleAfter   = time.Minute // from then on its program does not run; it writes every 5 s
)

// Settings reads them. The error wraps ErrLocal.
func (f File) Settings() (s Settings, err error) {
	if f.Published != "" {
		err = f.published(&s.Fleet)
	} else {
		of := struct {
			Fleet      string `toml:"fleet"`
			RuntimeDir string `toml:"runtime_dir"`
		}{RuntimeDir: refclockd.Default().RuntimeDir}
		var b []byte
		if b, _, err = durable.ReadFile(f.Local, config.MaxSize); err == nil {
			err = toml.Unmarshal(b, &of)
		}
		s.Fleet.Path, s.RuntimeDir = of.Fleet, of.RuntimeDir
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrLocal, err)
	}
	return s, err
}

// published reads what the program says.
func (f File) published(d *report.FragmentDetail) error {
	fi, err := os.Stat(f.Published)
	if err != nil {
		return err
	}
	if age := time.Since(fi.ModTime()); age.Abs() > staleAfter {
		return fmt.Errorf("%s is %v old", f.Published, age.Round(time.Second))
	}
	b, _, err := durable.ReadFile(f.Published, maxPublished)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, d)
}

// merge makes the text of the file. Of a fragment the program itself leaves out what the local
// file names; that is only reported.
func (f File) merge(local string, of []Fragment) (text string, overrides []Override, err error) {
	text, overrides, err = Merge(f.Program, local, of...)
	if err != nil || !f.Fragment {
		return text, overrides, err
	}
	if f.Published == "" {
		text, _, err = Merge(f.Program, "", of...)
		return text, overrides, err
	}
	s, err := f.Settings()
	for _, key := range s.Fleet.Overridden[:min(len(s.Fleet.Overridden), maxOverridden)] {
		overrides = append(overrides, Override{f.Program, short(key), "local"})
	}
	return text, overrides, err
}

// maxOverridden is more than there are keys that a fleet may set for a program.
const maxOverridden = 32

// local reads the local file. The error wraps ErrLocal.
func (f File) local() ([]byte, os.FileMode, error) {
	if f.Published != "" {
		return nil, fragmentMode, nil
	}
	b, mode, err := durable.ReadFile(f.Local, config.MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, 0, fmt.Errorf("%w: %s is missing, and %s was made from it; restore it", ErrLocal, f.Local, f.Path)
	case err != nil:
		return nil, 0, fmt.Errorf("%w: %w", ErrLocal, err)
	}
	return b, mode, nil
}

// change is a file that is to be replaced.
type change struct {
	file    File
	old     []byte
	mode    os.FileMode
	text    string
	restart bool
	written bool // the file is replaced
}

// plan merges the local file with fragments. It returns nil if the file is so already, or
// is unmanaged. Its error wraps ErrEdited, ErrLocal or ErrSet, or is of the file system.
func (f File) plan(of []Fragment) (*change, []Override, error) {
	if f.unmanaged() {
		return nil, nil, nil
	}
	local, mode, err := f.local()
	if err != nil {
		return nil, nil, err
	}
	if f.Fragment {
		mode = fragmentMode
	}
	text, overrides, err := f.merge(string(local), of)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.Local, err)
	}
	old, _, err := durable.ReadFile(f.Path, config.MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, overrides, err
	case string(old) == text:
		return nil, overrides, nil
	default:
		ours, err := written(string(old))
		if err == nil && !ours && (f.Fragment || !bytes.Equal(old, local)) {
			err = ErrEdited
		}
		if err != nil {
			return nil, overrides, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return &change{file: f, old: old, mode: mode.Perm(), text: text}, overrides, nil
}

// check writes the candidate, and lets the program check it.
func (c *change) check(ctx context.Context) error {
	path := c.file.candidatePath()
	if err := replace(path, []byte(c.text), c.mode); err != nil {
		return err
	}
	if c.file.Fragment {
		if err := c.file.checkFragment(path); err != nil {
			return fmt.Errorf("%s would refuse the file: %s", c.file.Program, short(err.Error()))
		}
		return nil
	}
	if out, err := run(ctx, c.file.Check[0], append(c.file.Check[1:len(c.file.Check):len(c.file.Check)], path)...); err != nil {
		return fmt.Errorf("%s refuses the file (%w): %s", filepath.Base(c.file.Check[0]), err, out)
	}
	c.restart = c.file.needsRestart(path)
	return nil
}

// fragmentMode lets the user of the program read what the agent writes. It has no secret.
const fragmentMode = 0o644

// checkFragment reads a fragment as its program does.
func (f File) checkFragment(path string) error {
	switch f.Program {
	case Refclockd:
		_, _, err := refclockd.LoadFleet(path)
		return err
	case Alert:
		s := alert.Settings{File: alert.Default()}
		s.Fleet = path
		_, err := s.Combine()
		return err
	}
	return ErrNoFile
}

// replace writes a file. The error wraps ErrOwner if the system denies it.
func replace(path string, text []byte, mode os.FileMode) error {
	err := durable.WriteFile(path, text, mode, true)
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("%s: %w: %w", path, ErrOwner, err)
	}
	return err
}

// needsRestart compares the candidate with the file in force. What cannot be compared
// needs one.
func (f File) needsRestart(candidate string) bool {
	switch f.Program {
	case NTSServe:
		was, err := ntsserve.Load(f.Path)
		is, err2 := ntsserve.Load(candidate)
		return err != nil || err2 != nil || len(is.Changes(was).Restart) > 0
	case Refclockd:
		was, err := refclockd.Load(f.Path)
		is, err2 := refclockd.Load(candidate)
		return err != nil || err2 != nil || len(is.Changes(was).Restart) > 0
	}
	return true
}

// write replaces the file, and lets the program take it over.
func (c *change) write(ctx context.Context) error {
	if err := replace(c.file.Path, []byte(c.text), c.mode); err != nil {
		return err
	}
	c.written = true
	os.Remove(c.file.candidatePath())
	return c.apply(ctx, c.restart)
}

func (c *change) apply(ctx context.Context, restart bool) error {
	if c.file.Apply == nil {
		return nil
	}
	return c.file.Apply(ctx, restart)
}

// undo puts the old file in place again, if it was replaced.
func (c *change) undo(ctx context.Context) error {
	if !c.written {
		return nil
	}
	if c.old == nil {
		return errors.Join(os.Remove(c.file.Path), c.apply(ctx, true))
	}
	err := replace(c.file.Path, c.old, c.mode)
	if applied := c.apply(ctx, true); applied != nil {
		err = errors.Join(err, fmt.Errorf("with the old file: %w", applied))
	}
	return err
}
