package setup

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
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

	Authenticated bool   `json:"authenticated"` // an answer with NTS was verified
	NTS           string `json:"nts,omitempty"` // why it was not
}

const (
	pollEvery = time.Second
	sayEvery  = 15 * time.Second // the state is shown again although nothing changed
)

// watch is what is looked at until clients get time.
type watch struct {
	receiver  bool // refclockd runs
	reference func(*Outcome)
	ask       func(context.Context, *Outcome)
	verify    func(context.Context) error // asks with NTS, and has to succeed; nil: nothing is to be verified
}

// live shows refclockd's state on out until clients get time, by NTS too where that is to be
// verified, limit has passed or ctx ends.
func (w *watch) live(ctx context.Context, out io.Writer, limit time.Duration) (o Outcome) {
	began := time.Now()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	var said string
	var last time.Time
	for {
		if w.receiver {
			w.reference(&o)
		}
		if !w.receiver || o.Synchronised {
			w.ask(ctx, &o)
		}
		if w.verify != nil && o.Synchronised {
			o.judge(w.verify(ctx))
		}
		o.Waited = time.Since(began).Seconds()
		if text := o.text(w.receiver); text != said || time.Since(last) >= sayEvery {
			fmt.Fprintf(out, "%4.0f s  %s\n", o.Waited, text)
			said, last = text, time.Now()
		}
		if o.Synchronised && (w.verify == nil || o.Authenticated) || time.Since(began) >= limit {
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
func reference(o *Outcome) {
	s, err := report.Read(status.DefaultPath, phc.MonoRaw)
	if err != nil {
		o.Synchronised, o.State, o.Reason, o.Remedy = false, "none", err.Error(), "journalctl -u refclockd shows why it does not publish"
		return
	}
	o.Synchronised, o.State, o.Reason, o.Remedy = s.Usable, s.State, s.Reason, s.Remedy
}

// ask asks ntsserve as a client without NTS does.
func ask(ctx context.Context, o *Outcome) {
	o.Synchronised, o.Stratum, o.Answer = false, 0, ""
	c, err := ntsclient.New(ntsclient.Config{Host: loopback, Plain: true})
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

// loopback is where ntsserve answers on every machine that setup configures.
const loopback = "127.0.0.1"

// askNTS asks ntsserve for one answer with NTS, as a client that knows it by a name and trusts
// roots; nil: those of the system.
func askNTS(ctx context.Context, name string, roots *x509.CertPool) error {
	c, err := ntsclient.New(ntsclient.Config{Host: loopback, Exchange: func(ctx context.Context) (*ntske.Session, error) {
		return ntske.Exchange(ctx, ntske.ClientConfig{Host: loopback, ServerName: name, RootCAs: roots})
	}})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Query(ctx)
	return err
}

// verifier asks with NTS by the first name of the certificate that our own authority issued; nil: there
// is none, or what is served was configured by hand.
func (p *Plan) verifier(authority string) (func(context.Context) error, error) {
	if p.Answers.NTS != "own" || p.Certificate == Keep || len(p.Names) == 0 || p.kept(ntsserveFile) {
		return nil, nil
	}
	b, _, err := durable.ReadFile(authority, maxConfig)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%w: %s has no certificate", exitcode.ErrConfig, authority)
	}
	return func(ctx context.Context) error { return askNTS(ctx, p.Names[0], roots) }, nil
}

// explainNTS completes the outcome with what to do if there is no answer with NTS. A certificate that is
// ordered may come later.
func (x *Setup) explainNTS(ctx context.Context, r *Report) {
	how, name, _ := ntsOf(r.Plan.Answers.NTS) // it was checked
	o := r.Outcome
	if how == "acme" && o.Synchronised && !r.Plan.kept(ntsserveFile) {
		if o.judge(askNTS(ctx, name, nil)); !o.Authenticated {
			fmt.Fprintf(x.Out, "\nNTS waits for the certificate of %s, which ntsserve orders: %s\njournalctl -u ntsserve shows how far it is\n", name, o.NTS)
		}
	}
	if how == "own" && o.NTS != "" {
		o.Remedy = remedyNTS(doctor.NewSurvey(x.Host).Listener("tcp", ntske.DefaultPort))
	}
}

// remedyNTS says what to do about NTS that does not answer, by who listens on its port.
func remedyNTS(who []doctor.Process, taken bool) string {
	others := slices.DeleteFunc(slices.Clone(who), func(p doctor.Process) bool { return p.Name == "ntsserve" })
	switch {
	case len(others) > 0 && others[0].Name == "chronyd":
		return fmt.Sprintf("TCP %d is taken by chronyd: remove ntsservercert and ntsserverkey from its configuration, restart it, then restart ntsserve", ntske.DefaultPort)
	case len(others) > 0:
		return fmt.Sprintf("TCP %d is taken by %v: stop it, then restart ntsserve", ntske.DefaultPort, others[0])
	case !taken:
		return fmt.Sprintf("nothing listens on TCP %d: journalctl -u ntsserve shows why", ntske.DefaultPort)
	}
	return "journalctl -u ntsserve shows why"
}

// judge keeps whether an answer with NTS was verified, and why not.
func (o *Outcome) judge(err error) {
	if o.Authenticated, o.NTS = err == nil, ""; err != nil {
		o.NTS = err.Error()
	}
}

func (o *Outcome) text(receiver bool) string {
	text := "ntsserve: " + o.Answer
	switch {
	case o.Authenticated:
		text += ", also with NTS"
	case o.NTS != "":
		text += "; no answer with NTS: " + o.NTS
	}
	if receiver && o.Answer == "" {
		text = fmt.Sprintf("refclockd: %s (%s)", o.State, o.Reason)
		if o.Remedy != "" {
			text += "; " + o.Remedy
		}
	}
	return text
}
