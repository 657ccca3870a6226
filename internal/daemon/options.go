package daemon

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"noonmark/internal/exitcode"
)

// Options are the command-line options that every daemon has.
type Options struct {
	Config string // path of the configuration file
	Check  bool   // validate it and exit
}

// ErrDone says that the command line was answered already (-h, -version):
// exit 0.
var ErrDone = errors.New("nothing to run")

// ParseOptions reads a daemon's command line (without its name). Complaints
// and help go to out; the error wraps exitcode.ErrUsage or is ErrDone.
func ParseOptions(name, defaultConfig string, args []string, out io.Writer) (Options, error) {
	var o Options
	var version bool
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.Config, "config", defaultConfig, "the configuration `FILE` (TOML)")
	fs.BoolVar(&o.Check, "check", false, "check the configuration and exit: 0 if good, 78 if not")
	fs.BoolVar(&version, "version", false, "print the version and exit")
	switch err := fs.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return o, ErrDone
	case err != nil:
		return o, fmt.Errorf("%w: %w", exitcode.ErrUsage, err)
	case fs.NArg() > 0:
		err := fmt.Errorf("%w: %s takes no argument %q; name the file with -config FILE", exitcode.ErrUsage, name, fs.Arg(0))
		fmt.Fprintln(out, err)
		return o, err
	case version:
		fmt.Fprintln(out, name, Version())
		return o, ErrDone
	}
	return o, nil
}

// Version names the build: the version control revision if known.
func Version() string {
	bi, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := []string{bi.Main.Version}
	for _, s := range bi.Settings {
		switch {
		case s.Key == "vcs.revision":
			v = append(v, s.Value[:min(12, len(s.Value))])
		case s.Key == "vcs.modified" && s.Value == "true":
			v = append(v, "modified")
		}
	}
	return strings.Join(append(v, bi.GoVersion), " ")
}
