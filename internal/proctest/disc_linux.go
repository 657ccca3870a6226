package proctest

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

// SmallDisc is a file system of a test's own, which the test can fill.
type SmallDisc struct {
	Dir string

	t      testing.TB
	octets int
}

// NewSmallDisc mounts a file system with room for so many octets until the test ends.
// The calling goroutine stays on its thread, which has mounts of its own: others do not
// see the file system, programs that it starts do. The test is skipped where that is not
// permitted.
func NewSmallDisc(t testing.TB, octets int) *SmallDisc {
	t.Helper()
	RequireRoot(t, "a file system of the test's own is mounted")
	runtime.LockOSThread() // and never unlocked: the thread ends with the test
	if err := errors.Join(syscall.Unshare(syscall.CLONE_NEWNS), syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")); err != nil {
		t.Skip("a mount namespace is missing: ", err)
	}
	d := &SmallDisc{Dir: t.TempDir(), t: t, octets: octets}
	if err := syscall.Mount("none", d.Dir, "tmpfs", 0, "mode=755,size="+strconv.Itoa(octets)); err != nil {
		t.Skip("tmpfs is missing: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(d.Dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *SmallDisc) filler() string { return filepath.Join(d.Dir, "fill") }

// Fill leaves no room.
func (d *SmallDisc) Fill() {
	d.t.Helper()
	if err := os.WriteFile(d.filler(), make([]byte, d.octets+1), 0o600); !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatalf("the file system takes too much: %v", err)
	}
}

// Free undoes Fill.
func (d *SmallDisc) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler()); err != nil {
		d.t.Fatal(err)
	}
}
