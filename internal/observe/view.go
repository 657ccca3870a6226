package observe

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"sync/atomic"

	"noonmark/internal/config/ntsserve"
	"noonmark/refclock/report"
)

// Machine is where the daemons of a machine publish, and where they are configured. From
// both follows what the machine is for.
type Machine struct {
	Snapshot string       // that refclockd publishes
	Serving  string       // the counters that ntsserve publishes; empty: no server is watched
	Mono     func() int64 // CLOCK_MONOTONIC_RAW, ns

	// Refclockd is the configuration of refclockd. Where that file does not exist and nothing is
	// published, ntsserve serves the clock of another program. Empty: refclockd is expected.
	Refclockd string
	// Ntsserve is the configuration of ntsserve. Where that file exists and Boot too, ntsserve is
	// expected. Empty: it is expected once it has published.
	Ntsserve string
	// Boot is the link that starts ntsserve when the machine starts: an installation may bring a
	// configuration to machines that are no servers. Empty: that of the usual unit for the usual
	// configuration, none for another one.
	Boot string

	served atomic.Bool // ntsserve has published
}

// View is what the daemons of a machine publish at one instant.
type View struct {
	Status    *report.Status // nil: refclockd publishes nothing
	Why       error          // why there is no Status
	Serving   *Serving       // nil: ntsserve publishes nothing, or does not any more
	NoServing error          // why there is no Serving
	Alone     bool           // there is no refclockd here: ntsserve serves the clock of another program
	Serves    bool           // ntsserve is expected here
}

// SilentAge is the age of a snapshot, s, from which its writer has stopped.
const SilentAge = 3

// Look reads what is published now.
func (m *Machine) Look() View {
	var v View
	if s, err := ReadStatus(m.Snapshot, m.Mono); err != nil {
		v.Why = err
	} else {
		v.Status = &s
	}
	if m.Serving != "" {
		v.Serving, v.NoServing = ReadServing(m.Serving, m.Mono())
		if v.Serving != nil || !errors.Is(v.NoServing, ErrNoServing) {
			m.served.Store(true)
		}
		v.Serves = m.served.Load() || m.configured()
	}
	v.Alone = (v.Status == nil || v.Status.AgeS > SilentAge) && m.Refclockd != "" && missing(m.Refclockd)
	return v
}

// bootLink is what systemctl enable makes of ntsserve.service.
const bootLink = "/etc/systemd/system/multi-user.target.wants/ntsserve.service"

// configured reports whether ntsserve is configured, and is started at boot.
func (m *Machine) configured() bool {
	boot := m.Boot
	if boot == "" && m.Ntsserve == ntsserve.DefaultPath {
		boot = bootLink
	}
	if m.Ntsserve == "" || missing(m.Ntsserve) {
		return false
	}
	_, err := os.Lstat(boot) // wherever the link leads
	return boot == "" || !errors.Is(err, fs.ErrNotExist)
}

// missing reports whether a configuration does not exist. One that cannot be looked at may be
// there.
func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// Answers is what clients of ntsserve meet.
type Answers uint8

// The kinds of Answers.
const (
	NotExpected    Answers = iota // no server is expected here, and none publishes
	Silent                        // ntsserve publishes nothing: clients may get no answer
	Closed                        // ntsserve has no open address: they get no answer
	Unsynchronised                // they get stratum 16
	Synchronised
)

// Answers judges the server by what ntsserve publishes.
func (v *View) Answers() Answers {
	s := v.Serving
	switch {
	case s == nil && !v.Serves && !v.Alone:
		return NotExpected
	case s == nil:
		return Silent
	case !slices.ContainsFunc(s.Endpoints, func(e ServingEndpoint) bool { return e.Workers > 0 }):
		return Closed
	case !s.Synchronised:
		return Unsynchronised
	}
	return Synchronised
}

// Fault is why clients do not get the clock that is here.
type Fault struct {
	Clients string // a sentence: what they see
	What    string // is wrong
	Remedy  string
}

// Fault returns what is wrong with the server, nil if clients get the clock.
func (v *View) Fault() *Fault {
	const logged = "(journalctl -u ntsserve)"
	switch v.Answers() {
	case Silent:
		f := &Fault{"ntsserve publishes nothing, so clients may get no answer.", "ntsserve publishes no counters", "start ntsserve (systemctl start ntsserve); its log says why it ended, or what it lacks " + logged}
		if v.NoServing != nil && !errors.Is(v.NoServing, ErrNoServing) {
			f.What = v.NoServing.Error()
		}
		return f
	case Closed:
		return &Fault{"ntsserve has no open address, so clients get no answer.", "ntsserve waits for all of its addresses", "see the log of ntsserve " + logged}
	case Unsynchronised:
		if !v.Alone && (v.Status == nil || !v.Status.Usable) {
			return nil // there is no clock that they could get
		}
		f := &Fault{"Clients see a server that is not synchronised (stratum 16).", "ntsserve does not serve the clock of refclockd", "compare [source] of its configuration with runtime_dir of refclockd's; its log says what it lacks " + logged}
		if v.Alone {
			f.What, f.Remedy = "the clock that ntsserve serves is not synchronised", "look at the program that keeps it (chronyc tracking, timedatectl); refclockctl doctor shows what ntsserve lacks"
		}
		return f
	}
	return nil
}
