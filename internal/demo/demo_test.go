package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"-nope"}, exitcode.Usage, "not defined: -nope"},
		{[]string{"-once", "-bin", t.TempDir()}, exitFailed, "make build"},
		{[]string{"-h"}, exitcode.OK, "-seed"},
	} {
		var out, errs bytes.Buffer
		if code := run(x.args, &out, &errs); code != x.code || !strings.Contains(errs.String(), x.text) {
			t.Errorf("%q: exit code %d, want %d and %q: %s", x.args, code, x.code, x.text, &errs)
		}
	}
}

func TestProgramThatEndsIsReported(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "refclockd"), []byte("#!/bin/sh\necho odd >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := run([]string{"-once", "-bin", bin}, &out, &errs); code != exitFailed || !strings.Contains(errs.String(), "refclockd ended: exit status 3") || !strings.Contains(out.String(), "--- output of refclockd:\nodd\n") {
		t.Errorf("exit code %d: %s%s", code, &out, &errs)
	}
}
