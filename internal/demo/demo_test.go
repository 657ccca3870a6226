package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/command"
	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

// run runs the program with its arguments.
func run(args ...string) (code int, out, errs string) {
	var o, e bytes.Buffer
	p := commandLine()
	code = p.Main(args, command.Console{In: strings.NewReader(""), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-nope"}, exitcode.Usage, "unknown flag -nope"},
		{[]string{"more"}, exitcode.Usage, `unexpected argument "more"`},
		{[]string{"-once", "-bin", t.TempDir()}, exitFailed, "make build"},
		{[]string{"-h"}, exitcode.OK, "-seed"},
	} {
		if code, out, errs := run(x.args...); code != x.code || !strings.Contains(out+errs, x.text) {
			t.Errorf("%q: exit code %d, want %d and %q: %s%s", x.args, code, x.code, x.text, out, errs)
		}
	}
}

func TestProgramThatEndsIsReported(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	proctest.WriteProgram(t, filepath.Join(bin, "refclockd"), []byte("#!/bin/sh\necho odd >&2\nexit 3\n"))
	if code, out, errs := run("-once", "-bin", bin); code != exitFailed || !strings.Contains(errs, "demo: refclockd ended: exit status 3") || !strings.Contains(out, "--- output of refclockd:\nodd\n") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

func TestInterruptedIsNoErrorUnlessAReadingIsWanted(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	proctest.WriteProgram(t, filepath.Join(bin, "refclockd"), []byte("#!/bin/sh\nexec sleep 60\n"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, once := range []bool{false, true} {
		d := newDemo(io.Discard)
		d.bin, d.once = bin, once
		var exit *command.ExitError
		if err := d.show(ctx); errors.As(err, &exit) != once || !once && err != nil || once && (exit.Code != exitFailed || exit.Err != nil) {
			t.Errorf("once %v: %v", once, err)
		}
	}
}
