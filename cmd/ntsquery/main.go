// Command ntsquery asks a server for the time, authenticated by NTS, and shows the
// offset of the local clock. It does not set the clock.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"noonmark/internal/printable"
	"noonmark/internal/version"
	"noonmark/server/ntsclient"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	// Names in certificates are chosen by others.
	stdout, stderr = printable.Writer{To: stdout}, printable.Writer{To: stderr}
	o, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitCode(nil)
	case err != nil:
		return fail(stderr, err)
	case o.version:
		fmt.Fprintln(stdout, version.Text("ntsquery"))
		return exitCode(nil)
	case o.watch:
		return watch(ctx, o, stdout, stderr)
	}
	t := o.hosts[0]
	s, err := ntsclient.TakeSample(ctx, o.config(t), o.count, o.interval)
	if err != nil {
		return fail(stderr, fmt.Errorf("%w: %w", errUsage, err))
	}
	if o.json {
		writeJSON(stdout, t, &s)
	} else {
		writeText(stdout, t, &s)
	}
	if s.Err != nil {
		return fail(stderr, s.Err)
	}
	return exitCode(nil)
}

// fail reports an error and returns its exit code.
func fail(stderr io.Writer, err error) int {
	fmt.Fprintln(stderr, "ntsquery:", err)
	return exitCode(err)
}
