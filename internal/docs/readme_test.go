package docs

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

func TestREADMEBeginsWithAConsole(t *testing.T) {
	t.Parallel()
	doc := read(t, "README.md")
	if !regexp.MustCompile("^# .*\n\n```console\n\\$ sudo apt install [^\n]*\n\\$ sudo refclockctl setup\n\\$ ntsquery ").MatchString(doc) {
		t.Error("README.md does not begin with a console: install, set up, ask")
	}
	if !strings.Contains(doc, "\n```console\n$ make demo\n$ make test\n```\n") {
		t.Error("README.md has no block with the two commands of a newcomer")
	}
}

func TestShortDocumentsStayShort(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"README.md": 200, "ARCHITECTURE.md": 200} {
		if n := strings.Count(read(t, name), "\n"); n >= limit {
			t.Errorf("%s has %d lines; want less than %d", name, n, limit)
		}
	}
}

// The output that the README shows is what the programs print.
func TestREADMEShowsWhatProgramsPrint(t *testing.T) {
	t.Parallel()
	doc := read(t, "README.md")
	list, code := run(t, program(t, "refclockctl"), "simulate", "-scenario", "list")
	if code != 0 {
		t.Fatalf("simulate -scenario list ends with %d:\n%s", code, list)
	}
	for _, m := range regexp.MustCompile(`-scenario ([a-z0-9-]+)`).FindAllStringSubmatch(doc, -1) {
		if m[1] != "list" && !strings.Contains(list, m[1]+" ") {
			t.Errorf("README.md names scenario %s, which is none of\n%s", m[1], list)
		}
	}

	m := regexp.MustCompile(`(?m)^/etc/noonmark/refclockd\.toml:(7): (receiver\.devcie): (.*)$`).FindStringSubmatch(doc)
	if m == nil {
		t.Fatal("README.md shows no error of a configuration")
	}
	bad := proctest.Write(t, filepath.Join(t.TempDir(), "refclockd.toml"), "\n\n\n\n\n[receiver]\ndevcie = \"/dev/ttyS0\"\n")
	out, code := run(t, program(t, "refclockd"), "-config", bad, "-check")
	if want := bad + ":7: " + m[2] + ": " + m[3] + "\n"; out != want || code != 78 {
		t.Errorf("refclockd ends with %d and prints\n%swant\n%s", code, out, want)
	}
}

func TestREADMEShowsEveryKeyOfAReading(t *testing.T) {
	t.Parallel()
	doc := read(t, "README.md")
	for _, k := range []string{"authenticated", "offset_ns", "delay_ns", "root_delay_ns", "root_dispersion_ns", "stratum", "refid", "leap",
		"reference_time", "aead", "cookies", "interleaved", "server", "true_offset_ns", "bound_ns"} {
		if !strings.Contains(doc, `"`+k+`"`) {
			t.Errorf("README.md shows no %q", k)
		}
	}
}
