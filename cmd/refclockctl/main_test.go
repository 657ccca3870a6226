package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/command"
)

// ctlIn runs the tool with an input.
func ctlIn(in string, args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	p := commandLine()
	code = p.Main(args, command.Console{In: strings.NewReader(in), Out: &o, Err: &e})
	return code, o.String(), e.String()
}

// ctl runs the tool and returns what it prints.
func ctl(args ...string) (code int, stdout, stderr string) { return ctlIn("", args...) }

// must is ctl for what has to work.
func must(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := ctl(args...)
	if code != 0 {
		t.Fatalf("refclockctl %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

func TestArgumentsMayStandBetweenFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	odd := filepath.Join(dir, "-all")
	if err := os.WriteFile(odd, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"decode", "-", "-all"}, {"decode", "-all", "-"}, {"decode", "-all", "--", odd}} {
		if code, _, errs := ctl(args...); code != 0 {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	if code, _, errs := ctl("decode", "--", "-"+dir); code != 66 {
		t.Errorf("a file whose name begins with a dash: exit %d, %s", code, errs)
	}
}
