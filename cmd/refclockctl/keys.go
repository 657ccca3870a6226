package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"noonmark/server/nts"
)

const keysHelp = `usage: refclockctl keys show   FILE [-rotate D] [-keep N] [-json]
       refclockctl keys rotate FILE [-rotate D] [-keep N] [-in D]
       refclockctl keys revoke FILE

The cookie keys of NTS follow from the root secrets in FILE and the time; they
change by themselves every -rotate, which must be that of ntsserve.toml. show
lists them without secrets. rotate adds a new root secret, for when FILE may have
been seen: from then on it seals, while cookies that are out stay good. revoke
forgets all secrets at once: every client has to ask for keys again.

ntsserve takes a changed FILE over within 10 s. Servers that share it need the
new one before it seals: rotate -in 1h, then copy.

`

// runKeys is the keys command; it returns the exit code.
func runKeys(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("keys", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, keysHelp); fl.PrintDefaults() }
	sub := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		sub, args = args[0], args[1:]
	}
	var cfg nts.RingConfig
	fl.DurationVar(&cfg.Rotate, "rotate", nts.DefaultRotate, "length of a key's period, keys.rotate of ntsserve.toml")
	fl.IntVar(&cfg.Keep, "keep", nts.DefaultKeep, "periods whose cookies are accepted, keys.keep of ntsserve.toml")
	var asJSON *bool
	var in *time.Duration
	switch sub {
	case "show":
		asJSON = fl.Bool("json", false, "one JSON object")
	case "rotate":
		in = fl.Duration("in", 0, "the new secret seals this much `later`, the old one until then")
	}
	rest, err := parseMixed(fl, args)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	known := sub == "show" || sub == "rotate" || sub == "revoke"
	if err != nil || !known || len(rest) != 1 || in != nil && *in < 0 {
		if err == nil {
			fl.Usage()
		}
		return exitUsage
	}
	path, now := rest[0], time.Now()
	fail := func(err error) int {
		fmt.Fprintf(stderr, "refclockctl: keys %s: %v\n", sub, err)
		if errors.Is(err, nts.ErrRingFile) {
			return exitDataErr
		}
		return caExit(err)
	}
	if _, err := os.Stat(path); err != nil { // OpenRing would make one
		return fail(err)
	}
	ring, err := nts.OpenRing(path, cfg, now)
	if err != nil {
		return fail(err)
	}
	switch sub {
	case "show":
		if err := showKeys(stdout, ring, cfg, now, *asJSON); err != nil {
			return fail(err)
		}
		return exitOK
	case "rotate":
		since, err := ring.NewRoot(now.Add(*in), now)
		if err != nil {
			return fail(err)
		}
		fmt.Fprintf(stdout, "a new secret seals from %s on; cookies that are out stay good\n", minute(since))
	case "revoke":
		if err := ring.Revoke(now); err != nil {
			return fail(err)
		}
		fmt.Fprintln(stdout, "all cookies are void; clients ask for new keys by themselves")
	}
	fmt.Fprintln(stdout, "ntsserve takes it over within 10 s, or at once: systemctl reload ntsserve")
	return exitOK
}

// keyShown is one key as show prints it. Its JSON keys are a contract.
type keyShown struct {
	ID      string    `json:"id"` // as in the cookies it seals
	Sealing bool      `json:"sealing"`
	Begins  time.Time `json:"begins"`
	Ends    time.Time `json:"ends"`
	AgeS    int64     `json:"age_s"` // since it began, negative if it has not
	Until   time.Time `json:"accepted_until"`
	Root    time.Time `json:"root_since"`
}

func showKeys(w io.Writer, ring *nts.Ring, cfg nts.RingConfig, now time.Time, asJSON bool) error {
	var keys []keyShown
	for _, k := range ring.List() {
		keys = append(keys, keyShown{ID: k.ID, Sealing: k.Sealing, Begins: k.Begins, Ends: k.Ends, AgeS: int64(now.Sub(k.Begins) / time.Second),
			Until: k.Begins.Add(time.Duration(cfg.Keep) * cfg.Rotate), Root: k.Root})
	}
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Keys []keyShown `json:"keys"`
			Next time.Time  `json:"next_rotation"`
		}{keys, ring.NextRotation(now)})
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tPERIOD BEGINS\tAGE\tACCEPTED UNTIL\tSECRET SINCE\t")
	for _, k := range keys {
		mark := ""
		if k.Sealing {
			mark = "seals"
		}
		fmt.Fprintf(t, "%s\t%s\t%v\t%s\t%s\t%s\n", k.ID, minute(k.Begins), (time.Duration(k.AgeS) * time.Second).Round(time.Minute), minute(k.Until), minute(k.Root), mark)
	}
	fmt.Fprintf(t, "next rotation at %s\n", minute(ring.NextRotation(now)))
	return t.Flush()
}

func minute(t time.Time) string { return t.UTC().Format("2006-01-02T15:04Z") }
