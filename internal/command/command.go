// Package command is the command line of every program: one description of each
// command, from which parsing, help, manual pages, completions and the reference
// document are made. Flags are those of the standard library's package flag.
//
// A new command is one function that returns a Command, and its line in the list
// of its program.
package command

import (
	"context"
	"flag"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"noonmark/internal/exitcode"
)

// Command is a program, one of its commands, or a command below that. It has
// either Commands or Prepare.
type Command struct {
	Name  string
	About string // what it is or does: a phrase without a full stop

	// Args are the arguments behind the flags: FILE, HOST..., DIR. Usage replaces the
	// synopsis that is made from flags and Args: one element a form, without the names
	// of program and command.
	Args  string
	Usage []string
	Text  string // paragraphs, at most 100 columns wide; what is indented stays as it is

	// Prepare declares the flags. The function that it returns runs the command with
	// the arguments that are left; NoArgs and OneArg make one of a function that takes
	// none or one. Prepare also runs for help and documents, so its defaults depend on
	// nothing but the code.
	Prepare  Prepare
	Code     func(error) int // exit code of an error; nil: that of the command above, at last exitcode.Of
	Commands []Command

	Manual
}

// Prepare declares the flags of a command, and returns what runs it: Command.Prepare.
type Prepare = func(fl *flag.FlagSet, c Console) func(args []string) error

// Manual is what manual page and reference say beside the description of the
// flags. A command without Exits has those of the command above.
type Manual struct {
	Section  int // of a program's manual page: 1 tools, 8 daemons
	Examples []Example
	Exits    []Exit
	Files    []File
	SeeAlso  []string // manual pages: "refclockd(8)"
}

// Example is a command line with what it is for.
type Example struct{ For, Line string }

// Exit is an exit code. An empty When is the general meaning of the code.
type Exit struct {
	Code int
	When string
}

// File is a file that a command uses.
type File struct{ Path, Text string }

// Exits returns exit codes with their general meanings.
func Exits(codes ...int) []Exit {
	list := make([]Exit, len(codes))
	for i, c := range codes {
		list[i] = Exit{Code: c, When: exitcode.Meaning(c)}
	}
	return list
}

// Interruptible returns a context that ends when the user or the system asks the
// program to end.
func Interruptible() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
}

// OneArg is the Prepare of a command that takes one argument; name says what it is.
func OneArg(name string, prepare func(fl *flag.FlagSet, c Console) func(arg string) error) Prepare {
	return func(fl *flag.FlagSet, c Console) func([]string) error {
		run := prepare(fl, c)
		return func(args []string) error {
			if len(args) != 1 {
				return Usagef("%d arguments; want one: %s", len(args), name)
			}
			return run(args[0])
		}
	}
}

// NoArgs is the Prepare of a command that takes no arguments.
func NoArgs(prepare func(fl *flag.FlagSet, c Console) func() error) Prepare {
	return func(fl *flag.FlagSet, c Console) func([]string) error {
		run := prepare(fl, c)
		return func(args []string) error {
			if len(args) > 0 {
				return Usagef("unexpected argument %q", args[0])
			}
			return run()
		}
	}
}

// Strings declares a flag that may be given several times.
func Strings(fl *flag.FlagSet, v *[]string, name, usage string) {
	fl.Func(name, usage+" (may be repeated)", func(s string) error { *v = append(*v, s); return nil })
}

// node is a command with its place in the program.
type node struct {
	*Command
	path string // "refclockctl ca init"
	root bool
	code func(error) int
	exit []Exit
}

// rootOf returns the program itself.
func rootOf(p *Command) node {
	return node{Command: p, path: p.Name, root: true, code: p.Code, exit: p.Exits}
}

// below returns one of the commands of n.
func (n *node) below(x *Command) node {
	sub := node{Command: x, path: n.path + " " + x.Name, code: n.code, exit: n.exit}
	if x.Code != nil {
		sub.code = x.Code
	}
	if x.Exits != nil {
		sub.exit = x.Exits
	}
	return sub
}

// all returns n and all commands below it, in order.
func (n *node) all() []node {
	list := []node{*n}
	for i := range n.Commands {
		sub := n.below(&n.Commands[i])
		list = append(list, sub.all()...)
	}
	return list
}

// name is the path without the program: "ca init".
func (n *node) name() string {
	_, rest, _ := strings.Cut(n.path, " ")
	return rest
}

// title is what messages begin with: "refclockctl: ca init: ".
func (n *node) title() string {
	program, name, _ := strings.Cut(n.path, " ")
	if name != "" {
		name += ": "
	}
	return program + ": " + name
}

// flags returns the flags of n and its action, nil if it has commands.
func (n *node) flags(c Console) (*flag.FlagSet, *general, func([]string) error) {
	fl := flag.NewFlagSet(n.path, flag.ContinueOnError)
	fl.SetOutput(io.Discard)
	c.title = n.title()
	var action func([]string) error
	if n.Prepare != nil {
		action = n.Prepare(fl, c)
	}
	var g *general
	if n.root {
		g = &general{}
		fl.BoolVar(&g.version, "version", false, "print the version and exit")
		fl.StringVar(&g.document, "document", "", "print the documentation and exit: `"+strings.Join(Formats(), "|")+"`")
	}
	return fl, g, action
}

// general are the flags of every program.
type general struct {
	version  bool
	document string
}
