package snmp

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/events"
	"noonmark/internal/observe"
)

// Trap is a notification of the NTPv4-MIB.
type Trap struct {
	OID    string     // of the notification
	Values []Variable // its objects
	Text   string     // for logs
}

// Notifications of RFC 5907, below Root.
const (
	modeChange          = "0.1"
	stratumChange       = "0.2"
	configChanged       = "0.6"
	leapSecondAnnounced = "0.7"
	heartbeat           = "0.8"
)

// Notifier finds what managers are to be notified of.
type Notifier struct {
	// Heartbeat is the interval of heartbeats; 0: none.
	Heartbeat time.Duration

	begun   bool
	mode    Mode
	stratum int
	since   time.Time // ntsserve does not serve the clock; zero: it does
	beat    time.Time
}

// Step takes the clock, and the events since the last call. The first call finds
// nothing but a heartbeat.
func (n *Notifier) Step(c *Clock, since []events.Event) (found []Trap) {
	mode, level := c.Mode(), c.Stratum()
	brief := n.brief(c)
	if brief && n.begun {
		mode, level = n.mode, n.stratum
	}
	if n.begun && mode != n.mode {
		found = append(found, c.trap(modeChange, fmt.Sprintf("mode changed from %v to %v%s", n.mode, mode, reasonText(c)), scalarOf(currentMode, "i", strconv.Itoa(int(mode)))))
	}
	if n.begun && level != n.stratum {
		found = append(found, c.trap(stratumChange, fmt.Sprintf("stratum changed from %d to %d%s", n.stratum, level, reasonText(c)), scalarOf(stratum, "u", strconv.Itoa(level))))
	}
	n.begun, n.mode, n.stratum = n.begun || !brief, mode, level
	for _, e := range since {
		switch {
		case e.Kind == events.Reload:
			found = append(found, c.trap(configChanged, e.Text+": "+e.Detail))
		case e.Kind == events.Leap && e.Sign != 0:
			found = append(found, c.trap(leapSecondAnnounced, e.Text))
		}
	}
	if n.Heartbeat > 0 && (n.beat.IsZero() || c.Now.Sub(n.beat) >= n.Heartbeat) {
		n.beat = c.Now
		found = append(found, c.trap(heartbeat, "heartbeat: "+mode.String(), scalarOf(currentMode, "i", strconv.Itoa(int(mode)))))
	}
	return found
}

// brief reports whether it is ntsserve that does not serve the clock, and not for long: a
// restart is no change that managers want to hear of. Where refclockd's clock cannot be used, a
// server that is not synchronised is as it should be.
func (n *Notifier) brief(c *Clock) bool {
	switch {
	case c.Status == nil && !c.Alone:
	case c.Answers == observe.Silent, c.Answers == observe.Closed, c.Answers == observe.Unsynchronised && (c.Alone || c.Status.Usable):
		if n.since.IsZero() {
			n.since = c.Now
		}
		return c.Now.Sub(n.since) < deadAge*time.Second
	}
	n.since = time.Time{}
	return false
}

func reasonText(c *Clock) string {
	switch {
	case c.Answers == observe.Silent:
		return ": ntsserve publishes nothing"
	case c.Answers == observe.Closed:
		return ": ntsserve has no open address"
	case c.Status == nil && c.Alone:
		return ": as ntsserve serves it"
	case c.Status == nil:
		return ": refclockd publishes nothing"
	}
	return ": " + c.Status.State + ", " + c.Status.Reason
}

// scalarOf is an object of a notification; kind is a type letter of snmptrap(1).
func scalarOf(oid, kind, value string) Variable {
	return Variable{parse(Root + "." + oid + ".0"), kind, value}
}

// trap makes a notification: the time and a message, and its own objects.
func (c *Clock) trap(oid, text string, values ...Variable) Trap {
	now := c.Now
	if c.Status != nil {
		if t, ok := instant(c.Status.Time); ok {
			now = t
		}
	}
	values = append([]Variable{scalarOf(dateTime, "x", strings.ReplaceAll(ntpDate(now), " ", ""))}, values...)
	values = append(values, scalarOf(notifMessage, "s", oneLine(text)))
	return Trap{Root + "." + oid, values, text}
}

// sendTimeout is how long snmptrap may take: an inform waits for its answer.
const sendTimeout = 15 * time.Second

// Send sends a notification with net-snmp's snmptrap. args are its options and the
// manager, such as -v 2c -c public 192.0.2.1.
func Send(ctx context.Context, program string, args []string, t *Trap) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	all := append(append([]string{}, args...), "", t.OID) // "": its own uptime
	for _, v := range t.Values {
		all = append(all, dotted(v.OID), v.Type, v.Value)
	}
	if out, err := exec.CommandContext(ctx, program, all...).CombinedOutput(); err != nil {
		return fmt.Errorf("run %s: %w: %s", program, err, strings.TrimSpace(string(out[:min(len(out), 300)])))
	}
	return nil
}
