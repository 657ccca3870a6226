package proctest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// built are the programs that this process has built.
var built struct {
	mu  sync.Mutex
	dir string
	err map[string]error // by program; nil: it is there
}

// EnvPrograms names a folder with our programs, already built.
const EnvPrograms = "NOONMARK_BIN"

// Program returns the path of a program of ours, as it is released: without cgo.
// It is taken from the folder that EnvPrograms names; else it is built, once.
// TestMain must call Main, which removes it.
func Program(t testing.TB, name string) string {
	t.Helper()
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := lookAtSources(root); err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv(EnvPrograms); dir != "" {
		return filepath.Join(dir, name)
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the programs: " + EnvPrograms + " is not set and there is no go command to build them")
	}
	path, err := Build(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Build builds a program of ours, unless this process has built it before, and
// returns its path.
func Build(name string) (path string, err error) {
	built.mu.Lock()
	defer built.mu.Unlock()
	err, done := built.err[name]
	if !done {
		err = build(name)
	}
	if err != nil {
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return filepath.Join(built.dir, name), nil
}

// build builds one program. built.mu is held.
func build(name string) error {
	root, err := moduleRoot()
	if err != nil {
		return err
	}
	if built.dir == "" {
		if built.dir, err = os.MkdirTemp("", "noonmark-bin-"); err != nil {
			return err
		}
		built.err = map[string]error{}
	}
	cmd := exec.Command("go", "build", "-buildvcs=false", "-o", filepath.Join(built.dir, name), "./cmd/"+name)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, e := cmd.CombinedOutput(); e != nil {
		err = &BuildError{string(out), e}
	}
	built.err[name] = err
	return err
}

// RemoveBuilt removes what Build has built. Main calls it.
func RemoveBuilt() {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
}

// moduleRoot is the nearest folder above that has a go.mod of ours.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if b, err := os.ReadFile(filepath.Join(dir, "go.mod")); err == nil && strings.HasPrefix(string(b), "module noonmark\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod of module noonmark above this folder")
		}
		dir = up
	}
}

// lookAtSources looks at the files that the programs are made of. The go command
// repeats a cached result if nothing has changed that the test has looked at,
// and it does not see what a compiler that the test starts looks at.
func lookAtSources(root string) error {
	for _, top := range [...]string{"cmd", "internal", "phc", "refclock", "server", "go.mod"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, _ fs.DirEntry, err error) error {
			if err == nil && (filepath.Ext(path) == ".go" || top == "go.mod") {
				_, err = os.Stat(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
