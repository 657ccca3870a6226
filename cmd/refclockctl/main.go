// Command refclockctl is the operator's tool of a reference clock.
package main

import (
	"fmt"
	"io"
	"os"

	"noonmark/internal/exitcode"
	"noonmark/internal/version"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// Short names of the exit codes.
const (
	exitOK          = exitcode.OK
	exitUsage       = exitcode.Usage
	exitUnavailable = exitcode.Unavailable
	exitSoftware    = exitcode.Software
	exitNoPerm      = exitcode.Permission
	exitConfig      = exitcode.Config
)

// command is one of the tool's commands; run returns the exit code.
type command struct {
	name, about string
	run         func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
}

var commands = [...]command{
	{"status", "show what refclockd publishes", runStatus},
	{"decode", "read a raw receiver log and print what it says", runDecode},
	{"simulate", "run the discipline on a virtual appliance or a recorded series", runSimulate},
	{"calibrate", "measure how late the kernel's pulse is against a card's timestamps", runCalibrate},
	{"ca", "make and renew certificates for a private network", runCA},
	{"keys", "show, rotate or revoke the cookie keys of NTS", runKeys},
	{"doctor", "say what is wrong with this machine and how to mend it", runDoctor},
	{"servo", "speak the servo bench's lock-step interface", runServo},
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 {
		for _, c := range commands {
			if c.name == args[0] {
				return c.run(args[1:], stdin, stdout, stderr)
			}
		}
	}
	out, code := stderr, exitUsage
	if len(args) > 0 {
		switch args[0] {
		case "-h", "-help", "--help", "help":
			out, code = stdout, exitOK
		case "-version", "--version", "version":
			fmt.Fprintln(stdout, version.Text("refclockctl"))
			return exitOK
		default:
			fmt.Fprintf(stderr, "refclockctl: unknown command %q\n", args[0])
		}
	}
	fmt.Fprintln(out, "usage: refclockctl COMMAND [OPTIONS]; -h after a command shows its options; -version shows the version")
	for _, c := range commands {
		fmt.Fprintf(out, "  %-9s %s\n", c.name, c.about)
	}
	return code
}
