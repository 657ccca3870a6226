// Package cookiekeys keeps the cookie keys of NTS and the secrets behind them up to date, and
// describes them without their content.
package cookiekeys

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"noonmark/server/nts"
)

// List is what a key file holds. Its JSON keys are a contract.
type List struct {
	Keys    []Key     `json:"keys"`
	Next    time.Time `json:"next_rotation"`
	Secrets []Secret  `json:"secrets"`
}

// Key is one key. Its JSON keys are a contract.
type Key struct {
	ID      string    `json:"id"` // as in the cookies it seals
	Sealing bool      `json:"sealing"`
	Begins  time.Time `json:"begins"`
	Ends    time.Time `json:"ends"`
	AgeS    int64     `json:"age_s"` // since it began; negative: not yet
	Until   time.Time `json:"accepted_until"`
	Root    time.Time `json:"root_since"`
}

// Secret is one root secret. Its JSON keys are a contract.
type Secret struct {
	Since    time.Time  `json:"since"`
	Sealing  bool       `json:"sealing"`
	AgeS     int64      `json:"age_s"`                    // since it began; negative: not yet
	Until    *time.Time `json:"seals_until,omitempty"`    // nil: until an operator replaces it
	Accepted *time.Time `json:"accepted_until,omitempty"` // nil: the same
	Overdue  bool       `json:"overdue"`                  // it seals although it should have been replaced
}

// Describe lists the keys and secrets of a key file by the configuration of its server.
func Describe(path string, cfg nts.RingConfig, now time.Time) (*List, error) {
	ring, err := open(path, cfg, now)
	if err != nil {
		return nil, err
	}
	list := &List{Next: ring.NextRotation(now)}
	for _, k := range ring.List() {
		list.Keys = append(list.Keys, Key{ID: k.ID, Sealing: k.Sealing, Begins: k.Begins, Ends: k.Ends, AgeS: int64(now.Sub(k.Begins) / time.Second),
			Until: k.Begins.Add(time.Duration(cfg.Keep) * cfg.Rotate), Root: k.Root})
	}
	for _, s := range ring.Secrets(now) {
		x := Secret{Since: s.Since, Sealing: s.Sealing, AgeS: int64(now.Sub(s.Since) / time.Second)}
		if !s.Until.IsZero() {
			x.Until, x.Accepted, x.Overdue = &s.Until, &s.Accepted, s.Overdue(now)
		}
		list.Secrets = append(list.Secrets, x)
	}
	return list, nil
}

// WriteText writes the list as two tables.
func (l *List) WriteText(w io.Writer) error {
	if err := writeKeys(w, l.Keys, l.Next); err != nil {
		return err
	}
	return writeSecrets(w, l.Secrets)
}

func writeKeys(w io.Writer, keys []Key, next time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tPERIOD BEGINS\tAGE\tACCEPTED UNTIL\tSECRET SINCE\t")
	for _, k := range keys {
		mark := ""
		if k.Sealing {
			mark = "seals"
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%s\t%s\n", k.ID, minute(k.Begins), (time.Duration(k.AgeS) * time.Second).Round(time.Minute), minute(k.Until), minute(k.Root), mark)
	}
	fmt.Fprintf(t, "next rotation at %s\n", minute(next))
	return t.Flush()
}

func writeSecrets(w io.Writer, secrets []Secret) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nSECRET SINCE\tAGE\tSEALS UNTIL\tACCEPTED UNTIL\t")
	for _, s := range secrets {
		until, accepted := "replaced", "-"
		if s.Until != nil {
			until, accepted = minute(*s.Until), minute(*s.Accepted)
		}
		mark := ""
		switch {
		case s.Overdue:
			mark = "in use, overdue: ntsserve draws a new one while it serves a synchronised clock"
		case s.Sealing:
			mark = "in use"
		}
		fmt.Fprintf(t, "%s\t%v\t%s\t%s\t%s\n", minute(s.Since), (time.Duration(s.AgeS) * time.Second).Round(time.Minute), until, accepted, mark)
	}
	return t.Flush()
}

// minute writes an instant to the minute, in UTC.
func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }
