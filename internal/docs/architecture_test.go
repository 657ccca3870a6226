package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// beforeHeading returns the text up to the next heading of the second level.
func beforeHeading(text string) string {
	section, _, _ := strings.Cut(text, "\n## ")
	return section
}

// ARCHITECTURE.md has a row for every package and every direct dependency, and no
// row for a package that does not exist.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	t.Parallel()
	doc := read(t, "ARCHITECTURE.md")
	dirs, err := goFolders(root)
	if err != nil {
		t.Fatal(err)
	}
	_, doc, _ = strings.Cut(doc, "\n## Packages\n")
	rows := regexp.MustCompile("(?m)^\\| `([a-z0-9/]+)` \\|").FindAllStringSubmatch(beforeHeading(doc), -1)
	named := map[string]bool{}
	for _, m := range rows {
		named[m[1]] = true
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(m[1]))); err != nil {
			t.Errorf("ARCHITECTURE.md has a row for %s, which does not exist", m[1])
		}
	}
	slices.Sort(dirs)
	for _, d := range dirs {
		if !named[d] {
			t.Errorf("ARCHITECTURE.md has no row for package %s", d)
		}
	}
	direct := regexp.MustCompile(`(?m)^\t(\S+) v\S+$`).FindAllStringSubmatch(read(t, "go.mod"), -1)
	if len(direct) < 5 {
		t.Fatalf("found %d direct dependencies in go.mod", len(direct))
	}
	for _, m := range direct {
		if !regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(m[1]) + "` \\|").MatchString(doc) {
			t.Errorf("ARCHITECTURE.md has no row for dependency %s", m[1])
		}
	}
}
