package main

import (
	"errors"
	"flag"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/cookiekeys"
	"noonmark/internal/exitcode"
	"noonmark/server/nts"
)

// ringFlags declares the flags of all keys commands.
func ringFlags(fl *flag.FlagSet) *nts.RingConfig {
	cfg := new(nts.RingConfig)
	fl.DurationVar(&cfg.Rotate, "rotate", nts.DefaultRotate, "length of a key's period: keys.rotate of ntsserve.toml")
	fl.IntVar(&cfg.Keep, "keep", nts.DefaultKeep, "periods whose cookies are accepted: keys.keep of ntsserve.toml")
	return cfg
}

func keysCode(err error) int {
	if errors.Is(err, nts.ErrRingFile) {
		return exitcode.DataErr
	}
	return command.FileCode(err)
}

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
			{Name: "show", About: "list keys and secrets without their content", Args: "FILE", Prepare: command.OneArg("FILE", prepareKeysShow)},
			{Name: "rotate", About: "add a new root secret", Args: "FILE", Prepare: command.OneArg("FILE", prepareKeysRotate), Text: `
For when others may have seen FILE: the new secret seals from then on, and cookies
already issued stay valid.
`},
			{Name: "revoke", About: "discard all secrets at once: every client has to ask for keys again", Args: "FILE",
				Prepare: command.OneArg("FILE", prepareKeysRevoke)},
		},
	}
}

// prepareKeysRotate is the command keys rotate.
func prepareKeysRotate(fl *flag.FlagSet, c command.Console) func(string) error {
	cfg := ringFlags(fl)
	in := fl.Duration("in", 0, "the new secret seals this much `LATER`, the old one until then")
	return func(path string) error {
		if *in < 0 {
			return command.Usagef("-in %v is in the past", *in)
		}
		return cookiekeys.Rotate(c.Out, path, *cfg, *in, time.Now())
	}
}

// prepareKeysRevoke is the command keys revoke.
func prepareKeysRevoke(fl *flag.FlagSet, c command.Console) func(string) error {
	cfg := ringFlags(fl)
	return func(path string) error { return cookiekeys.Revoke(c.Out, path, *cfg, time.Now()) }
}

// prepareKeysShow is the command keys show.
func prepareKeysShow(fl *flag.FlagSet, c command.Console) func(string) error {
	cfg := ringFlags(fl)
	fl.Func("renew", "`D`uration that a secret seals, \"auto\" or \"never\": keys.renew of ntsserve.toml", func(text string) (err error) {
		cfg.Renew, err = nts.ParseRenew(text)
		return err
	})
	asJSON := fl.Bool("json", false, "print one JSON object")
	return func(path string) error {
		list, err := cookiekeys.Describe(path, *cfg, time.Now())
		if err != nil {
			return err
		}
		return command.Print(c.Out, *asJSON, list, list.WriteText)
	}
}
