package docs

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

func TestManualPagesAndCompletionsOfEveryProgram(t *testing.T) {
	dir := t.TempDir()
	tree := Tree{Root: root, Program: func(name string) (string, error) { return program(t, name), nil }}
	paths, err := WriteShare(tree, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"man/man5/refclockd.toml.5", "man/man5/ntsserve.toml.5"}
	for _, name := range programs(t) {
		section := "8"
		if name == "refclockctl" || name == "ntsquery" {
			section = "1"
		}
		want = append(want, "man/man"+section+"/"+name+"."+section, "bash-completion/completions/"+name, "zsh/vendor-completions/_"+name, "fish/vendor_completions.d/"+name+".fish")
	}
	for _, w := range want {
		if !slices.Contains(paths, w) {
			t.Errorf("there is no %s", w)
		}
	}
	t.Run("mandoc", func(t *testing.T) {
		mandoc, err := exec.LookPath("mandoc")
		if err != nil {
			t.Skip("mandoc is not installed")
		}
		for _, p := range paths {
			if strings.HasPrefix(p, "man/") {
				if out, errs, code := proctest.Run(t, mandoc, "-Tlint", "-Wstyle", filepath.Join(dir, p)); code != 0 {
					t.Errorf("%s%s", out, errs)
				}
			}
		}
	})
}

func TestPageWithoutTitleIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", ".TH X 3 2026-11-28\n", "text\n"} {
		if s, err := sectionOf(bad); err == nil {
			t.Errorf("%q is a page of section %s", bad, s)
		}
	}
}
