package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/ntsclient"
)

// Outcome is how far the clock came after setup. Its JSON keys are a contract.
type Outcome struct {
	Synchronised bool    `json:"synchronised"` // clients get time
	State        string  `json:"state"`        // of refclockd; empty: there is none
	Reason       string  `json:"reason"`
	Remedy       string  `json:"remedy,omitempty"`
	Waited       float64 `json:"waited_s"`
	Stratum      int     `json:"stratum"` // that ntsserve answered with; 16: not synchronised, 0: no answer
	Answer       string  `json:"answer"`  // of ntsserve, for people
}

const (
	pollEvery = time.Second
	sayEvery  = 15 * time.Second // the state is shown again although nothing changed
)

// Live shows refclockd's state on out until clients get time, limit has passed or ctx
// ends. receiver: refclockd runs.
func Live(ctx context.Context, out io.Writer, receiver bool, limit time.Duration) (o Outcome) {
	began := time.Now()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	var said string
	var last time.Time
	for {
		if receiver {
			o.reference()
		}
		if !receiver || o.Synchronised {
			o.ask(ctx)
		}
		o.Waited = time.Since(began).Seconds()
		if text := o.text(receiver); text != said || time.Since(last) >= sayEvery {
			fmt.Fprintf(out, "%4.0f s  %s\n", o.Waited, text)
			said, last = text, time.Now()
		}
		if o.Synchronised || time.Since(began) >= limit {
			return o
		}
		select {
		case <-ctx.Done():
			return o
		case <-t.C:
		}
	}
}

// reference reads what refclockd publishes.
func (o *Outcome) reference() {
	s, err := report.Read(status.DefaultPath, phc.MonoRaw)
	if err != nil {
		o.Synchronised, o.State, o.Reason, o.Remedy = false, "none", err.Error(), "journalctl -u refclockd shows why it does not publish"
		return
	}
	o.Synchronised, o.State, o.Reason, o.Remedy = s.Usable, s.State, s.Reason, s.Remedy
}

// ask asks ntsserve as a client does.
func (o *Outcome) ask(ctx context.Context) {
	o.Synchronised, o.Stratum, o.Answer = false, 0, ""
	c, err := ntsclient.New(ntsclient.Config{Host: "127.0.0.1", Plain: true})
	if err != nil {
		o.Answer = err.Error()
		return
	}
	defer c.Close()
	r, err := c.Query(ctx)
	switch {
	case errors.Is(err, ntsclient.ErrUnsynchronised):
		o.Stratum, o.Answer = 16, "not synchronised"
	case err != nil:
		o.Answer = err.Error()
	default:
		o.Stratum, o.Synchronised = int(r.Stratum), true
		o.Answer = fmt.Sprintf("stratum %d, within %v", r.Stratum, r.RootDistance().Round(time.Microsecond))
	}
}

func (o *Outcome) text(receiver bool) string {
	text := "ntsserve: " + o.Answer
	if receiver && o.Answer == "" {
		text = fmt.Sprintf("refclockd: %s (%s)", o.State, o.Reason)
		if o.Remedy != "" {
			text += "; " + o.Remedy
		}
	}
	return text
}
