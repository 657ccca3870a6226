package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const doctorHelp = `usage: refclockctl doctor [-json] [-config FILE] [-server FILE] [-user NAME] [-listen D]

Looks at everything that refclockd and ntsserve need, and says in plain words what
is wrong and how to mend it. It changes nothing on the card but, while refclockd is
not running, what it takes to listen: the pin and the external timestamps of
pulse.source = "extts". While refclockd runs it listens through what that
publishes. Root sees the most.

Exit status: 0 if nothing fails (warnings aside), else that of the first failure:
78 a configuration, 77 a permission, 69 something missing or not working.

`

// level is how bad a finding is.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // works, or may work later; look at it
	levelFail level = "fail"
)

// finding is what doctor has to say of one thing. Its JSON keys are a contract.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	What  string `json:"what"`
	Mend  string `json:"mend,omitempty"`

	code int // exit code of a failure; 0 is exitUnavailable
}

func good(check, format string, a ...any) finding {
	return finding{Check: check, Level: levelOK, What: fmt.Sprintf(format, a...)}
}

func warn(check, mend, format string, a ...any) finding {
	return finding{Check: check, Level: levelWarn, What: fmt.Sprintf(format, a...), Mend: mend}
}

func bad(check, mend, format string, a ...any) finding {
	return finding{Check: check, Level: levelFail, What: fmt.Sprintf(format, a...), Mend: mend}
}

// as gives a finding the exit code it causes.
func (f finding) as(code int) finding {
	f.code = code
	return f
}

// runDoctor is the doctor command.
func runDoctor(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("doctor", flag.ContinueOnError)
	fl.SetOutput(stderr)
	fl.Usage = func() { fmt.Fprint(stderr, doctorHelp); fl.PrintDefaults() }
	asJSON := fl.Bool("json", false, "one JSON object")
	ref := fl.String("config", "/etc/noonmark/refclockd.toml", "refclockd's configuration `FILE`")
	srv := fl.String("server", "/etc/noonmark/ntsserve.toml", "ntsserve's configuration `FILE`")
	user := fl.String("user", "refclock", "the user refclockd runs as, asked about when root looks")
	listen := fl.Duration("listen", 5*time.Second, "how long to listen for pulses and messages")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	if fl.NArg() > 0 || *listen < 2*time.Second || *listen > 10*time.Minute {
		fmt.Fprintln(stderr, "refclockctl: doctor takes no argument, and listens for 2s to 10m")
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	set := map[string]bool{}
	fl.Visit(func(f *flag.Flag) { set[f.Name] = true })
	d := doctor{host: thisHost(), user: *user, listen: *listen}
	found := d.examine(ctx, *ref, set["config"], *srv, set["server"])
	if err := showFindings(stdout, found, *asJSON); err != nil {
		fmt.Fprintf(stderr, "refclockctl: doctor: %v\n", err)
		return exitSoftware
	}
	return verdict(found)
}

// verdict is the exit code of findings: that of the first failure.
func verdict(found []finding) int {
	for _, f := range found {
		if f.Level == levelFail {
			if f.code != 0 {
				return f.code
			}
			return exitUnavailable
		}
	}
	return exitOK
}

// count returns how many findings are of a level.
func count(found []finding, l level) (n int) {
	for _, f := range found {
		if f.Level == l {
			n++
		}
	}
	return n
}

func showFindings(w io.Writer, found []finding, asJSON bool) error {
	ok, warns, fails := count(found, levelOK), count(found, levelWarn), count(found, levelFail)
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Findings []finding `json:"findings"`
			OK       int       `json:"ok"`
			Warn     int       `json:"warn"`
			Fail     int       `json:"fail"`
		}{found, ok, warns, fails})
	}
	var b strings.Builder
	for _, f := range found {
		fmt.Fprintf(&b, "%-5s%-12s %s\n", f.Level, f.Check, f.What)
		if f.Mend != "" {
			fmt.Fprintf(&b, "%17s > %s\n", "", f.Mend)
		}
	}
	fmt.Fprintf(&b, "%d fine, %d to look at, %d wrong\n", ok, warns, fails)
	_, err := io.WriteString(w, b.String())
	return err
}
