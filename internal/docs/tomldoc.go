package docs

import (
	"fmt"
	"regexp"
	"strings"
)

// tomlTable is a table of a reference configuration, with its comment.
type tomlTable struct {
	name  string // dotted; empty for the keys above all tables
	array bool   // [[name]]
	text  []string
	keys  []tomlKey
}

// tomlKey is a key of a reference configuration, with its comment.
type tomlKey struct {
	name    string
	text    []string // lines of the comment above it, without "# "
	value   string   // TOML literal; empty if the key is only shown as an example
	example string   // literal of the commented-out line; empty: none
	line    int
}

var (
	headerLine = regexp.MustCompile(`^(#?)(\[{1,2})([a-z0-9_.]+)\]{1,2}$`)
	keyLine    = regexp.MustCompile(`^(#?)([a-z0-9_]+) = (.+)$`)
)

// readTOMLDoc reads the comments of a reference configuration. The file's form
// is described in its own head: a comment belongs to the key or table below it,
// "#key = value" is an example, and a second table of the same name is only an
// example of repetition.
func readTOMLDoc(name, data string) ([]tomlTable, error) {
	tables := []tomlTable{{}}
	seen := map[string]bool{}
	var text []string
	skip := false // within a repeated table
	for n, line := range strings.Split(data, "\n") {
		switch {
		case line == "":
			text = nil
		case line == "#" || strings.HasPrefix(line, "# "):
			text = append(text, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
		case headerLine.MatchString(line):
			m := headerLine.FindStringSubmatch(line)
			if skip = seen[m[3]]; !skip {
				tables = append(tables, tomlTable{name: m[3], array: m[2] == "[[", text: text})
				seen[m[3]] = true
			}
			text = nil
		case keyLine.MatchString(line):
			m := keyLine.FindStringSubmatch(line)
			t := &tables[len(tables)-1]
			k := tomlKey{name: m[2], text: text, line: n + 1}
			if last := len(t.keys) - 1; text == nil && last >= 0 && t.keys[last].name == k.name {
				t.keys[last].example = m[3] // a second line of the same key
				continue
			}
			if m[1] == "" {
				k.value = m[3]
			} else {
				k.example = m[3]
			}
			if !skip {
				t.keys = append(t.keys, k)
			}
			text = nil
		default:
			return nil, fmt.Errorf("%s:%d: %q is neither comment, table nor key", name, n+1, line)
		}
	}
	return tables, nil
}

var (
	listItem    = regexp.MustCompile(`^"[^"]+"(?:, "[^"]+")*:  ?`)
	defaultText = regexp.MustCompile(` ?Default: (.+)\.$`)
)

// markdown joins the lines of a comment into paragraphs and lists. A line that
// starts with a quoted value and a colon, and whose next lines are indented, is
// an item of a list.
func markdown(lines []string) string {
	var b strings.Builder
	inList := false
	for i, l := range lines {
		indented := strings.HasPrefix(l, "  ")
		switch {
		case listItem.MatchString(l) && (inList || multiLine(lines[i:])):
			if b.Len() > 0 {
				b.WriteString("\n")
				if !inList {
					b.WriteString("\n")
				}
			}
			inList = true
			b.WriteString("- ")
		case b.Len() > 0 && inList && !indented:
			inList = false
			b.WriteString("\n\n")
		case b.Len() > 0:
			b.WriteString(" ")
		}
		b.WriteString(strings.Join(strings.Fields(l), " "))
	}
	return b.String()
}

// multiLine reports whether the lines begin a list of more than one item.
func multiLine(lines []string) bool {
	for _, l := range lines[1:] {
		if listItem.MatchString(l) {
			return true
		}
		if !strings.HasPrefix(l, "  ") {
			return false
		}
	}
	return false
}
