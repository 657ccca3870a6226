package doctor

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestTableIsComplete(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for i, k := range Kinds() {
		bad := k.Level != OK
		switch {
		case !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(k.ID) || ids[k.ID]:
			t.Errorf("kind %d: id %q is malformed or not unique", i, k.ID)
		case k.Part == "" || k.Text == "" || k.Level != OK && k.Level != Warn && k.Level != Fail:
			t.Errorf("%s is incomplete", k.ID)
		case bad != (k.Cause != "") || bad != (k.Remedy != ""):
			t.Errorf("%s: only what is wrong has a cause and a remedy, and it has both", k.ID)
		case bad && !strings.HasSuffix(k.Cause, "."):
			t.Errorf("%s: the cause is not a sentence", k.ID)
		case k.Code != 0 && k.Level != Fail:
			t.Errorf("%s: exit code %d of something that does not fail", k.ID, k.Code)
		}
		ids[k.ID] = true
	}
}

// Every row of the table is found somewhere, so that documents do not describe
// what cannot happen.
func TestEveryKindIsUsed(t *testing.T) {
	t.Parallel()
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	uses := map[string]int{}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				uses[id.Name]++
			}
			if kv, ok := n.(*ast.KeyValueExpr); ok && f.Name() == "kinds_table.go" {
				if id, ok := kv.Key.(*ast.Ident); ok && strings.ToLower(id.Name[:1]) == id.Name[:1] && id.Name != "code" {
					names = append(names, id.Name)
				}
			}
			return true
		})
	}
	if len(names) != int(kindCount) {
		t.Fatalf("found %d rows, want %d", len(names), kindCount)
	}
	for _, n := range names {
		if uses[n] < 3 { // declaration, row, use
			t.Errorf("%s is never found", n)
		}
	}
}
