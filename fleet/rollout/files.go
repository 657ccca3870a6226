package rollout

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/internal/printable"
)

// File is the configuration file of one program on this node.
type File struct {
	Program Program
	Path    string   // that the program reads; written by the agent
	Local   string   // that the operator writes; it wins
	Check   []string // command to which the path of a candidate is appended; exit code 0: it is good

	// Apply lets the running program take over the file: by a reload, or by a restart
	// if a key has changed that a reload does not take over.
	Apply func(ctx context.Context, restart bool) error
}

// CheckCommand is the usual Check of a program: its own -check.
func CheckCommand(p Program) []string {
	if p == Alert {
		return []string{"refclockctl", "alert", "-check", "-config"}
	}
	return []string{string(p), "-check", "-config"}
}

// LocalPath is the usual Local of a path: "ntsserve.local.toml" beside "ntsserve.toml".
func LocalPath(path string) string { return strings.TrimSuffix(path, ".toml") + ".local.toml" }

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

// local reads the local file. The error wraps ErrLocal.
func (f File) local() ([]byte, os.FileMode, error) {
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
	text, overrides, err := Merge(f.Program, string(local), of...)
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
		if err == nil && !ours && !bytes.Equal(old, local) {
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
	if out, err := run(ctx, c.file.Check[0], append(c.file.Check[1:len(c.file.Check):len(c.file.Check)], path)...); err != nil {
		return fmt.Errorf("%s refuses the file (%w): %s", filepath.Base(c.file.Check[0]), err, out)
	}
	c.restart = c.file.needsRestart(path)
	return nil
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
	return c.file.Apply(ctx, c.restart)
}

// undo puts the old file in place again, if it was replaced.
func (c *change) undo(ctx context.Context) error {
	if !c.written {
		return nil
	}
	if c.old == nil {
		return errors.Join(os.Remove(c.file.Path), c.file.Apply(ctx, true))
	}
	err := replace(c.file.Path, c.old, c.mode)
	if applied := c.file.Apply(ctx, true); applied != nil {
		err = errors.Join(err, fmt.Errorf("with the old file: %w", applied))
	}
	return err
}
