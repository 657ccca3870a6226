package doctor

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/status"
)

// clockFacts is what a PTP clock says of itself.
type clockFacts struct {
	path    string
	caps    phc.Caps
	pins    []phc.Pin
	method  string
	width   time.Duration
	running bool // refclockd
}

// clockFindings judges a PTP clock for what the configuration asks of it.
func clockFindings(c *refConfig, k clockFacts) []Finding {
	out := []Finding{good("clock", "%s: up to %.0f ppm, %d external timestamp channels, %d pins, read by %s within %v",
		k.path, k.caps.MaxFreqPPB/1000, k.caps.ExtTS, k.caps.Pins, k.method, k.width)}
	if k.width > 20*time.Microsecond {
		out = append(out, warn("clock", "nothing mends a slow bus (CM4, CM5); the bound is as wide, so set discipline.holdover_limit well above it",
			"where in %v the clock is read cannot be known", k.width))
	}
	if c.Pulse.Source != "extts" {
		return out
	}
	const kernel = `set pulse.source = "kernel" with the pulse on a PPS pin or a DCD line, or use a card with pins (i210, i225, i226)`
	switch {
	case k.caps.ExtTS == 0:
		return append(out, bad("pin", kernel, "%s has no external timestamps", k.path))
	case c.Pulse.Channel >= k.caps.ExtTS:
		return append(out, bad("pin", fmt.Sprintf("set pulse.channel to 0 to %d", k.caps.ExtTS-1), "%s has no channel %d", k.path, c.Pulse.Channel))
	case c.Pulse.Pin < 0:
		return append(out, good("pin", "pins are left as they are"))
	case k.caps.Pins == 0:
		return append(out, bad("pin", "set pulse.pin = -1: this card's wiring is fixed", "%s has no programmable pins", k.path))
	}
	for _, p := range k.pins {
		if p.Index != c.Pulse.Pin {
			continue
		}
		switch {
		case p.Func == phc.PinExtTS && p.Channel == c.Pulse.Channel:
			return append(out, good("pin", "pin %d (%s) takes external timestamps for channel %d", p.Index, p.Name, p.Channel))
		case k.running:
			return append(out, bad("pin", "another program changed it: see who holds the clock; refclockd takes it back within two minutes", "pin %d (%s) is set to %v, channel %d, while refclockd runs", p.Index, p.Name, p.Func, p.Channel))
		case p.Func != phc.PinNone:
			return append(out, warn("pin", "refclockd will take it; make sure that nothing else needs it, or set pulse.pin to another", "pin %d (%s) is set to %v, channel %d", p.Index, p.Name, p.Func, p.Channel))
		}
		return append(out, good("pin", "pin %d (%s) is free; refclockd will take it", p.Index, p.Name))
	}
	return append(out, bad("pin", fmt.Sprintf("set pulse.pin to 0 to %d, or -1", k.caps.Pins-1), "%s has no pin %d", k.path, c.Pulse.Pin))
}

// stamps is what an interface can stamp, and what it is set to.
type stamps struct {
	ifname       string
	phc          int
	all          bool // all received packets, or all NTP ones
	some         bool // PTP packets at least
	tx           bool
	known        bool // what it is set to
	rxNow, txNow bool
	rxPTP        bool // set to stamp PTP packets
}

// stampFindings judges an interface for ntsserve; clock is the index of the
// PTP clock that is steered, -1 none.
func stampFindings(s stamps, clock int) []Finding {
	const check = "stamps"
	switch {
	case s.phc < 0 || !s.some && !s.tx:
		return []Finding{warn(check, `ntsserve takes the kernel's stamps (timestamps = "auto"): tens of microseconds instead of tens of nanoseconds`, "%s has no hardware stamps", s.ifname)}
	case clock >= 0 && s.phc != clock:
		return []Finding{warn(check, "serve on the interface whose clock is steered, or steer this one's", "%s stamps by /dev/ptp%d, but /dev/ptp%d is steered: its stamps are not used", s.ifname, s.phc, clock)}
	}
	var out []Finding
	if s.all {
		now := "; ntsserve will switch it on (CAP_NET_ADMIN)"
		if s.rxNow {
			now = ", and does so now"
		}
		out = append(out, good(check, "%s can stamp every packet that arrives%s", s.ifname, now))
	} else {
		out = append(out, warn(check, "nothing mends that; arrivals are stamped by the kernel", "%s stamps PTP packets only, no NTP", s.ifname))
	}
	if s.rxPTP && s.all {
		out = append(out, warn(check, "stop ptp4l on this interface, or let ntsserve use another", "%s is set to stamp PTP packets only, by another program", s.ifname))
	}
	if !s.tx {
		out = append(out, warn(check, "interleaved mode then tells the kernel's transmit stamps", "%s has no transmit stamps", s.ifname))
	}
	return out
}

// fresh is how old the snapshot of a refclockd that runs can be.
const fresh = 3 * time.Second

// snapshotFindings judges the snapshot at mono. alive: its writer still runs.
func snapshotFindings(s *status.Snapshot, mono int64, alive bool) []Finding {
	const check = "snapshot"
	age := time.Duration(mono - s.Mono).Round(time.Millisecond)
	if age > fresh || age < -fresh {
		if alive {
			return []Finding{bad(check, "restart refclockd, and report it with its log", "refclockd (pid %d) has published nothing for %v", s.PID, age)}
		}
		return []Finding{warn(check, "systemctl start refclockd; journalctl -u refclockd tells why it ended", "refclockd is not running; its last snapshot is %v old", age)}
	}
	bound := "nothing is claimed"
	if b := s.BoundAt(mono); b < time.Hour {
		bound = fmt.Sprintf("within %v", b)
	}
	what := fmt.Sprintf("refclockd (pid %d) says %v (%s), %s", s.PID, s.State, s.Reason, bound)
	switch s.State {
	case status.Locked:
		return []Finding{good(check, "%s", what)}
	case status.Faulty:
		return []Finding{bad(check, "what follows may tell why; so does its log", "%s", what)}
	}
	return []Finding{warn(check, "what follows may tell why; a lock takes about 10 s once pulses and messages are there", "%s", what)}
}

// progressFindings judges what a running refclockd took in between two of its
// snapshots.
func progressFindings(a, b *status.Snapshot, d time.Duration, pulse bool) (out []Finding) {
	if pulse {
		n := b.Pulses - a.Pulses
		what := fmt.Sprintf("refclockd took %d pulses in %v, refused %d, missed %d (%s)", n, d, b.BadPulses-a.BadPulses, b.Missed-a.Missed, b.Pulse)
		switch {
		case n == 0 && b.BadPulses > a.BadPulses:
			out = append(out, bad("edges", "see the metrics noonmark_refclock_pulses_refused_total for why", "%s", what))
		case n == 0:
			out = append(out, bad("edges", "check that the receiver has a fix, the wire from its time pulse to the pin, and pulse.edge", "%s", what))
		case float64(n) < d.Seconds()-1.5:
			out = append(out, warn("edges", "look for a loose wire, and at why pulses are refused (metrics)", "%s", what))
		default:
			out = append(out, good("edges", "%s", what))
		}
	}
	n := b.Msgs - a.Msgs
	what := fmt.Sprintf("refclockd took %d time messages in %v, refused %d (%s)", n, d, b.BadMsgs-a.BadMsgs, b.Receiver)
	if n == 0 {
		out = append(out, bad("messages", "check the receiver's power, wire, baud rate and fix; with refclockd stopped, doctor listens to the port itself", "%s", what))
	} else {
		out = append(out, good("messages", "%s", what))
		if pulse && b.Pulses > a.Pulses && b.MsgMono > b.PulseMono {
			out = append(out, good("latency", "the last message came %v after the pulse", (time.Duration(b.MsgMono-b.PulseMono)%time.Second).Round(time.Millisecond)))
		}
	}
	return out
}

// Bits of the kernel's state, uapi/linux/timex.h.
const (
	staLoops  = 0x0001 | 0x0002 | 0x0004 | 0x0008 // PLL, PPSFREQ, PPSTIME, FLL
	staUnsync = 0x0040
)

// systemFindings tells who steers the system clock, and judges it where
// refclockd is to do so.
func systemFindings(ours bool, rivals []string, t phc.Timex, err error) []Finding {
	const check = "system clock"
	if err != nil {
		return []Finding{warn(check, "", "%v", err)}
	}
	state := fmt.Sprintf("%+.1f ppm, synchronised within %v", t.FreqPPB/1000, t.MaxError)
	if t.Status&staUnsync != 0 {
		state = fmt.Sprintf("%+.1f ppm, not synchronised", t.FreqPPB/1000)
	}
	who := strings.Join(rivals, ", ")
	switch {
	case ours && who != "":
		return []Finding{bad(check, "stop and disable "+who+", or leave the system clock to it", "%s steers it (%s), and refclockd is to do so, too", who, state)}
	case ours && t.Status&staLoops != 0:
		return []Finding{warn(check, "refclockd switches it off when it steers", "the kernel's own loop steers it (%s)", state)}
	case who != "":
		return []Finding{good(check, "%s steers it (%s); refclockd does not", who, state)}
	case ours:
		return []Finding{good(check, "nobody else steers it (%s)", state)}
	case t.Status&staUnsync != 0:
		return []Finding{warn(check, "let refclockd or chronyd (refclock SHM or SOCK) steer it: certificates and logs need the time of day", "nobody steers it (%s)", state)}
	}
	return []Finding{good(check, "nobody known steers it (%s)", state)}
}

// secret looks at the mode of a file that only its owner may read.
func secret(check, path string) (Finding, bool) {
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return Finding{}, false
	case fi.Mode().Perm()&0o037 != 0: // a group may read it
		return bad(check, fmt.Sprintf("chmod 600 %s", path), "%s is mode %04o: others can use the secret", path, fi.Mode().Perm()).as(exitcode.Permission), true
	}
	return good(check, "%s is mode %04o", path, fi.Mode().Perm()), true
}

// soon is how long before its end a certificate should have been renewed.
const soon = 14 * 24 * time.Hour

// certFindings looks at a certificate and its key. names are what clients may
// know this machine by.
func certFindings(cert, key string, names []string, now time.Time) []Finding {
	const check = "certificate"
	pair, err := tls.LoadX509KeyPair(cert, key)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return []Finding{bad(check, "run doctor as root", "%v", err).as(exitcode.Permission)}
	case errors.Is(err, fs.ErrNotExist):
		return []Finding{bad(check, "make one: refclockctl ca, or an ACME client; or name the right files under [ke]", "%v", err)}
	case err != nil:
		return []Finding{bad(check, "the file must hold the chain in PEM, the server's certificate first, and the key be the one it was made for", "%s: %v", cert, err)}
	}
	var out []Finding
	leaf := pair.Leaf
	until := leaf.NotAfter.UTC().Format("2006-01-02T15:04Z")
	switch left := leaf.NotAfter.Sub(now); {
	case left < 0:
		out = append(out, bad(check, "renew it; ntsserve takes the new one over by itself", "%s expired on %s", cert, until))
	case now.Before(leaf.NotBefore):
		out = append(out, bad(check, "is this machine's date right?", "%s is not valid before %s", cert, leaf.NotBefore.UTC().Format("2006-01-02T15:04Z")))
	case left < min(soon, leaf.NotAfter.Sub(leaf.NotBefore)/4):
		out = append(out, warn(check, "renew it; ntsserve takes the new one over by itself", "%s expires on %s", cert, until))
	default:
		out = append(out, good(check, "%s is valid until %s", cert, until))
	}
	out = append(out, hostFinding(leaf, names))
	if f, ok := secret(check, key); ok {
		out = append(out, f)
	}
	return out
}

// hostFinding compares a certificate's names with this machine's.
func hostFinding(leaf *x509.Certificate, names []string) Finding {
	const check = "certificate"
	of := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		of = append(of, ip.String())
	}
	if len(of) == 0 {
		return bad(check, "make it anew with the names clients use (subject alternative names)", "it is for no host: every client refuses it")
	}
	list := strings.Join(of, ", ")
	for _, n := range names {
		if leaf.VerifyHostname(n) == nil {
			return good(check, "it is for %s", list)
		}
		// The full name of a machine that knows its short one.
		if slices.ContainsFunc(of, func(o string) bool { return strings.HasPrefix(o, n+".") }) {
			return good(check, "it is for %s", list)
		}
	}
	return warn(check, "clients must ask by a name of the certificate, or refuse it", "it is for %s, while this machine is %s", list, strings.Join(names, ", "))
}

// keysFinding looks at the key ring's file.
func keysFinding(path string) Finding {
	if f, ok := secret("keys", path); ok {
		return f
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrPermission) {
		return warn("keys", "run doctor as root", "%v", err)
	}
	if _, err := os.Stat(filepath.Dir(path)); err != nil {
		return bad("keys", "create the directory for ntsserve's user (StateDirectory does), or set keys.file", "%v", err)
	}
	return good("keys", "%s is made at ntsserve's first start", path)
}

// portFindings tells who listens where ntsserve is to.
func portFindings(proto string, port int, who []process, taken bool) Finding {
	what := fmt.Sprintf("%d/%s", port, proto)
	var others []string
	for _, p := range who {
		if p.name != "ntsserve" {
			others = append(others, p.String())
		}
	}
	switch {
	case len(others) > 0:
		return bad("port", "stop it, or let it answer nobody (chronyd: port 0)", "%s is taken by %s", what, strings.Join(others, ", "))
	case len(who) > 0:
		return good("port", "ntsserve listens on %s", what)
	case taken:
		return warn("port", "run doctor as root to see who", "%s is taken by a program that cannot be seen", what)
	}
	return warn("port", "systemctl start ntsserve", "nobody listens on %s: ntsserve is not running", what)
}
