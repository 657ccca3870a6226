package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/internal/version"
)

const root = "../.." // of the tree

// programs returns the project's own.
func programs(t *testing.T) []string {
	t.Helper()
	names, err := Programs(root)
	if err != nil || len(names) < 4 {
		t.Fatalf("programs %q: %v", names, err)
	}
	return names
}

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

// read returns a file of the tree.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// files lists the files below a folder of the tree, or the file itself, whose
// names have one of the endings; slash-separated.
func files(t *testing.T, top string, endings ...string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(root, filepath.FromSlash(top)), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && d.Name() != ".ci" && path != root
			if hidden || d.Name() == "testdata" && path != filepath.Join(root, filepath.FromSlash(top)) || d.Name() == "bin" || d.Name() == "demo-run" {
				return filepath.SkipDir
			}
			return nil
		}
		if len(endings) == 0 || slices.ContainsFunc(endings, func(e string) bool { return strings.HasSuffix(path, e) }) {
			list = append(list, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestEveryExampleConfigurationIsAccepted(t *testing.T) {
	examples := files(t, "configs", ".toml")
	if len(examples) < 2 {
		t.Fatalf("found %d configurations", len(examples))
	}
	for _, f := range examples {
		daemon, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), ".toml"), "-")
		t.Run(f, func(t *testing.T) {
			t.Parallel()
			args := []string{"-config", f, "-check"}
			switch daemon {
			case "refclockd", "ntsserve", "refclockweb":
			case "alert":
				daemon, args = "refclockctl", append([]string{"alert"}, args...)
			default:
				t.Fatalf("%s is a configuration of no daemon", f)
			}
			if out, code := run(t, program(t, daemon), args...); code != 0 {
				t.Errorf("%s -check ends with %d:\n%s", daemon, code, out)
			}
		})
	}
}

func TestDamagedConfigurationIsRefusedWithFileLineAndRemedy(t *testing.T) {
	for _, daemon := range []string{"refclockd", "ntsserve", "refclockweb"} {
		t.Run(daemon, func(t *testing.T) {
			t.Parallel()
			text := read(t, "configs/"+daemon+".toml")
			bad := proctest.Write(t, filepath.Join(t.TempDir(), "bad.toml"), text+"levle = \"info\"\n")
			out, code := run(t, program(t, daemon), "-config", bad, "-check")
			want := bad + ":" + strconv.Itoa(strings.Count(text, "\n")+1) + ": "
			if code != 78 || !strings.Contains(out, want) || !strings.Contains(out, "levle: is not known") {
				t.Errorf("%s ends with %d, want 78 and %q:\n%s", daemon, code, want, out)
			}
		})
	}
}

func TestEveryProgramPrintsTheVersionOfTheTree(t *testing.T) {
	t.Parallel()
	for _, name := range programs(t) {
		out, code := run(t, program(t, name), "-version")
		if want := name + " " + version.Number + " ("; code != 0 || !strings.HasPrefix(out, want) || strings.Count(out, "\n") != 1 {
			t.Errorf("%s -version ends with %d and prints %q, want %q", name, code, out, want)
		}
	}
}
