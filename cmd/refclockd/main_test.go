package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"noonmark/internal/proctest"
)

// write writes a configuration and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	return proctest.Write(t, filepath.Join(t.TempDir(), "r.toml"), text)
}

// virtual is a configuration of the virtual appliance, with a folder of its own,
// to which more can be appended.
func virtual(dir string) string {
	return fmt.Sprintf("runtime_dir = %q\nstate_dir = %q\n[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n", dir, dir)
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	good := write(t, "")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"-nope"}, 64},
		{[]string{"extra"}, 64},
		{[]string{"-config", filepath.Join(t.TempDir(), "none")}, 78},
		{[]string{"-check", "-config", write(t, "[clock]\nsource = \"phd\"\n")}, 78},
		{[]string{"-check", "-config", good}, 0},
		{[]string{"-version"}, 0},
		{[]string{"-h"}, 0},
	} {
		var out bytes.Buffer
		if got := run(c.args, &out); got != c.want {
			t.Errorf("%q: exit code %d, want %d: %s", c.args, got, c.want, &out)
		}
	}
}
