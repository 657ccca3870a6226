package docs

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/internal/version"
)

const root = "../.." // of the project

// programs are those that the README and the units speak of.
var programs = []string{"refclockd", "ntsserve", "refclockctl", "ntsquery"}

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

// program returns the path of a built program.
func program(t *testing.T, name string) string {
	t.Helper()
	return proctest.Program(t, name)
}

// run runs a program in the root of the tree and returns what it writes and its
// exit code.
func run(t *testing.T, path string, args ...string) (string, int) {
	t.Helper()
	c := exec.Command(path, args...)
	c.Dir = root
	out, errs, code := proctest.RunCmd(t, c)
	return out + errs, code
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every example configuration is one that its daemon takes.
func TestConfigs(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "configs", "*.toml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %d configurations, %v", len(files), err)
	}
	for _, f := range files {
		name := filepath.Base(f)
		daemon, _, _ := strings.Cut(strings.TrimSuffix(name, ".toml"), "-")
		t.Run(name, func(t *testing.T) {
			if daemon != "refclockd" && daemon != "ntsserve" {
				t.Fatalf("belongs to no daemon")
			}
			if out, code := run(t, program(t, daemon), "-config", filepath.Join("configs", name), "-check"); code != 0 {
				t.Errorf("%s -check ends with %d:\n%s", daemon, code, out)
			}
		})
	}
}

// A damaged example is refused with file, line and remedy, exit 78.
func TestConfigsRefused(t *testing.T) {
	for _, daemon := range []string{"refclockd", "ntsserve"} {
		text := read(t, "configs/"+daemon+".toml")
		lines := strings.Count(text, "\n")
		bad := filepath.Join(t.TempDir(), "bad.toml")
		if err := os.WriteFile(bad, []byte(text+"levle = \"info\"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := run(t, program(t, daemon), "-config", bad, "-check")
		if want := bad + ":" + strconv.Itoa(lines+1) + ": "; code != 78 || !strings.Contains(out, want) || !strings.Contains(out, "levle: is not known") {
			t.Errorf("%s ends with %d, wants 78 and %q:\n%s", daemon, code, want, out)
		}
	}
}

func TestEveryProgramPrintsTheVersionOfTheTree(t *testing.T) {
	for _, name := range programs {
		out, code := run(t, program(t, name), "-version")
		if want := name + " " + version.Number + " ("; code != 0 || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s -version ends with %d and prints %q, want %q", name, code, out, want)
		}
	}
}

// consoles returns the "$ " lines of a document's console blocks.
func consoles(doc string) (cmds []string) {
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(doc, -1) {
		for line := range strings.Lines(block[1]) {
			if c, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "$ "); ok {
				cmds = append(cmds, c)
			}
		}
	}
	return cmds
}

// Every command in the README's console blocks exists: make targets in the
// Makefile, our programs with the flags they have.
func TestREADMECommands(t *testing.T) {
	makefile := read(t, "Makefile")
	cmds := consoles(read(t, "README.md"))
	if len(cmds) < 5 {
		t.Fatalf("found %d commands: %q", len(cmds), cmds)
	}
	for _, c := range cmds {
		t.Run(c, func(t *testing.T) {
			words := strings.Fields(strings.TrimPrefix(c, "sudo "))
			name := filepath.Base(words[0])
			switch {
			case name == "make":
				for _, w := range words[1:] {
					if target, _, isVar := strings.Cut(w, "="); isVar {
						if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + ` \?=`).MatchString(makefile) {
							t.Errorf("the Makefile has no variable %s", target)
						}
					} else if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(w) + `:`).MatchString(makefile) {
						t.Errorf("the Makefile has no target %s", w)
					}
				}
			case slices.Contains(programs, name):
				checkFlags(t, program(t, name), words[1:])
			case slices.Contains([]string{"git", "cd", "install", "cp", "systemctl", "useradd", "adduser", "udevadm", "chown", "journalctl", "chronyc", "systemd-sysusers"}, name):
			default:
				t.Errorf("%s is neither make, nor ours, nor a command every machine has", name)
			}
		})
	}
}

// checkFlags looks each flag up in the help of the program, or of its command.
func checkFlags(t *testing.T, path string, words []string) {
	t.Helper()
	var sub []string
	if filepath.Base(path) == "refclockctl" && len(words) > 0 {
		sub, words = words[:1], words[1:]
	}
	help, code := run(t, path, slices.Concat(sub, []string{"-h"})...)
	if code != 0 {
		t.Fatalf("%s %s -h ends with %d:\n%s", filepath.Base(path), sub, code, help)
	}
	for _, w := range words {
		if w, _, _ = strings.Cut(w, "="); strings.HasPrefix(w, "-") && len(w) > 1 {
			if !regexp.MustCompile(`(?:^|[\s\[])` + regexp.QuoteMeta(w) + `\b`).MatchString(help) {
				t.Errorf("%s has no flag %s:\n%s", filepath.Base(path), w, help)
			}
		}
	}
}

// The README begins with a console, and the commands for a newcomer are two.
func TestREADMEBegins(t *testing.T) {
	doc := read(t, "README.md")
	if !regexp.MustCompile("^# .*\n\n```console\n\\$ make demo ARGS=-once\n").MatchString(doc) {
		t.Error("README.md does not begin with a console")
	}
	if !strings.Contains(doc, "\n```console\n$ make demo\n$ make test\n```\n") {
		t.Error("README.md has no block of the newcomer's two commands")
	}
}

// What the README shows of the quick commands is what they say.
func TestREADMERuns(t *testing.T) {
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
		t.Fatal("README.md shows no complaint about a configuration")
	}
	bad := filepath.Join(t.TempDir(), "refclockd.toml")
	if err := os.WriteFile(bad, []byte("\n\n\n\n\n[receiver]\ndevcie = \"/dev/ttyS0\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, program(t, "refclockd"), "-config", bad, "-check")
	if want := bad + ":7: " + m[2] + ": " + m[3] + "\n"; out != want || code != 78 {
		t.Errorf("refclockd ends with %d and says\n%swant\n%s", code, out, want)
	}
}

// The JSON keys that the README promises are the ones a reading has.
func TestREADMEReading(t *testing.T) {
	doc := read(t, "README.md")
	for _, k := range []string{"authenticated", "offset_ns", "delay_ns", "root_delay_ns", "root_dispersion_ns", "stratum", "refid", "leap",
		"reference_time", "aead", "cookies", "interleaved", "server", "true_offset_ns", "bound_ns"} {
		if !strings.Contains(doc, `"`+k+`"`) {
			t.Errorf("README.md shows no %q", k)
		}
	}
}

// Every file that README, ARCHITECTURE and CONTRIBUTING link to exists.
func TestLinks(t *testing.T) {
	for _, name := range []string{"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"} {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)[^)]*\)`).FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

// ARCHITECTURE.md has a line for every package and every dependency.
func TestArchitecture(t *testing.T) {
	doc := read(t, "ARCHITECTURE.md")
	seen := map[string]bool{}
	err := filepath.WalkDir(root, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if d.IsDir() && rel != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || rel == "server/bench") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			seen[filepath.ToSlash(filepath.Dir(rel))] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range slices.Sorted(maps.Keys(seen)) {
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(p) + "` \\|").MatchString(doc) {
			t.Errorf("ARCHITECTURE.md has no line for package %s", p)
		}
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	if len(direct) < 5 {
		t.Fatalf("found %d direct dependencies in go.mod", len(direct))
	}
	for _, m := range direct {
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(m[1]) + "` \\|").MatchString(doc) {
			t.Errorf("ARCHITECTURE.md has no line for dependency %s", m[1])
		}
	}
}
