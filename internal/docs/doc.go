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

// Tree is where documents are made from.
type Tree struct {
	Root    string                                     // of the tree
	Program func(name string) (path string, err error) // one of the programs, built
}

// generators make the documents from the tree.
var generators = [...]struct {
	path string
	make func(t Tree) (string, error)
}{
	{"docs/reference-commands.md", commandReference},
	{"docs/reference-configuration.md", ofRoot(configurationReference)},
	{"configs/schema/refclockd.schema.json", configurationSchema("refclockd")},
	{"configs/schema/ntsserve.schema.json", configurationSchema("ntsserve")},
	{"configs/schema/refclockweb.schema.json", configurationSchema("refclockweb")},
	{"configs/schema/alert.schema.json", configurationSchema("alert")},
	{"docs/reference-metrics.md", ofRoot(metricsReference)},
	{"docs/reference-reasons.md", ofRoot(reasonsReference)},
	{"docs/reference-faults.md", ofRoot(faultReference)},
	{"docs/troubleshooting.md", ofRoot(troubleshooting)},
}

// ofRoot is a generator that needs no programs.
func ofRoot(f func(root string) (string, error)) func(Tree) (string, error) {
	return func(t Tree) (string, error) { return f(t.Root) }
}

// Generate returns all generated documents of the tree.
func Generate(t Tree) ([]Page, error) {
	var pages []Page
	for _, g := range generators {
		text, err := g.make(t)
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", g.path, err)
		}
		pages = append(pages, Page{g.path, text})
	}
	return pages, nil
}

// Write writes all generated documents into the tree and returns the paths of those
// that changed.
func Write(t Tree) (changed []string, err error) {
	pages, err := Generate(t)
	if err != nil {
		return nil, err
	}
	for _, p := range pages {
		path := filepath.Join(t.Root, filepath.FromSlash(p.Path))
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
