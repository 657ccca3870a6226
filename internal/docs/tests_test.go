package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The documents that say which test shows a thing name tests that exist, and
// every row of their tables names one.
func TestNamedTests(t *testing.T) {
	name := regexp.MustCompile("`((?:[a-z0-9]+/)*[a-z0-9]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	for _, doc := range []string{"server/CONFORMANCE.md", "THREATS.md"} {
		text := read(t, doc)
		rows, known := 0, map[string]string{}
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "| ") || strings.HasSuffix(line, "| test |\n") {
				continue
			}
			rows++
			if !name.MatchString(line) {
				t.Errorf("%s: no test is named in %s", doc, line)
			}
		}
		for _, m := range name.FindAllStringSubmatch(text, -1) {
			dir, fn := m[1], m[2]
			if _, ok := known[dir]; !ok {
				files, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
				if err != nil || len(files) == 0 {
					t.Errorf("%s: %s has no tests", doc, dir)
				}
				for _, f := range files {
					b, err := os.ReadFile(f)
					if err != nil {
						t.Fatal(err)
					}
					known[dir] += string(b)
				}
			}
			if !strings.Contains(known[dir], "\nfunc "+fn+"(") {
				t.Errorf("%s: there is no %s in %s", doc, fn, dir)
			}
		}
		if rows < 10 {
			t.Errorf("%s has %d rows", doc, rows)
		}
	}
}
