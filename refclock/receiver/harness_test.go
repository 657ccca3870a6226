package receiver_test

import (
	"bytes"
	"slices"
	"strings"
	"sync"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
)

// zda is a sentence that labels a second.
const zda = "$GPZDA,120000.00,23,11,2026,00,00*62\r\n"

func openPTY(t *testing.T) *sim.PTY {
	t.Helper()
	p, err := sim.OpenPTY()
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	return p
}

// queued returns a session whose messages go to a channel and whose failures are
// counted.
func queued(cfg receiver.Config, out chan<- *gnss.Message, c *tally) *receiver.Session {
	cfg.Count = c.count
	cfg.Conditions = c.take
	cfg.Message = receiver.Queue(out, func() { c.count(reason.MessageQueue) })
	return receiver.NewSession(cfg)
}

// tally counts reasons, and notes when conditions begin and end.
type tally struct {
	mu     sync.Mutex
	n      map[reason.Code]int
	now    []reason.Condition
	events []string // such as "+port_silent" and "-port_silent"
}

// take takes the conditions that hold.
func (c *tally) take(now []reason.Condition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	note := func(sign string, a, b []reason.Condition) {
		for _, x := range a {
			if !slices.ContainsFunc(b, func(y reason.Condition) bool { return y.Code == x.Code }) {
				c.events = append(c.events, sign+x.Code.String())
			}
		}
	}
	note("-", c.now, now)
	note("+", now, c.now)
	c.now = now
}

// history returns what began and ended, in order.
func (c *tally) history() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.events, " ")
}

// detail returns what is said of a condition that holds.
func (c *tally) detail(r reason.Code) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, x := range c.now {
		if x.Code == r {
			return x.Detail
		}
	}
	return ""
}

func (c *tally) count(r reason.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[reason.Code]int{}
	}
	c.n[r]++
}

func (c *tally) of(r reason.Code) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[r]
}

// syncBuffer is a log that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
