// Command ntsquery asks a server for the time, authenticated by NTS, and shows the
// offset of the local clock. It does not set the clock.
package main

import (
	"context"
	"flag"
	"io"
	"os"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/server/ntsclient"
)

func main() {
	ctx, stop := command.Interruptible()
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	p := commandLine(ctx)
	// Names in certificates are chosen by others.
	return p.Main(args, command.Console{Out: printable.Writer{To: stdout}, Err: printable.Writer{To: stderr}})
}

func commandLine(ctx context.Context) command.Command {
	return command.Command{
		Name: "ntsquery", About: "ask a server for the time, authenticated by NTS, without setting the clock", Code: exitCode,
		Usage: []string{"[OPTIONS] HOST[:PORT]", "[OPTIONS] -watch HOST[:PORT]..."},
		Text: `
Asks a server for the time and shows the offset of the local clock. It does not
set the clock. HOST is the NTS-KE server (port 4460) or, with -plain, the NTP
server (port 123). The offset is local clock - server: + means that the local
clock is fast (the theta of RFC 5905, and ntpdig, have the opposite sign).
`,
		Prepare: func(fl *flag.FlagSet, c command.Console) func([]string) error {
			o := &options{}
			o.flags(fl)
			return func(args []string) error {
				if err := o.parse(fl, args); err != nil {
					return err
				}
				return query(ctx, o, c.Out, c.Err)
			}
		},
		Manual: command.Manual{
			Section: 1,
			Examples: []command.Example{
				{For: "one authenticated reading of a server with a private authority", Line: "ntsquery -ca ca.pem time.lan"},
				{For: "the best of four interleaved readings, as JSON", Line: "ntsquery -json -n 4 -interleaved time.cloudflare.com"},
				{For: "several servers, every 16 seconds", Line: "ntsquery -watch time.lan time.cloudflare.com"},
			},
			Exits: []command.Exit{
				{Code: exitcode.OK, When: "a valid answer: authenticated (unless -plain), from a synchronised server, and consistent"},
				{Code: exitcode.Usage},
				{Code: exitcode.NoInput, When: "the file of -ca cannot be used"},
				{Code: exitcode.Unavailable, When: "no answer, or the server is not synchronised"},
				{Code: exitcode.TempFail, When: "the server requests a lower rate"},
				{Code: exitcode.Protocol, When: "the answer is not authentic or violates the protocol"},
				{Code: exitcode.Permission, When: "not permitted, by the system or by the server"},
				{Code: exitInterrupted, When: "interrupted"},
			},
			SeeAlso: []string{"ntsserve(8)", "refclockctl(1)"},
		},
	}
}

// query takes the readings and prints them.
func query(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	if o.watch {
		if code := watch(ctx, o, stdout, stderr); code != exitcode.OK {
			return &command.ExitError{Code: code}
		}
		return nil
	}
	t := o.hosts[0]
	s, err := ntsclient.TakeSample(ctx, o.config(t), o.count, o.interval)
	if err != nil {
		return command.Usagef("%w", err)
	}
	if o.json {
		writeJSON(stdout, t, &s)
	} else {
		writeText(stdout, t, &s)
	}
	return o.explain(s.Err)
}
