// Package docs makes the reference documents in docs/ from the code and the
// reference configuration, and tests the documents: what they name exists, and
// the generated ones are current.
//
// The command generate in this package's folder writes the documents (make
// docs).
package docs

import (
	"fmt"
	"os"
	"path/filepath"
)

// Page is one generated document.
type Page struct {
	Path string // below the root of the tree, slash-separated
	Text string
}

// generators make the documents from the tree whose root they are given.
var generators = [...]struct {
	path string
	make func(root string) (string, error)
}{
	{"docs/reference-configuration.md", configurationReference},
	{"docs/reference-metrics.md", metricsReference},
	{"docs/reference-reasons.md", reasonsReference},
	{"docs/reference-faults.md", faultReference},
	{"docs/troubleshooting.md", troubleshooting},
}

// Generate returns all generated documents for the tree at root.
func Generate(root string) ([]Page, error) {
	var pages []Page
	for _, g := range generators {
		text, err := g.make(root)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", g.path, err)
		}
		pages = append(pages, Page{g.path, text})
	}
	return pages, nil
}

// Write writes all generated documents into the tree at root and returns the
// paths of those that changed.
func Write(root string) (changed []string, err error) {
	pages, err := Generate(root)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		path := filepath.Join(root, filepath.FromSlash(p.Path))
		if old, err := os.ReadFile(path); err == nil && string(old) == p.Text {
			continue
		}
		if err := os.WriteFile(path, []byte(p.Text), 0o644); err != nil {
			return changed, err
		}
		changed = append(changed, p.Path)
	}
	return changed, nil
}

// notice is the first line of a generated document.
func notice(source string) string {
	return "<!-- Written by `make docs` from " + source + ". Do not edit. -->\n\n"
}
