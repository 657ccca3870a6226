package docs

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

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
