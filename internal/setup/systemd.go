package setup

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"noonmark/internal/exitcode"
)

// systemctl runs systemctl; its errors have what it printed.
func (s *System) systemctl(args ...string) (string, error) {
	out, err := s.Command("systemctl", args...)
	var e *exec.ExitError
	if errors.As(err, &e) && len(e.Stderr) > 0 {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(e.Stderr)))
	}
	if err != nil {
		return "", &systemdError{fmt.Errorf("systemctl %s: %w", strings.Join(args, " "), err)}
	}
	return out, nil
}

// systemdError is that a unit could not be changed; it is exitcode.ErrUnavailable.
type systemdError struct{ error }

func (e *systemdError) Unwrap() error { return e.error }

// Is reports whether the error decides an exit code.
func (e *systemdError) Is(target error) bool { return target == exitcode.ErrUnavailable }

// unitState asks systemd for the state of a unit. A unit that does not exist is
// neither enabled nor active.
func (s *System) unitState(unit string) (UnitRecord, error) {
	r := UnitRecord{Unit: unit}
	out, err := s.systemctl("show", "-p", "ActiveState,UnitFileState", unit)
	if err != nil {
		return r, err
	}
	for line := range strings.Lines(out) {
		switch key, v, _ := strings.Cut(strings.TrimSpace(line), "="); {
		case key == "ActiveState":
			r.Active = v == "active" || v == "activating" || v == "reloading"
		case key == "UnitFileState":
			r.Enabled = strings.HasPrefix(v, "enabled")
		}
	}
	return r, nil
}
