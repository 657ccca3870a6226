package daemon

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"

	"noonmark/internal/config"
	"noonmark/internal/exitcode"
	"noonmark/internal/version"
)

// Program is a daemon as its command line sees it.
type Program struct {
	Name   string
	Config string // path of the configuration when no other is named
	Load   func(path string) (*Loaded, error)
}

// Loaded is a checked configuration and what it runs.
type Loaded struct {
	Warnings []string
	Log      config.Log
	Serve    func(ctx context.Context, log *slog.Logger) error
}

// Main runs a daemon from its command line (without its name) to its exit code.
// Errors of the command line and the configuration, the result of -check, and
// help go to out.
func Main(p Program, args []string, out io.Writer) int {
	o, err := parseOptions(p, args, out)
	if errors.Is(err, errAnswered) {
		return exitcode.OK
	}
	if err != nil {
		return exitcode.Of(err)
	}
	c, err := p.Load(o.config)
	if err != nil {
		fmt.Fprintln(out, err)
		return exitcode.Of(err)
	}
	if o.check {
		for _, w := range c.Warnings {
			fmt.Fprintln(out, "warning:", w)
		}
		fmt.Fprintf(out, "%s: good\n", o.config)
		return exitcode.OK
	}
	log := New(p.Name, c.Log)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	if err := c.Serve(context.Background(), log); err != nil {
		log.Error(p.Name+" ends", "error", err)
		return exitcode.Of(err)
	}
	return exitcode.OK
}

// options are the command-line options that every daemon has.
type options struct {
	config string // path of the configuration file
	check  bool   // check it and exit
}

// errAnswered: the command line was answered already (-h, -version).
var errAnswered = errors.New("nothing to run")

// parseOptions reads the command line. The error wraps exitcode.ErrUsage or is
// errAnswered.
func parseOptions(p Program, args []string, out io.Writer) (options, error) {
	var o options
	var showVersion bool
	fs := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.config, "config", p.Config, "read the configuration from this TOML `FILE`")
	fs.BoolVar(&o.check, "check", false, "check the configuration and exit: 0 if it is good, 78 if not")
	fs.BoolVar(&showVersion, "version", false, "print the version and exit")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return o, errAnswered
	case err != nil:
		return o, fmt.Errorf("%w: %w", exitcode.ErrUsage, err)
	case fs.NArg() > 0:
		err := fmt.Errorf("%w: %s takes no argument %q; name the file with -config FILE", exitcode.ErrUsage, p.Name, fs.Arg(0))
		fmt.Fprintln(out, err)
		return o, err
	case showVersion:
		fmt.Fprintln(out, version.Text(p.Name))
		return o, errAnswered
	}
	return o, nil
}
