package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/pps"
	"noonmark/refclock/receiver"
)

// Devices opens what takes a driver. Each method closes what it has opened, but
// for the port that Serial returns.
type Devices interface {
	// Clock reads the facts of a PTP clock, named by interface or device.
	Clock(name string) ClockFacts
	// Pulses listens to the configured pulse for a while.
	Pulses(ctx context.Context, c *refclockd.Settings, d time.Duration) PulseFacts
	// Serial opens a receiver's port at a rate.
	Serial(path string, baud int) (io.ReadCloser, error)
	// Stamping asks an interface what it can stamp, and changes nothing.
	Stamping(ifname string) (Stamping, error)
}

// Host is the machine to be examined. ThisHost returns the one that doctor runs
// on; tests build others.
type Host struct {
	Root    string // directory in which /proc, /sys, /dev and the like are looked up
	Devices Devices

	Now   func() time.Time
	Mono  func() int64 // CLOCK_MONOTONIC_RAW, ns
	Timex func() (phc.Timex, error)

	Account Account // whose permissions are checked
	Users   func(name string) (Account, bool)
	Names   []string        // names and addresses that clients may know the machine by
	Rivals  func() []string // programs that steer the system clock
	Command func(name string, args ...string) (string, error)
}

// ThisHost returns the machine that doctor runs on. Permissions are checked for
// the daemon's user if root runs doctor and that user exists, else for the user
// who runs it.
func ThisHost(daemon string) *Host {
	return &Host{
		Root: "/", Devices: hardware{}, Now: time.Now, Mono: phc.MonoRaw, Timex: phc.Kernel{}.Load,
		Account: accountOf(daemon), Users: lookUp, Names: machineNames(), Rivals: clock.Rivals, Command: command,
	}
}

// path returns where a file of the machine is found.
func (h *Host) path(elem ...string) string { return filepath.Join(h.Root, filepath.Join(elem...)) }

// resolve follows the links of a device's path. The result is a path of the
// machine, as links below /proc name it.
func (h *Host) resolve(path string) string {
	real, err := filepath.EvalSymlinks(h.path(path))
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(h.Root, real); err == nil && !strings.HasPrefix(rel, "..") {
		return "/" + rel
	}
	return real
}

// Account is a user with groups, as numbers. The zero Account is root.
type Account struct {
	Name   string
	UID    int
	Groups []int
}

func accountOf(daemon string) Account {
	u, err := user.Current()
	if os.Geteuid() == 0 {
		if d, derr := user.Lookup(daemon); derr == nil {
			u, err = d, nil
		}
	}
	if err != nil {
		return Account{Name: "this user", UID: os.Geteuid()}
	}
	return account(u)
}

// lookUp returns the user of a name; false: there is none.
func lookUp(name string) (Account, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return Account{}, false
	}
	return account(u), true
}

// userOf returns a user of the machine; false: it is not known.
func userOf(h *Host, name string) (Account, bool) {
	if h.Users == nil {
		return Account{}, false
	}
	return h.Users(name)
}

func account(u *user.User) Account {
	a := Account{Name: u.Username}
	a.UID, _ = strconv.Atoi(u.Uid) // a number wherever there are device files
	ids, _ := u.GroupIds()         // without them the owner's bits have to do
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			a.Groups = append(a.Groups, n)
		}
	}
	return a
}

// may reports whether the account may read and write a file.
func (a Account) may(mode os.FileMode, uid, gid int) bool { return a.has(0o006, mode, uid, gid) }

// has reports whether the account has rights on a file: bits as those of others.
func (a Account) has(want, mode os.FileMode, uid, gid int) bool {
	switch {
	case a.UID == 0:
		return true
	case a.UID == uid:
		want <<= 6
	case slices.Contains(a.Groups, gid):
		want <<= 3
	}
	return mode.Perm()&want == want
}

// machineNames returns the host name and the addresses of this machine.
func machineNames() (names []string) {
	if n, err := os.Hostname(); err == nil {
		names = append(names, n)
	}
	addrs, _ := net.InterfaceAddrs() // without them the name has to do
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	return names
}

// command runs a program, also one that is only in root's path.
func command(name string, args ...string) (string, error) {
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			out, err := exec.Command(p, args...).Output()
			return string(out), err
		}
	}
	return "", exec.ErrNotFound
}

// hardware are the devices of this machine.
type hardware struct{}

// Clock reads the facts of a PTP clock.
func (hardware) Clock(name string) (k ClockFacts) {
	dev, err := phc.Open(name)
	if err != nil {
		return ClockFacts{Err: err, Index: -1}
	}
	defer dev.Close()
	k = ClockFacts{Path: dev.Path(), Index: dev.Index(), Caps: dev.Caps()}
	k.Pins, k.PinsErr = dev.Pins()
	var x phc.Cross
	if x, k.ReadErr = dev.Cross(); k.ReadErr == nil {
		k.Method, k.Width = dev.CrossMethod(), x.Width
	}
	return k
}

// Pulses listens to the configured pulse.
func (hardware) Pulses(ctx context.Context, c *refclockd.Settings, d time.Duration) PulseFacts {
	in := &c.Pulse.PulseInput
	if in.Source == "kernel" {
		k, err := pps.OpenKernel(in.Device, pps.KernelOptions{Edge: in.Edge})
		if err != nil {
			return PulseFacts{Err: err}
		}
		defer k.Close()
		sys, err := phc.OpenSystem(func(real int64) int { return tai.Builtin().OffsetUTC(real / 1e9) })
		if err != nil {
			return PulseFacts{Err: err}
		}
		return listenPulses(ctx, k, edgeTime(sys.Cross), d)
	}
	x, err := pps.OpenCard(c.Clock.Device, in.TimestampOptions())
	if err != nil {
		return PulseFacts{Err: err}
	}
	defer x.Close()
	p := listenPulses(ctx, x, edgeTime(x.Cross), d)
	g := x.Grant()
	p.Note = fmt.Sprintf(" (the driver stamps %v, version %d)", g.Edges, g.Version)
	return p
}

// edgeTime returns the conversion of a source's edges to CLOCK_MONOTONIC_RAW: by
// one reading of the clock they were stamped with.
func edgeTime(cross func() (phc.Cross, error)) func(pps.Edge) (int64, error) {
	return func(e pps.Edge) (int64, error) {
		x, err := cross()
		if err != nil {
			return 0, err
		}
		now := x.Real
		if e.Scale == pps.Clock {
			now = int64(x.Clock)
		}
		return x.Mono - (now - e.Stamp), nil
	}
}

// listenPulses reads edges for a while. at converts an edge to
// CLOCK_MONOTONIC_RAW.
func listenPulses(ctx context.Context, src pps.Source, at func(pps.Edge) (int64, error), d time.Duration) (p PulseFacts) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for ctx.Err() == nil {
		e, err := src.Next(ctx)
		if errors.Is(err, pps.ErrNoPulse) {
			continue
		}
		var mono int64
		if err == nil {
			mono, err = at(e)
		}
		if err != nil {
			if ctx.Err() == nil {
				p.Err = err
			}
			return p
		}
		p.Edges = append(p.Edges, mono)
	}
	return p
}

// Serial opens a receiver's port.
func (hardware) Serial(path string, baud int) (io.ReadCloser, error) {
	return receiver.OpenSerial(path, baud)
}
