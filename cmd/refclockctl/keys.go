package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/server/nts"
)

const keysHelp = `usage: refclockctl keys show   FILE [-rotate D] [-keep N] [-renew D] [-json]
       refclockctl keys rotate FILE [-rotate D] [-keep N] [-in D]
       refclockctl keys revoke FILE [-rotate D] [-keep N]

The cookie keys of NTS are derived from the root secrets in FILE and the time. They
change by themselves every -rotate, and ntsserve draws a new secret every -renew;
both must be those of ntsserve.toml. show lists keys and secrets without their
content. rotate adds a new root secret now, for when others may have seen FILE: it
seals from then on, and cookies already issued stay valid. revoke discards all
secrets at once: every client has to ask for keys again.

ntsserve loads a changed FILE within 10 s. Servers that share it need the new file
before the new secret seals: rotate -in 1h, then copy.

`

// ringCommand is a command on a key file.
type ringCommand struct {
	path string
	cfg  nts.RingConfig
	now  time.Time
}

// ringOf declares the flags of all keys commands. The function that it returns
// opens the key file.
func ringOf(fl *flag.FlagSet) (*ringCommand, func(args []string) (*nts.Ring, error)) {
	r := &ringCommand{now: time.Now()}
	fl.DurationVar(&r.cfg.Rotate, "rotate", nts.DefaultRotate, "length of a key's period: keys.rotate of ntsserve.toml")
	fl.IntVar(&r.cfg.Keep, "keep", nts.DefaultKeep, "periods whose cookies are accepted: keys.keep of ntsserve.toml")
	return r, func(args []string) (ring *nts.Ring, err error) {
		if r.path, err = oneArg(args, "FILE"); err != nil {
			return nil, err
		}
		if _, err := os.Stat(r.path); err != nil { // OpenRing would make one
			return nil, err
		}
		return nts.OpenRing(r.path, r.cfg, r.now)
	}
}

func keysCode(err error) int {
	if errors.Is(err, nts.ErrRingFile) {
		return exitcode.DataErr
	}
	return fileCode(err)
}

// loads says how ntsserve gets to know of a change.
const loads = "ntsserve loads it within 10 s, or at once: systemctl reload ntsserve\n"

// prepareKeysRotate is the command keys rotate.
func prepareKeysRotate(fl *flag.FlagSet, c console) func([]string) error {
	r, open := ringOf(fl)
	in := fl.Duration("in", 0, "the new secret seals this much `LATER`, the old one until then")
	return func(args []string) error {
		if *in < 0 {
			return usagef("-in %v is in the past", *in)
		}
		ring, err := open(args)
		if err != nil {
			return err
		}
		since, err := ring.NewRoot(r.now.Add(*in), r.now)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.out, "a new secret seals from %s on; cookies already issued stay valid\n%s", minute(since), loads)
		return nil
	}
}

// prepareKeysRevoke is the command keys revoke.
func prepareKeysRevoke(fl *flag.FlagSet, c console) func([]string) error {
	r, open := ringOf(fl)
	return func(args []string) error {
		ring, err := open(args)
		if err != nil {
			return err
		}
		if err := ring.Revoke(r.now); err != nil {
			return err
		}
		fmt.Fprint(c.out, "all cookies are void; clients ask for new keys by themselves\n"+loads)
		return nil
	}
}

// keyShown is one key as show prints it. Its JSON keys are a contract.
type keyShown struct {
	ID      string    `json:"id"` // as in the cookies it seals
	Sealing bool      `json:"sealing"`
	Begins  time.Time `json:"begins"`
	Ends    time.Time `json:"ends"`
	AgeS    int64     `json:"age_s"` // since it began; negative: not yet
	Until   time.Time `json:"accepted_until"`
	Root    time.Time `json:"root_since"`
}

// secretShown is one root secret as show prints it. Its JSON keys are a contract.
type secretShown struct {
	Since    time.Time  `json:"since"`
	Sealing  bool       `json:"sealing"`
	AgeS     int64      `json:"age_s"`                    // since it began; negative: not yet
	Until    *time.Time `json:"seals_until,omitempty"`    // nil: until an operator replaces it
	Accepted *time.Time `json:"accepted_until,omitempty"` // nil: the same
	Overdue  bool       `json:"overdue"`                  // it seals although it should have been replaced
}

// secretsShown returns the secrets of a ring.
func secretsShown(ring *nts.Ring, now time.Time) (list []secretShown) {
	for _, s := range ring.Secrets(now) {
		x := secretShown{Since: s.Since, Sealing: s.Sealing, AgeS: int64(now.Sub(s.Since) / time.Second)}
		if !s.Until.IsZero() {
			x.Until, x.Accepted, x.Overdue = &s.Until, &s.Accepted, s.Overdue(now)
		}
		list = append(list, x)
	}
	return list
}

// renewFlag reads the flag -renew.
func renewFlag(cfg *nts.RingConfig) func(string) error {
	return func(text string) (err error) {
		switch text {
		case "auto":
			cfg.Renew = 0
		case "never":
			cfg.Renew = nts.NeverRenew
		default:
			if cfg.Renew, err = time.ParseDuration(text); err == nil && cfg.Renew <= 0 {
				err = errors.New("not a positive duration")
			}
		}
		return err
	}
}

// prepareKeysShow is the command keys show.
func prepareKeysShow(fl *flag.FlagSet, c console) func([]string) error {
	r, open := ringOf(fl)
	fl.Func("renew", "`D`uration that a secret seals, \"auto\" or \"never\": keys.renew of ntsserve.toml", renewFlag(&r.cfg))
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(args []string) error {
		ring, err := open(args)
		if err != nil {
			return err
		}
		var keys []keyShown
		for _, k := range ring.List() {
			keys = append(keys, keyShown{ID: k.ID, Sealing: k.Sealing, Begins: k.Begins, Ends: k.Ends, AgeS: int64(r.now.Sub(k.Begins) / time.Second),
				Until: k.Begins.Add(time.Duration(r.cfg.Keep) * r.cfg.Rotate), Root: k.Root})
		}
		next, secrets := ring.NextRotation(r.now), secretsShown(ring, r.now)
		if *asJSON {
			return json.NewEncoder(c.out).Encode(struct {
				Keys    []keyShown    `json:"keys"`
				Next    time.Time     `json:"next_rotation"`
				Secrets []secretShown `json:"secrets"`
			}{keys, next, secrets})
		}
		if err := printKeys(c.out, keys, next); err != nil {
			return err
		}
		return printSecrets(c.out, secrets)
	}
}

func printKeys(w io.Writer, keys []keyShown, next time.Time) error {
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

func printSecrets(w io.Writer, secrets []secretShown) error {
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

func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }
