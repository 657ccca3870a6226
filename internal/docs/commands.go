package docs

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Programs returns the names of all programs: the folders of cmd.
func Programs(root string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(root, "cmd"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// document returns what a program prints for -document.
func (t Tree) document(name, format string) (string, error) {
	path, err := t.Program(name)
	if err != nil {
		return "", err
	}
	out, err := exec.Command(path, "-document", format).Output()
	if err != nil {
		return "", fmt.Errorf("%s -document %s: %w", name, format, err)
	}
	return string(out), nil
}

// commandReference makes docs/reference-commands.md from what the programs print.
func commandReference(t Tree) (string, error) {
	names, err := Programs(t.Root)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(notice("the programs' own descriptions (`-document markdown`)"))
	b.WriteString(`# Command reference

Every program with its commands, flags and exit codes. The same texts are what ` + "`-h`" + ` prints and what the manual pages
have. Flags may begin with one or two hyphens, and stand before, between and behind other arguments.

`)
	for _, name := range names {
		text, err := t.document(name, "markdown")
		if err != nil {
			return "", err
		}
		b.WriteString(text + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}
