// Package laws holds the structure of the tree: each law of ARCHITECTURE.md that
// a program can check is a test here, and each failure names the offender.
package laws

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "noonmark"
)

// source is one Go file of the tree.
type source struct {
	path string // slash-separated, relative to the root
	dir  string
	test bool
	set  *token.FileSet
	file *ast.File
}

// at names a place in the file.
func (s *source) at(p token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.set.Position(p).Line)
}

// imports returns the import paths of the file.
func (s *source) imports() []string {
	var paths []string
	for _, i := range s.file.Imports {
		if p, err := strconv.Unquote(i.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// tree parses every Go file below the root. Modules of their own (benchmarks,
// the fleet) have their own dependencies and are left out.
func tree(t *testing.T) []*source {
	t.Helper()
	files := below(t, root)
	if len(files) < 200 {
		t.Fatalf("found %d Go files below %s; that is not the whole tree", len(files), root)
	}
	return files
}

// below parses every Go file of the module in a folder of the tree.
func below(t *testing.T, top string) []*source {
	t.Helper()
	var files []*source
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && filepath.Clean(path) != filepath.Clean(top) {
				return filepath.SkipDir
			}
			if path != top && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin" || name == "demo-run") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		s := &source{path: filepath.ToSlash(rel), set: token.NewFileSet(), test: strings.HasSuffix(name, "_test.go")}
		s.dir = filepath.ToSlash(filepath.Dir(s.path))
		if s.file, err = parser.ParseFile(s.set, path, nil, parser.ParseComments|parser.SkipObjectResolution); err != nil {
			return err
		}
		files = append(files, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// foundation are the packages that everything else may import.
var foundation = []string{"phc", "phc/tai", "phc/phctest", "internal/durable", "internal/exitcode", "internal/freeports", "internal/liveness", "internal/printable", "internal/retry", "internal/ptp", "internal/proctest"}

// floor returns the level of a package: a package imports none of a higher one.
func floor(dir string) int {
	top, _, _ := strings.Cut(dir, "/")
	switch {
	case slices.Contains(foundation, dir):
		return 0
	case top == "refclock":
		return 1
	case top == "server":
		return 2
	case top == "internal":
		return 3
	case top == "cmd", top == "lab":
		return 4
	}
	return 5
}

func TestImportsPointDown(t *testing.T) {
	for _, s := range tree(t) {
		for _, p := range s.imports() {
			to, ours := strings.CutPrefix(p, module+"/")
			if !ours || to == s.dir {
				continue
			}
			if floor(to) > floor(s.dir) {
				t.Errorf("%s imports %s, which lies above it", s.path, p)
			}
			if top, _, _ := strings.Cut(s.dir, "/"); s.test && top == "server" {
				continue // tests of the server may make a clock to serve
			}
			if strings.HasPrefix(s.dir+"/", "server/") && strings.HasPrefix(to+"/", "refclock/") && to != "refclock/status" {
				t.Errorf("%s imports %s; the server knows of the reference side only refclock/status", s.path, p)
			}
			if strings.HasPrefix(s.dir+"/", "cmd/") && strings.HasPrefix(to, "cmd/") {
				t.Errorf("%s imports %s; programs share nothing but libraries", s.path, p)
			}
		}
	}
}

// leaves are packages that start no goroutine, log nothing and read no clock.
// They return values and events; their caller counts and logs.
var leaves = []string{
	"phc/tai", "refclock/discipline", "refclock/discipline/servo", "refclock/gnss", "refclock/gnss/nmea", "refclock/gnss/ubx", "refclock/gnss/foreign",
	"refclock/integrity", "refclock/leap", "refclock/reading", "refclock/reason", "refclock/report", "refclock/status", "server/mac", "server/ntp", "server/nts", "server/nts/aead", "internal/ptp", "internal/history", "internal/events", "internal/stability",
}

func TestLeavesAreQuiet(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range tree(t) {
		seen[s.dir] = true
		if s.test || !slices.Contains(leaves, s.dir) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine in a leaf package", s.at(n.Pos()))
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				switch {
				case !ok:
				case x.Name == "time" && (n.Sel.Name == "Now" || n.Sel.Name == "Sleep" || n.Sel.Name == "Since") && s.dir != "refclock/status": // it maps a file
					t.Errorf("%s reads the wall clock in a leaf package", s.at(n.Pos()))
				case x.Name == "log", x.Name == "slog" && n.Sel.Name != "Value" && n.Sel.Name != "StringValue": // keys hide themselves from logs
					t.Errorf("%s logs in a leaf package", s.at(n.Pos()))
				}
			}
			return true
		})
	}
	for _, l := range leaves {
		if !seen[l] {
			t.Errorf("leaf package %s does not exist", l)
		}
	}
}

func TestNoExitBelowMain(t *testing.T) {
	for _, s := range tree(t) {
		if s.test || s.file.Name.Name == "main" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					t.Errorf("%s: init; build what it sets up where it is used", s.at(n.Pos()))
				}
			case *ast.CallExpr:
				switch f := n.Fun.(type) {
				case *ast.SelectorExpr:
					x, ok := f.X.(*ast.Ident)
					if ok && (x.Name == "os" && f.Sel.Name == "Exit" || x.Name == "log" && strings.HasPrefix(f.Sel.Name, "Fatal")) {
						t.Errorf("%s ends the process outside main", s.at(n.Pos()))
					}
				}
			}
			return true
		})
	}
}

// measured are tests that wait for something outside of the process: the lab's
// guest, and the measurement of what a real minute costs.
var measured = []string{"phc/lab_linux_test.go", "refclock/pps/lab_linux_test.go", "cmd/refclockd/cost_linux_test.go"}

// TestTestsDoNotWait: a test that sleeps does so in virtual time.
func TestTestsDoNotWait(t *testing.T) {
	for _, s := range tree(t) {
		if !s.test || slices.Contains(measured, s.path) || slices.Contains(s.imports(), "testing/synctest") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if c, ok := n.(*ast.CallExpr); ok {
				if f, ok := c.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Sleep" {
					if x, ok := f.X.(*ast.Ident); ok && x.Name == "time" {
						t.Errorf("%s sleeps in real time; use testing/synctest or wait for a condition", s.at(n.Pos()))
					}
				}
			}
			return true
		})
	}
}
