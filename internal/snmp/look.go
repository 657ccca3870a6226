package snmp

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/observe"
)

// deadAge is the age of a snapshot, s, from which refclockd does not run any more, and how long
// ntsserve may serve nothing, s, without being down.
const deadAge = 5

// Look reads what the daemons of a machine publish. What cannot be read is not known.
func Look(m *observe.Machine) *Clock {
	v := m.Look()
	c := &Clock{Now: time.Now(), Alone: v.Alone && v.Serves, Serving: v.Serving}
	if v.Serves {
		c.Answers = v.Answers()
	}
	if s := v.Status; s != nil && s.AgeS < deadAge && !c.Alone {
		c.Status = s
	}
	if r, err := daemon.ReadReport(filepath.Join(filepath.Dir(m.Snapshot), daemon.StateFileName)); err == nil {
		c.Tasks = r.Tasks
	}
	return c
}

// Notify is one look at the clock and at the events since the last one: it sends what
// managers are to be notified of with net-snmp's program, as Send does. What cannot be read
// or sent is passed to failed. A notification that cannot be sent is lost: it may not be
// true any more.
func (n *Notifier) Notify(ctx context.Context, c *Clock, tail *events.Tail, program string, args []string, failed func(error)) {
	since, err := tail.Next()
	if err != nil {
		failed(err)
	}
	for _, x := range n.Step(c, since) {
		if err := Send(ctx, program, args, &x); err != nil && ctx.Err() == nil {
			failed(fmt.Errorf("%s is not sent: %w", x.Text, err))
		}
	}
}
