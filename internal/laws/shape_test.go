package laws

import (
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
	"testing"
)

// Limits of shape. A type or function beyond them has more than one reason to
// change.
const (
	maxFields     = 20
	maxMethods    = 20
	maxCyclomatic = 25
	maxFiles      = 24 // of a package, tests aside: a screenful of names
)

// wide are structs whose fields are a table: a wire format, a configuration file,
// a report that others project, a message of many optional parts.
var wide = []string{
	"refclock.Config",
	"refclock/gnss.Message", "refclock/report.Details", "refclock/report.Status", "phc.timex64", "refclock/status.Snapshot", "refclock/leap.Status",
}

func TestShape(t *testing.T) {
	methods := map[string]int{}
	files := map[string]int{}
	beyond := func(at, name, what string, n, limit int) {
		if n > limit {
			t.Errorf("%s: %s has %s %d, more than %d", at, name, what, n, limit)
		}
	}
	for _, s := range tree(t) {
		if s.test || strings.HasSuffix(s.path, "_others.go") {
			continue
		}
		files[s.dir]++
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				beyond(s.at(d.Pos()), s.dir+"."+d.Name.Name, "cyclomatic complexity", cyclomatic(d), maxCyclomatic)
				if d.Recv != nil {
					methods[s.dir+"."+receiver(d.Recv.List[0].Type)]++
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					ts, ok := spec.(*ast.TypeSpec)
					if !ok {
						continue
					}
					if st, ok := ts.Type.(*ast.StructType); ok && !slices.Contains(wide, s.dir+"."+ts.Name.Name) {
						beyond(s.at(ts.Pos()), s.dir+"."+ts.Name.Name, "fields:", st.Fields.NumFields(), maxFields)
					}
				}
			}
		}
	}
	for name, n := range methods {
		beyond("type", name, "methods:", n, maxMethods)
	}
	for dir, n := range files {
		if n > maxFiles {
			t.Errorf("package %s has %d files, more than %d", dir, n, maxFiles)
		}
	}
}

// receiver names the type of a method's receiver.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// cyclomatic returns the cyclomatic complexity of a function: one more than its
// branches.
func cyclomatic(f *ast.FuncDecl) int {
	n := 1
	ast.Inspect(f, func(x ast.Node) bool {
		switch x := x.(type) {
		case *ast.IfStmt, *ast.ForStmt, *ast.RangeStmt:
			n++
		case *ast.CaseClause:
			if x.List != nil {
				n++
			}
		case *ast.CommClause:
			if x.Comm != nil {
				n++
			}
		case *ast.BinaryExpr:
			if x.Op == token.LAND || x.Op == token.LOR {
				n++
			}
		}
		return true
	})
	return n
}

// TestExportedNamesAreDocumented: a reader of `go doc` finds meaning, unit and
// errors of everything that other packages use.
func TestExportedNamesAreDocumented(t *testing.T) {
	packages := map[string]bool{}
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		packages[s.dir] = packages[s.dir] || s.file.Doc != nil
		if strings.HasSuffix(s.path, "_others.go") {
			continue // the file for Linux has the comments
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && d.Doc == nil && !obvious(d) && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
					t.Errorf("%s: %s has no comment", s.at(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				undocumented(t, s, d)
			}
		}
	}
	for dir, ok := range packages {
		if !ok {
			t.Errorf("package %s has no comment", dir)
		}
	}
}

// obvious reports whether the interface that a method belongs to says what it
// does.
func obvious(d *ast.FuncDecl) bool {
	return d.Recv != nil && slices.Contains([]string{"String", "Error", "Unwrap"}, d.Name.Name)
}

// undocumented reports the exported names of a declaration without a comment. One
// comment of a group counts for its members; a type has its own.
func undocumented(t *testing.T, s *source, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && d.Doc == nil {
				t.Errorf("%s: type %s has no comment", s.at(spec.Pos()), spec.Name.Name)
			}
		case *ast.ValueSpec:
			for _, n := range spec.Names {
				if n.IsExported() && spec.Doc == nil && spec.Comment == nil && d.Doc == nil {
					t.Errorf("%s: %s has no comment", s.at(n.Pos()), n.Name)
				}
			}
		}
	}
}

// unsafeFiles may use unsafe: system calls and shared memory have no other way.
var unsafeFiles = []string{
	"internal/privileges/privileges_linux.go",                                                       // capabilities of all threads
	"phc/cross_linux.go", "phc/handle_linux.go", "phc/sys_linux.go", "refclock/pps/kernel_linux.go", // ioctls
	"server/transport/sockets/conn_linux.go", "server/transport/sockets/sendtime_linux.go", "server/transport/sockets/txstamp_linux.go", // recvmmsg, sendmmsg, control messages
}

// sysDirs may use golang.org/x/sys in files for one system.
var sysDirs = []string{
	"phc", "refclock/pps", "refclock/status", "refclock/export", "refclock/sim", "server/transport/sockets", "server/network", "server/threads", "server/nts/aead", "server/ntske",
	"internal/privileges", "internal/doctor", "internal/top", "lab/labtool",
}

func TestSystemCallsStayInTheirFiles(t *testing.T) {
	used := map[string]bool{}
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		for _, p := range s.imports() {
			if p == "unsafe" {
				used[s.path] = true
				if !slices.Contains(unsafeFiles, s.path) {
					t.Errorf("%s imports unsafe", s.path)
				}
			}
			if strings.HasPrefix(p, "golang.org/x/sys") {
				base := strings.TrimSuffix(path.Base(s.path), ".go")
				if !slices.Contains(sysDirs, s.dir) || !strings.HasSuffix(base, "_linux") && !strings.HasSuffix(base, "_amd64") && !strings.HasSuffix(base, "_arm64") {
					t.Errorf("%s imports %s", s.path, p)
				}
			}
		}
	}
	for _, f := range unsafeFiles {
		if !used[f] {
			t.Errorf("%s is listed for unsafe and does not use it", f)
		}
	}
}
