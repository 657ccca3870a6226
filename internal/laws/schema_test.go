package laws

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// schemas are the packages that declare keys of TOML files: the configuration of each
// program, and the scenarios of the simulation.
var schemas = []string{"internal/config", "internal/config/alert", "internal/config/ntsserve", "internal/config/refclockd", "internal/config/refclockweb", "internal/simulate"}

// declaredTwice returns what a file declares of a TOML file that is declared already: a
// key outside of the only schema, a key that a table has already.
func declaredTwice(s *source) (found []string) {
	ast.Inspect(s.file, func(n ast.Node) bool {
		st, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		seen := map[string]bool{}
		for _, f := range st.Fields.List {
			if f.Tag == nil {
				continue
			}
			text, err := strconv.Unquote(f.Tag.Value)
			tag, has := reflect.StructTag(text).Lookup("toml")
			if err != nil || !has {
				continue
			}
			key, _, _ := strings.Cut(tag, ",")
			switch {
			case !slices.Contains(schemas, s.dir):
				found = append(found, fmt.Sprintf("%s: the key %q is declared outside of its schema; use that of internal/config", s.at(f.Pos()), key))
			case seen[key] && key != "" && key != "-":
				found = append(found, fmt.Sprintf("%s: the key %q is declared twice", s.at(f.Pos()), key))
			}
			seen[key] = true
		}
		return true
	})
	return found
}

// TestEachKeyIsDeclaredOnce: where a second program reads a configuration, it uses the
// schema and the checks of the first, or else one accepts what the other refuses.
func TestEachKeyIsDeclaredOnce(t *testing.T) {
	for name, c := range map[string]struct{ dir, text, want string }{
		"a second schema":         {"internal/doctor", "type C struct { SystemClock string `toml:\"system_clock\"` }", `x.go:2: the key "system_clock" is declared outside of its schema`},
		"a key twice in a table":  {"internal/config/refclockd", "type C struct { A string `toml:\"a\"`; B string `toml:\"a,omitempty\"` }", `x.go:2: the key "a" is declared twice`},
		"in a structure of a use": {"cmd/refclockctl", "func f() { var c struct { A string `toml:\"a\"` }; _ = c }", "declared outside of its schema"},
		"the same in two tables":  {"internal/config/refclockd", "type C struct { A struct { D string `toml:\"device\"` }; B struct { D string `toml:\"device\"` } }", ""},
		"of another format":       {"internal/doctor", "type C struct { A string `json:\"a\"` }", ""},
	} {
		s := &source{path: "x.go", dir: c.dir, set: token.NewFileSet()}
		var err error
		if s.file, err = parser.ParseFile(s.set, "x.go", "package x\n"+c.text, 0); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := strings.Join(declaredTwice(s), "\n"); (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	declares := map[string]bool{}
	for _, s := range tree(t) {
		if s.test {
			continue
		}
		for _, d := range declaredTwice(s) {
			t.Error(d)
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if f, ok := n.(*ast.Field); ok && f.Tag != nil && strings.Contains(f.Tag.Value, `toml:"`) {
				declares[s.dir] = true
			}
			return true
		})
	}
	for _, dir := range schemas {
		if !declares[dir] {
			t.Errorf("%s declares no key; remove it from the list", dir)
		}
	}
}
