package daemon

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/coreos/go-systemd/v22/journal"

	"noonmark/internal/command"
	"noonmark/internal/config"
	"noonmark/internal/exitcode"
)

// Program is a daemon as its command line sees it.
type Program struct {
	Name    string
	About   string // one line, without a full stop
	Text    string // paragraphs of its help and manual page
	Config  string // path of the configuration when no other is named
	Load    func(path string) (*Loaded, error)
	Files   []command.File
	SeeAlso []string
}

// Loaded is a checked configuration and what it runs.
type Loaded struct {
	Warnings []string
	Log      config.Log
	Serve    func(ctx context.Context, log *slog.Logger) error
}

// Main runs a daemon from its command line (without its name) to its exit code.
// Errors of the command line and the configuration, and the result of -check, go
// to out, as do help and version.
func Main(p Program, args []string, out io.Writer) int {
	cmd := p.Command()
	return cmd.Main(args, command.Console{Out: out, Err: out})
}

// Command returns the command line of the daemon. What it prints goes to the
// console's Err, for standard output belongs to nobody in a service.
func (p Program) Command() command.Command {
	return command.Command{
		Name: p.Name, About: p.About, Text: p.Text,
		Prepare: func(fl *flag.FlagSet, c command.Console) func([]string) error {
			path := fl.String("config", p.Config, "read the configuration from this TOML `FILE`")
			check := fl.Bool("check", false, "check the configuration and exit: 0 if it is good, 78 if not")
			return func(args []string) error {
				if len(args) > 0 {
					return command.Usagef("%s takes no argument %q; name the file with -config FILE", p.Name, args[0])
				}
				return p.run(*path, *check, c.Err)
			}
		},
		Manual: command.Manual{
			Section: 8, Files: p.Files, SeeAlso: p.SeeAlso,
			Examples: []command.Example{{For: "examine a file without starting anything", Line: p.Name + " -check -config " + p.Config}},
			Exits:    command.Exits(exitcode.OK, exitcode.Usage, exitcode.Unavailable, exitcode.Software, exitcode.Permission, exitcode.Config),
		},
	}
}

// Verdict is what -check says of a configuration that can be used.
func Verdict(path string, warnings int) string {
	switch warnings {
	case 0:
		return path + ": good"
	case 1:
		return path + ": can be used, but see the warning"
	}
	return fmt.Sprintf("%s: can be used, but see the %d warnings", path, warnings)
}

// run checks the configuration, or serves. Its errors have been printed or logged.
func (p Program) run(path string, check bool, out io.Writer) error {
	c, err := p.Load(path)
	if err != nil {
		leveledLines(out, out != os.Stderr || !underJournal(), journal.PriErr, err.Error()+"\n")
		return &command.ExitError{Code: exitcode.Of(err)}
	}
	if check {
		for _, w := range c.Warnings {
			leveledLines(out, out != os.Stderr || !underJournal(), journal.PriWarning, "warning: "+w+"\n")
		}
		fmt.Fprintln(out, Verdict(path, len(c.Warnings)))
		return nil
	}
	log := New(p.Name, c.Log)
	for _, w := range c.Warnings {
		log.Warn(w)
	}
	if err := c.Serve(context.Background(), log); err != nil {
		log.Error(p.Name+" ends", "error", err)
		return &command.ExitError{Code: exitcode.Of(err)}
	}
	return nil
}
