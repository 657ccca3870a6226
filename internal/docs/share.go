package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// WriteShare writes the manual pages and the completions of all programs below a
// folder, in the places where Debian has them below /usr/share, and returns their
// paths below the folder.
func WriteShare(t Tree, dir string) (paths []string, err error) {
	write := func(path, text string) {
		full := filepath.Join(dir, filepath.FromSlash(path))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(full), 0o755)
		}
		if err == nil {
			err = os.WriteFile(full, []byte(text), 0o644)
		}
		paths = append(paths, path)
	}
	names, err := Programs(t.Root)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		text := map[string]string{}
		for _, format := range [...]string{"man", "bash", "zsh", "fish"} {
			if text[format], err = t.document(name, format); err != nil {
				return nil, err
			}
		}
		section, err := sectionOf(text["man"])
		if err != nil {
			return nil, fmt.Errorf("manual page of %s: %w", name, err)
		}
		write("man/man"+section+"/"+name+"."+section, text["man"])
		write("bash-completion/completions/"+name, text["bash"])
		write("zsh/vendor-completions/_"+name, text["zsh"])
		write("fish/vendor_completions.d/"+name+".fish", text["fish"])
	}
	for _, d := range daemonConfigs() {
		text, merr := configurationManual(t.Root, &d)
		if merr != nil {
			return nil, merr
		}
		write("man/man5/"+d.name+".toml.5", text)
	}
	return paths, err
}

var pageTitle = regexp.MustCompile(`(?m)^\.TH [A-Z0-9.-]+ ([158]) `)

// sectionOf returns the section of a manual page.
func sectionOf(page string) (string, error) {
	m := pageTitle.FindStringSubmatch(page)
	if m == nil {
		return "", fmt.Errorf("it has no title of section 1, 5 or 8")
	}
	return m[1], nil
}
