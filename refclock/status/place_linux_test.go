package status

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, readOnce)) }

// readOnce is the program of other processes in these tests: it reads the
// snapshot that it is given, and prints what is wrong.
func readOnce() int {
	r, err := Open(os.Args[1])
	if err == nil {
		defer r.Close()
		var s Snapshot
		r.clocks = fullTime // a shift of the clocks is refused by the namespace, not by its size
		err = r.Load(&s)
	}
	fmt.Println(err)
	return 0
}

// Whatever lies in the place of a snapshot is refused at once, by its name: for
// readers and for the writer.
func TestOtherThingsInPlaceOfTheFileAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		put  func(path string) error
		name string
	}{
		{"named pipe", func(p string) error { return syscall.Mkfifo(p, 0o644) }, "named pipe"},
		{"directory", func(p string) error { return os.Mkdir(p, 0o755) }, "directory"},
		{"socket", func(p string) error {
			fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			t.Cleanup(func() { syscall.Close(fd) })
			return syscall.Bind(fd, &syscall.SockaddrUnix{Name: p})
		}, "socket"},
		{"link to a file", func(p string) error {
			if err := os.WriteFile(p+".victim", make([]byte, Size), 0o644); err != nil {
				return err
			}
			return os.Symlink(p+".victim", p)
		}, "symbolic link"},
		{"link to nothing", func(p string) error { return os.Symlink(p+".victim", p) }, "symbolic link"},
		{"device", func(p string) error { return unix.Mknod(p, unix.S_IFCHR|0o600, 1<<8|3) }, "device"},
	} {
		path := filepath.Join(proctest.ShortDir(t), "status")
		if err := c.put(path); errors.Is(err, fs.ErrPermission) {
			continue // a device needs root
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrNotFile) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s is opened for reading: %v", c.what, err)
		}
		if w, err := Create(path); !errors.Is(err, ErrNotFile) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s is opened for writing: %v", c.what, err)
			if err == nil {
				w.Close()
			}
		}
		if _, err := os.Lstat(path); err != nil {
			t.Errorf("%s is gone: %v", c.what, err)
		}
	}
}

// Other users read the snapshot, whatever the umask of the writer is. Not parallel: the
// umask is that of the whole process.
func TestEverybodyReadsTheSnapshotWhateverTheUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	path := filepath.Join(proctest.ShortDir(t), "status")
	for _, left := range []fs.FileMode{0, 0o600, 0o644} { // by an earlier writer; 0: nothing
		if left != 0 {
			if err := os.Chmod(path, left); err != nil {
				t.Fatal(err)
			}
		}
		w, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
		if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o644 {
			t.Errorf("after a file of mode %v: %v, %v; want 0644", left, fi.Mode(), err)
		}
	}
}

// Truncated, removed or replaced under reader and writer, the file costs one
// snapshot and no process.
func TestTheWriterMakesALostFileAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	s := full()
	publish(t, w, &s)
	r := open(t, path)
	for _, c := range []struct {
		what string
		do   func() error
		want error // of a reader that has the file open
	}{
		{"truncated to nothing", func() error { return os.Truncate(path, 0) }, ErrNone},
		{"truncated in the middle", func() error { return os.Truncate(path, 200) }, ErrNone},
		{"overwritten with zeros", func() error { return os.WriteFile(path, make([]byte, Size), 0o644) }, ErrNone},
		{"removed", func() error { return os.Remove(path) }, nil},
		{"replaced by another file", func() error { return os.Rename(proctest.Write(t, path+".x", strings.Repeat("x", Size)), path) }, nil},
	} {
		if err := c.do(); err != nil {
			t.Fatal(err)
		}
		if err := r.Load(&s); err != c.want {
			t.Errorf("%s: the reader says %v, want %v", c.what, err, c.want)
		}
		s := full()
		for range lookEvery {
			publish(t, w, &s)
		}
		if r.Replaced() {
			r = open(t, path)
		}
		var got Snapshot
		if err := r.LoadAll(&got); err != nil || got != s {
			t.Errorf("%s, after the next snapshot: %v, %+v", c.what, err, got)
		}
	}
	// What cannot be replaced is an error that names it, until it is gone.
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o755)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range lookEvery {
		err = errors.Join(err, w.Write(&s))
	}
	if !errors.Is(err, ErrNotFile) {
		t.Errorf("a directory in its place: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	publish(t, w, &s)
	if err := open(t, path).Load(&s); err != nil {
		t.Error(err)
	}
}

// A folder in which another user can replace files is refused: root would write
// where that user wants.
func TestDirectoryOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	proctest.RequireRoot(t, "a folder is given to another user")
	const another = 65534
	for _, c := range []struct {
		what string
		make func(dir string) error
		say  string
	}{
		{"folder of another user", func(d string) error { return errors.Join(os.Mkdir(d, 0o755), os.Chown(d, another, another)) }, "belongs to user 65534"},
		{"folder that all may write to", func(d string) error { return errors.Join(os.Mkdir(d, 0o777), os.Chmod(d, 0o777)) }, "every user may write"},
		{"another user's link to our folder", func(d string) error {
			return errors.Join(os.Mkdir(d+".ours", 0o755), os.Symlink(d+".ours", d), os.Lchown(d, another, another))
		}, "belongs to user 65534"},
		{"another user's file in our folder", func(d string) error {
			return errors.Join(os.Mkdir(d, 0o755), os.WriteFile(d+"/status", nil, 0o644), os.Chown(d+"/status", another, another))
		}, "belongs to user 65534"},
		{"our link to our folder", func(d string) error { return errors.Join(os.Mkdir(d+".ours", 0o755), os.Symlink(d+".ours", d)) }, ""},
		{"folder for all, with the sticky bit", func(d string) error { return errors.Join(os.Mkdir(d, 0o755), os.Chmod(d, 0o777|fs.ModeSticky)) }, ""},
	} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := c.make(dir); err != nil {
			t.Fatal(err)
		}
		w, err := Create(filepath.Join(dir, "status"))
		if (err == nil) != (c.say == "") || err != nil && !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v, want %q", c.what, err, c.say)
		}
		if err == nil {
			w.Close()
		}
	}
}

// A full disc is named, and leaves no file without space behind: a program that
// maps such a file dies of it.
func TestFullDiscIsNamedAndLeavesNoHole(t *testing.T) {
	disc := proctest.NewSmallDisc(t, 64<<10)
	disc.Fill()
	path := filepath.Join(disc.Dir, "status")
	if w, err := Create(path); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "the file system is full") {
		t.Errorf("created: %v", err)
		if err == nil {
			w.Close()
		}
	}
	if _, err := os.Lstat(path); err == nil {
		t.Error("a file without space stays behind")
	}
	disc.Free()
	w := create(t, path)
	s := full()
	publish(t, w, &s)
	// Full again, and truncated: there is no snapshot until there is room.
	disc.Fill()
	publish(t, w, &s) // its space is its own
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	disc.Fill()
	if err := w.Write(&s); !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "full") {
		t.Errorf("written to a full file system: %v", err)
	}
	if _, err := Open(path); !errors.Is(err, ErrNone) {
		t.Errorf("opened: %v", err)
	}
	disc.Free()
	publish(t, w, &s)
	if err := open(t, path).Load(&s); err != nil {
		t.Error(err)
	}
}

// A container has a boot identifier of its own and the clocks of its machine. A
// file in memory is from this boot.
func TestFileInMemoryNeedsNoBootIdentifier(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("/dev/shm", "noonmark")
	if err != nil {
		t.Skip("a file system in memory is missing: ", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "status")
	w := create(t, path)
	w.m[wBoot]++
	s := full()
	publish(t, w, &s)
	r := open(t, path)
	if !r.id.volatile {
		t.Skip("/dev/shm is on a disc")
	}
	if err := r.Load(&s); err != nil {
		t.Error(err)
	}
	r.id.volatile = false
	if err := r.Load(&s); err != ErrOldBoot {
		t.Errorf("on a disc: %v", err)
	}
}

// A process in another time namespace refuses, whatever the sign and the size of
// the shift. Both ways are tried: the reader's clocks are shifted, or the writer's.
func TestOtherTimeNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	unshare := proctest.Require(t, "unshare")
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	s := full()
	publish(t, w, &s)
	read := func(shift string) (string, error) {
		self := proctest.Self(t, path)
		args := []string{"--time", "--boottime", "0", "--monotonic", shift, "--fork"}
		if os.Geteuid() != 0 {
			args = append(args, "--user", "--map-root-user")
		}
		cmd := exec.Command(unshare, append(args, self.Args...)...)
		cmd.Env = self.Env
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	if out, err := read("0"); err != nil {
		t.Skipf("time namespaces are missing: %v: %s", err, out)
	} else if out != "<nil>" {
		t.Errorf("another namespace with the same clocks: %s", out)
	}
	for _, shift := range []string{"1000", "1", "-1", "86400000"} {
		if out, err := read(shift); err != nil || out != ErrOtherClock.Error() {
			t.Errorf("the reader is shifted by %s s: %s, %v", shift, out, err)
		}
	}
	w.id = clockID{space: 1, shift: 1} // the writer is in another one, a nanosecond ahead
	publish(t, w, &s)
	if out, err := read("0"); err != nil || out != ErrOtherClock.Error() {
		t.Errorf("the writer is shifted: %s, %v", out, err)
	}
	if err := open(t, path).Load(&s); err != ErrOtherClock {
		t.Errorf("the writer is shifted: %v", err)
	}
}

func TestShiftOfANamespace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"monotonic           0         0\nboottime            0         0\n": 0,
		"monotonic        1000         5\nboottime            7         0\n": 1000e9 + 5,
		"monotonic          -2 999999999\nboottime            0         0\n": -1000000001,
		"1 3 4\n7 0 0\n":  3e9 + 4,
		"boottime 0 0\n":  unknownShift,
		"monotonic x 0\n": unknownShift,
		"":                unknownShift,
	} {
		if got := shiftOf(proctest.Write(t, filepath.Join(t.TempDir(), "offsets"), text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	if shiftOf("/nonexistent") != unknownShift {
		t.Error("a missing file has a shift")
	}
	for _, c := range []struct {
		a, b clockID
		same bool
	}{
		{clockID{1, unknownShift}, clockID{2, unknownShift}, false},
		{clockID{1, 1}, clockID{2, 2}, false},
		{clockID{}, clockID{2, 2}, false},
		{clockID{1, 1}, clockID{2, 1}, true},
		{clockID{1, unknownShift}, clockID{1, unknownShift}, true},
		{clockID{}, clockID{}, true},
		{clockID{}, clockID{2, 0}, true},
	} {
		if c.a.same(c.b) != c.same || c.b.same(c.a) != c.same {
			t.Errorf("%+v and %+v: want %v", c.a, c.b, c.same)
		}
	}
}
