package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"noonmark/internal/exitcode"
	"noonmark/internal/nearest"
	"noonmark/internal/version"
)

// Main runs a program with its command line, without its name, and returns its
// exit code.
func (x *Command) Main(args []string, c Console) int {
	n := rootOf(x)
	if len(args) == 1 && args[0] == "version" {
		args = []string{"-version"}
	}
	if len(args) > 0 && args[0] == "help" && x.Commands != nil {
		args = append(args[1:len(args):len(args)], "-h")
	}
	return n.run(args, c)
}

// run parses the arguments of a command and runs it, or the command below it that
// they name.
func (n *node) run(args []string, c Console) int {
	fl, g, action := n.flags(c)
	var rest []string
	var err error
	if action == nil {
		err = fl.Parse(args)
		rest = fl.Args()
	} else {
		rest, err = parseMixed(fl, args)
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		n.writeHelp(c.Out)
		return exitcode.OK
	case g != nil && g.version, unknownFlag(err) == "version": // every command answers it
		program, _, _ := strings.Cut(n.path, " ")
		fmt.Fprintln(c.Out, version.Text(program))
		return exitcode.OK
	case err != nil:
		return n.fail(flagError(err, fl), c)
	case g != nil && g.document != "":
		return n.fail(n.document(c.Out, g.document), c)
	case action != nil:
		return n.fail(action(rest), c)
	case len(rest) == 0:
		n.writeHelp(c.Err)
		return exitcode.Usage
	}
	sub, err := n.find(rest[0])
	if err != nil {
		return n.fail(err, c)
	}
	return sub.run(rest[1:], c)
}

// find returns the command of a name.
func (n *node) find(name string) (node, error) {
	var names []string
	for i := range n.Commands {
		if n.Commands[i].Name == name {
			return n.below(&n.Commands[i]), nil
		}
		names = append(names, n.Commands[i].Name)
	}
	if near := nearest.Word(name, names); near != "" {
		return node{}, Usagef("unknown command %q; did you mean %s?", name, near)
	}
	return node{}, Usagef("unknown command %q", name)
}

// fail reports an error, if there is one, and returns the exit code.
func (n *node) fail(err error, c Console) int {
	if err == nil {
		return exitcode.OK
	}
	var own *ExitError
	if errors.As(err, &own) && own.Err == nil {
		return own.Code
	}
	advice := ""
	if _, sub, _ := strings.Cut(n.path, " "); sub != "" { // a daemon runs as the user that its unit names
		groups, _ := os.Getgroups() // none, where a system has none
		advice = remedy(err, os.Geteuid(), append(groups, os.Getegid()))
	}
	fmt.Fprintf(c.Err, "%s%v%s\n", n.title(), err, advice)
	switch {
	case errors.Is(err, exitcode.ErrUsage):
		n.writeUsage(c.Err)
		fmt.Fprintf(c.Err, "%s -h shows more\n", n.path)
		return exitcode.Usage
	case own != nil:
		return own.Code
	case n.code != nil:
		return n.code(err)
	}
	return exitcode.Of(err)
}

// flagError makes an error of package flag one of the command line, and proposes
// a flag instead of an unknown one.
func flagError(err error, fl *flag.FlagSet) error {
	name := unknownFlag(err)
	if name == "" {
		return Usagef("%w", err)
	}
	var names []string
	fl.VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
	if near := nearest.Word(name, names); near != "" {
		return Usagef("unknown flag -%s; did you mean -%s?", name, near)
	}
	return Usagef("unknown flag -%s", name)
}

// unknownFlag returns the name of a flag that is not declared, if that is the error.
func unknownFlag(err error) string {
	if err == nil {
		return ""
	}
	name, ok := strings.CutPrefix(err.Error(), "flag provided but not defined: -")
	if !ok {
		return ""
	}
	return strings.TrimPrefix(name, "-")
}

// parseMixed parses flags before, between and behind other arguments, and returns
// those.
func parseMixed(fl *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fl.Parse(args); err != nil {
			return nil, err
		}
		if n := len(args) - fl.NArg(); n > 0 && args[n-1] == "--" {
			return append(rest, fl.Args()...), nil
		}
		if fl.NArg() == 0 {
			return rest, nil
		}
		rest = append(rest, fl.Arg(0))
		args = fl.Args()[1:]
	}
}

// discard is the console of a command that only declares its flags.
func discard() Console { return Console{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard} }
