package nts

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A file that root changes stays readable to its owner.
func TestFileKeepsItsOwner(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("the right to change owners is missing: not root")
	}
	path := filepath.Join(t.TempDir(), "keys")
	now := time.Now()
	r, err := OpenRing(path, RingConfig{}, now.Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path, 1234, 2345); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{"new root": func() error { _, err := r.NewRoot(now, now); return err }, "revoke": func() error { return r.Revoke(now) }} {
		if err := change(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st := fi.Sys().(*syscall.Stat_t); st.Uid != 1234 || st.Gid != 2345 || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: owner %d, group %d, mode %v", name, st.Uid, st.Gid, fi.Mode())
		}
	}
}
