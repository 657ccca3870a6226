package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/command"
	"noonmark/internal/proctest"
)

// make install keeps owner and mode of /etc/noonmark: a node of a fleet has others there
// (docs/fleet.md).
func TestInstallKeepsTheModeOfTheFolder(t *testing.T) {
	t.Parallel()
	proctest.Require(t, "make")
	tree := t.TempDir()
	makefile, err := os.ReadFile(filepath.Join("..", "..", "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	proctest.Write(t, filepath.Join(tree, "Makefile"), string(makefile))
	for _, name := range [...]string{"systemd", "configs"} {
		path, err := filepath.Abs(filepath.Join("..", "..", name))
		if err == nil {
			err = os.Symlink(path, filepath.Join(tree, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range [...]string{"refclockd", "ntsserve", "refclockweb", "refclockctl", "ntsquery"} {
		if err := os.MkdirAll(filepath.Join(tree, "bin"), 0o755); err != nil {
			t.Fatal(err)
		}
		proctest.Write(t, filepath.Join(tree, "bin", name), "")
	}
	for _, mode := range []fs.FileMode{0, fs.ModeSticky | 0o775} { // 0: there is no folder yet
		root := t.TempDir()
		folder, want := filepath.Join(root, "etc", "noonmark"), mode
		if mode == 0 {
			want = 0o755
		} else if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		} else if err := os.Chmod(folder, mode); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("make", "-s", "-C", tree, "install", "DESTDIR="+root).CombinedOutput(); err != nil {
			t.Fatalf("make install: %v\n%s", err, out)
		}
		fi, err := os.Stat(folder)
		if err != nil || fi.Mode() != fs.ModeDir|want {
			t.Errorf("the folder has mode %v (%v), want %v", fi.Mode(), err, want)
		}
		if _, err := os.Stat(filepath.Join(folder, "ntsserve.toml")); err != nil {
			t.Errorf("no configuration was installed: %v", err)
		}
	}
}

// Documents and programs name what a package has, and where it has it.
func TestPackagesHaveWhatDocumentsName(t *testing.T) {
	t.Parallel()
	build := read(t, "packaging/build-deb")
	folders, err := os.ReadDir(filepath.Join("..", "..", "configs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range folders {
		if name := "configs/" + f.Name() + "/"; f.IsDir() && !strings.Contains(build, name) {
			t.Errorf("the package has nothing of %s", name)
		}
	}
	fleet := read(t, "packaging/build-fleet-deb")
	for _, format := range slices.DeleteFunc(command.Formats(), func(f string) bool { return f == "markdown" }) {
		if !strings.Contains(fleet, "-document "+format) {
			t.Errorf("the package of the fleet has no %s", format)
		}
	}
	files, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/roles/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(files, more...) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range [...]string{"bin/refclockctl", "bin/ntsquery", "sbin/refclockd", "sbin/ntsserve", "sbin/refclockweb", "sbin/noonmark-fleet"} {
			if strings.Contains(string(b), "/usr/local/"+p) {
				t.Errorf("%s names /usr/local/%s, which is not where the package has it", f, p)
			}
		}
	}
}
