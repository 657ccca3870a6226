package docs

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
)

// goPackage is the parsed source of one folder, without tests.
type goPackage struct {
	dir   string // below the root, slash-separated
	files []*ast.File
}

// parsePackage parses the Go files of one folder.
func parsePackage(root, dir string) (*goPackage, error) {
	p := &goPackage{dir: dir}
	entries, err := os.ReadDir(filepath.Join(root, filepath.FromSlash(dir)))
	if err != nil {
		return nil, err
	}
	set := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, filepath.Join(root, filepath.FromSlash(dir), e.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.files = append(p.files, f)
	}
	return p, nil
}

// goFolders lists the folders below the root that hold Go files, nested modules
// left out.
func goFolders(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if rel == "." {
				return nil
			}
			_, err := os.Stat(filepath.Join(path, "go.mod"))
			if err == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" {
				return filepath.SkipDir
			}
			return nil
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if strings.HasSuffix(path, ".go") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
		return nil
	})
	return dirs, err
}

// constant is a constant of an enumeration, with its comment in one line.
type constant struct{ name, text string }

// enumeration returns the constants of a type that counts from zero with iota,
// in their order. Names such as numReasons, which only count, end it.
func (p *goPackage) enumeration(typ string) ([]constant, error) {
	for _, f := range p.files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST || !startsWithType(g, typ) {
				continue
			}
			var list []constant
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if n := strings.ToLower(v.Names[0].Name); strings.HasPrefix(n, "num") || n == "count" {
					break
				}
				list = append(list, constant{v.Names[0].Name, commentText(v.Doc, v.Comment)})
			}
			return list, nil
		}
	}
	return nil, fmt.Errorf("%s: no constants of type %s", p.dir, typ)
}

// startsWithType reports whether the first constant has this type and is iota.
func startsWithType(g *ast.GenDecl, typ string) bool {
	v, ok := g.Specs[0].(*ast.ValueSpec)
	if !ok || len(v.Values) != 1 {
		return false
	}
	t, ok := v.Type.(*ast.Ident)
	i, isIota := v.Values[0].(*ast.Ident)
	return ok && isIota && t.Name == typ && i.Name == "iota"
}

// commentText joins the comments of a constant; the one on its line wins.
func commentText(doc, line *ast.CommentGroup) string {
	if line != nil {
		doc = line
	}
	if doc == nil {
		return ""
	}
	return strings.Join(strings.Fields(doc.Text()), " ")
}

// text returns the value of a string literal, also of several joined by +.
func text(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		s, err := strconv.Unquote(e.Value)
		return s, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, okA := text(e.X)
		b, okB := text(e.Y)
		return a + b, okA && okB && e.Op == token.ADD
	}
	return "", false
}
