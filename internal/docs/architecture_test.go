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

// firstCells returns the names in the first cells of the rows of a table. A cell may
// have several.
func firstCells(text string) map[string]bool {
	names := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]+`) \\|").FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(row[1], ", ") {
			names[strings.Trim(name, "`")] = true
		}
	}
	return names
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
	named := firstCells(beforeHeading(doc))
	for name := range named {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
			t.Errorf("ARCHITECTURE.md has a row for %s, which does not exist", name)
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
	_, dependencies, _ := strings.Cut(doc, "\n## Dependencies\n")
	described := firstCells(dependencies)
	for _, m := range direct {
		if !described[m[1]] {
			t.Errorf("ARCHITECTURE.md has no row for dependency %s", m[1])
		}
	}
}
