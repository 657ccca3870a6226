package observe

import (
	"errors"
	"fmt"
	"io"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/phc"
)

// ErrNoClients says that ntsserve is not configured to count clients.
var ErrNoClients = exitcode.With(exitcode.ErrConfig, errors.New("ntsserve does not count clients; want clients = \"prefixes\" in ntsserve.toml"))

// ShowStatus writes the status that refclockd publishes on a machine, for people or as one JSON
// object; for people also why clients do not get this clock. ErrStopped is returned after the
// last state was written. The error of the output is command.ErrOutput.
func ShowStatus(w io.Writer, m *Machine, asJSON bool) error {
	v := m.Look()
	s := v.Status
	switch {
	case s == nil && v.Alone && v.Serving != nil:
		return fmt.Errorf("%w; this machine has no refclockd: refclockctl server shows what ntsserve serves", v.Why)
	case s == nil:
		return ExplainSnapshot(v.Why)
	}
	err := command.Print(w, asJSON, s, func(w io.Writer) error {
		s.WriteText(w)
		if f := v.Fault(); f != nil {
			fmt.Fprintf(w, "%-10s %s\n%-10s %s\n%-10s remedy: %s\n", "SERVER", f.Clients, "", printable.Text(f.What), "", f.Remedy)
		}
		return nil
	})
	if err == nil && s.Stopped {
		err = ErrStopped
	}
	return err
}

// ShowServing writes the counters that ntsserve publishes in the file path. Errors are
// those of ReadServing, and command.ErrOutput.
func ShowServing(w io.Writer, path string, asJSON bool) error {
	s, err := ReadServing(path, phc.MonoRaw())
	if err != nil {
		return err
	}
	return command.Print(w, asJSON, s, func(w io.Writer) error { s.WriteText(w, time.Now()); return nil })
}

// ShowClients writes the networks among these counters. Errors are also ErrNoClients.
func ShowClients(w io.Writer, path string, asJSON bool) error {
	s, err := ReadServing(path, phc.MonoRaw())
	switch {
	case err != nil:
		return err
	case s.Clients == nil:
		return ErrNoClients
	}
	return command.Print(w, asJSON, s.Clients, func(w io.Writer) error { s.Clients.WriteText(w); return nil })
}
