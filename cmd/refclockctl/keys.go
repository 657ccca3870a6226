package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/cookiekeys"
	"noonmark/internal/exitcode"
	"noonmark/server/nts"
)

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
		if r.path, err = command.OneArg(args, "FILE"); err != nil {
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
	return command.FileCode(err)
}

// loads says how ntsserve gets to know of a change.
const loads = "ntsserve loads it within 10 s, or at once: systemctl reload ntsserve\n"

func keysCommand() command.Command {
	return command.Command{
		Name: "keys", About: "show, rotate or revoke the cookie keys of NTS", Code: keysCode,
		Text: `
The cookie keys of NTS are derived from the root secrets in FILE and the time. They
change by themselves every -rotate, and ntsserve draws a new secret every -renew;
both must be those of ntsserve.toml.

ntsserve loads a changed FILE within 10 s. Servers that share it need the new file
before the new secret seals: rotate -in 1h, then copy.
`,
		Commands: []command.Command{
			{Name: "show", About: "list keys and secrets without their content", Args: "FILE", Prepare: prepareKeysShow},
			{Name: "rotate", About: "add a new root secret", Args: "FILE", Prepare: prepareKeysRotate, Text: `
For when others may have seen FILE: the new secret seals from then on, and cookies
already issued stay valid.
`},
			{Name: "revoke", About: "discard all secrets at once: every client has to ask for keys again", Args: "FILE", Prepare: prepareKeysRevoke},
		},
	}
}

// prepareKeysRotate is the command keys rotate.
func prepareKeysRotate(fl *flag.FlagSet, c command.Console) func([]string) error {
	r, open := ringOf(fl)
	in := fl.Duration("in", 0, "the new secret seals this much `LATER`, the old one until then")
	return func(args []string) error {
		if *in < 0 {
			return command.Usagef("-in %v is in the past", *in)
		}
		ring, err := open(args)
		if err != nil {
			return err
		}
		since, err := ring.NewRoot(r.now.Add(*in), r.now)
		if err != nil {
			return err
		}
		fmt.Fprintf(c.Out, "a new secret seals from %s on; cookies already issued stay valid\n%s", cookiekeys.Minute(since), loads)
		return nil
	}
}

// prepareKeysRevoke is the command keys revoke.
func prepareKeysRevoke(fl *flag.FlagSet, c command.Console) func([]string) error {
	r, open := ringOf(fl)
	return func(args []string) error {
		ring, err := open(args)
		if err != nil {
			return err
		}
		if err := ring.Revoke(r.now); err != nil {
			return err
		}
		fmt.Fprint(c.Out, "all cookies are void; clients ask for new keys by themselves\n"+loads)
		return nil
	}
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
func prepareKeysShow(fl *flag.FlagSet, c command.Console) func([]string) error {
	r, open := ringOf(fl)
	fl.Func("renew", "`D`uration that a secret seals, \"auto\" or \"never\": keys.renew of ntsserve.toml", renewFlag(&r.cfg))
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(args []string) error {
		ring, err := open(args)
		if err != nil {
			return err
		}
		list := cookiekeys.Describe(ring, r.cfg, r.now)
		if *asJSON {
			return json.NewEncoder(c.Out).Encode(list)
		}
		return list.WriteText(c.Out)
	}
}
