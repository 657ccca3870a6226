package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// machine is a file system of its own whose files all belong to the test's user,
// by the names of a server.
func machine(t *testing.T) *Machine {
	t.Helper()
	return &Machine{
		Root:     t.TempDir(),
		UserName: func(uint32) string { return "ntsserve" }, GroupName: func(uint32) string { return "ntsserve" },
		UserID:  func(name string) (int, error) { return known(name, os.Getuid()) },
		GroupID: func(name string) (int, error) { return known(name, os.Getgid()) },
	}
}

func known(name string, id int) (int, error) {
	if name != "ntsserve" {
		return 0, errors.New("unknown")
	}
	return id, nil
}

// put writes a file.
func (m *Machine) put(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	full := m.path(name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// packed returns the backup of files.
func packed(t testing.TB, files []File) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(&b, &Backup{Files: files, Enabled: []string{"ntsserve.service", "noonmark-ca-renew.timer"}}, time.Unix(1796000000, 0)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestRestoreGivesBackWhatWasKept(t *testing.T) {
	t.Parallel()
	from := machine(t)
	from.put(t, "/etc/noonmark/ntsserve.toml", "a = 1\n", 0o644)
	from.put(t, "/etc/noonmark/tls/server.key", "secret", 0o600)
	from.put(t, "/etc/noonmark/empty", "", 0o640)
	from.put(t, "/etc/noonmark/alert.toml", "password = 1\n", 0o640)
	from.put(t, "/etc/systemd/system/refclockweb.service.d/mine.conf", "[Service]\nNice=1\n", 0o644)
	from.put(t, "/etc/systemd/system/noonmark-alert.service.d/mine.conf", "[Service]\nNice=2\n", 0o644)
	from.put(t, "/etc/systemd/system/noonmark-ca-renew.timer", "[Timer]\n", 0o644)
	from.put(t, "/etc/systemd/system/noonmark-ca-renew.service", "[Service]\n", 0o644)
	from.put(t, "/etc/systemd/system/other.service", "of others\n", 0o644)
	from.put(t, "/var/lib/noonmark/setup.json", "{}", 0o600)
	from.put(t, "/var/lib/refclock/eth0", "learned", 0o600)
	from.put(t, "/var/lib/refclock/recording/day", "large", 0o600)
	from.put(t, "/var/lib/ntsserve/acme/account.key", "acme", 0o600)
	from.put(t, "/var/lib/refclockweb/acme/account.key", "of the page", 0o600)
	// A node of a fleet: its agent may add files, and must not replace those of root.
	if err := os.Chmod(from.path("/etc/noonmark"), 0o775|fs.ModeSticky); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", from.path("/etc/noonmark/link")); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []string{"multi-user.target.wants/ntsserve.service", "timers.target.wants/noonmark-ca-renew.timer", "timers.target.wants/other.timer"} {
		link := from.path("/etc/systemd/system/" + wanted)
		if err := errors.Join(os.MkdirAll(filepath.Dir(link), 0o755), os.Symlink("../any", link)); err != nil {
			t.Fatal(err)
		}
	}
	kept, skipped, err := from.Read()
	if err != nil {
		t.Fatal(err)
	}
	files := kept.Files
	if slices.ContainsFunc(files, func(f File) bool { return strings.Contains(f.Name, "other") }) || len(files) < 14 {
		t.Errorf("kept %d files: %+v", len(files), files)
	}
	if want := []string{"/etc/noonmark/link: not a regular file", "/var/lib/refclock/recording: a directory"}; !slices.Equal(skipped, want) {
		t.Errorf("left out %q, want %q", skipped, want)
	}
	unpacked, err := Unpack(bytes.NewReader(packed(t, files)))
	if err != nil || !reflect.DeepEqual(unpacked, kept) {
		t.Fatalf("%v\n%+v\nwant\n%+v", err, unpacked, kept)
	}
	got := unpacked.Files
	to := machine(t)
	if d := to.Differing(got); d != nil {
		t.Errorf("an empty machine has other contents: %q", d)
	}
	if err := to.Write(got); err != nil {
		t.Fatal(err)
	}
	again, _, err := to.Read()
	if err != nil || !reflect.DeepEqual(again.Files, files) || again.Enabled != nil {
		t.Errorf("%v\n%+v\nwant\n%+v", err, again, files)
	}
	if fi, err := os.Stat(to.path("/etc/noonmark")); err != nil || fi.Mode() != fs.ModeDir|fs.ModeSticky|0o775 {
		t.Errorf("/etc/noonmark: %v, %v", fi.Mode(), err)
	}
	to.put(t, "/etc/noonmark/ntsserve.toml", "a = 2\n", 0o644)
	if d := to.Differing(got); !slices.Equal(d, []string{"/etc/noonmark/ntsserve.toml"}) {
		t.Errorf("differing: %q", d)
	}
}

func TestNothingIsWrittenForAnUnknownOwnerOrThroughALink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file File
		want string
	}{
		{File{Name: "/etc/noonmark/a", User: "stranger", Group: "ntsserve", Data: []byte{1}}, "user \"stranger\", who does not exist"},
		{File{Name: "/etc/noonmark/a", User: "ntsserve", Group: "stranger", Data: []byte{1}}, "group \"stranger\", which does not exist"},
		{File{Name: "/etc/noonmark/tls/a", User: "ntsserve", Group: "ntsserve", Data: []byte{1}}, "/etc/noonmark/tls is a symbolic link"},
	} {
		m, outside := machine(t), t.TempDir()
		if err := errors.Join(os.MkdirAll(m.path("/etc/noonmark"), 0o755), os.Symlink(outside, m.path("/etc/noonmark/tls"))); err != nil {
			t.Fatal(err)
		}
		first := File{Name: "/etc/noonmark/first", User: "ntsserve", Group: "ntsserve", Data: []byte{1}}
		if err := m.Write([]File{first, c.file}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
		if e, _ := os.ReadDir(outside); len(e) > 0 {
			t.Errorf("%q was written through a link", e)
		}
		if _, err := os.Stat(m.path(first.Name)); err == nil && strings.Contains(c.want, "does not exist") {
			t.Error("a file was written before the owners of all were known")
		}
	}
}

// archive makes a tar archive with the entries, compressed.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range entries {
		size := h.Size
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// holes makes the archive of a backup of n files with so many octets each, which are all holes.
func holes(t testing.TB, n, octets int) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	errs := []error{w.WriteHeader(&tar.Header{Name: firstName, Typeflag: tar.TypeReg})}
	for i := range n {
		size := strconv.Itoa(octets)
		errs = append(errs, w.WriteHeader(&tar.Header{Name: "etc/noonmark/" + strconv.Itoa(i), Typeflag: tar.TypeReg, Format: tar.FormatPAX, PAXRecords: map[string]string{
			"XXX.sparse.size": size, "XXX.sparse.numblocks": "1", "XXX.sparse.map": size + ",0"}}))
	}
	if err := errors.Join(append(errs, w.Close())...); err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(b.Bytes(), []byte("XXX.sparse."), []byte("GNU.sparse.")) // that the writer does not write
}

// The sum of all files is limited, and not only what the archive has of them.
func TestHolesOfFilesCount(t *testing.T) {
	t.Parallel()
	const most = MaxTotal / MaxFile
	b, err := readArchive(bytes.NewReader(holes(t, most, MaxFile)))
	if err != nil || len(b.Files) != most || len(b.Files[0].Data) != MaxFile {
		t.Fatalf("the archive has no holes: %v", err)
	}
	if _, err := readArchive(bytes.NewReader(holes(t, most+1, MaxFile))); !errors.Is(err, ErrNoBackup) {
		t.Errorf("more than %d octets in all: %v", MaxTotal, err)
	}
}

func TestWhatIsNoBackupIsRefused(t *testing.T) {
	t.Parallel()
	good := packed(t, []File{{Name: "/etc/noonmark/a", Data: []byte("x")}})
	damaged := slices.Clone(good)
	damaged[len(damaged)-6]++ // the checksum
	first := tar.Header{Name: firstName, Typeflag: tar.TypeReg}
	for name, data := range map[string][]byte{
		"empty":            nil,
		"text":             []byte("hello"),
		"truncated":        good[:len(good)-20],
		"damaged":          damaged,
		"another archive":  archive(t, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeReg}),
		"outside":          archive(t, first, tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg}),
		"upwards":          archive(t, first, tar.Header{Name: "etc/noonmark/../passwd", Typeflag: tar.TypeReg}),
		"absolute":         archive(t, first, tar.Header{Name: "/etc/noonmark/a", Typeflag: tar.TypeReg}),
		"a link":           archive(t, first, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"a hard link":      archive(t, first, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeLink, Linkname: "etc/passwd"}),
		"a device":         archive(t, first, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeChar}),
		"twice":            archive(t, first, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeReg}, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeReg}),
		"too deep":         archive(t, first, tar.Header{Name: "var/lib/refclock/a/b", Typeflag: tar.TypeReg}),
		"a strange unit":   archive(t, first, tar.Header{Name: unitsName, Typeflag: tar.TypeReg, Size: 1}),
		"units twice":      archive(t, first, tar.Header{Name: unitsName, Typeflag: tar.TypeReg}, tar.Header{Name: unitsName, Typeflag: tar.TypeReg}),
		"a unit of others": archive(t, first, tar.Header{Name: "etc/systemd/system/ssh.service", Typeflag: tar.TypeReg}),
		"a large file":     archive(t, first, tar.Header{Name: "etc/noonmark/a", Typeflag: tar.TypeReg, Size: MaxFile + 1}),
	} {
		if files, err := Unpack(bytes.NewReader(data)); !errors.Is(err, ErrNoBackup) || files != nil {
			t.Errorf("%s: %v, %v", name, files, err)
		}
	}
}

// FuzzUnpack: no panic, and what is accepted stays in its places and limits. Inputs without
// the magic number of gzip are the archive inside: a changed octet of a compressed one
// hardly ever leads further than to its checksum.
func FuzzUnpack(f *testing.F) {
	whole := packed(f, []File{{Name: "/etc/noonmark", Mode: 0o755}, {Name: "/etc/noonmark/a", Data: []byte("x"), User: "root"}})
	z, err := gzip.NewReader(bytes.NewReader(whole))
	if err != nil {
		f.Fatal(err)
	}
	inside, err := io.ReadAll(z)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(archive(f, tar.Header{Name: firstName, Typeflag: tar.TypeReg}))
	f.Add(inside)
	f.Add(holes(f, 1, 1000))
	f.Fuzz(func(t *testing.T, data []byte) {
		unpack := readArchive
		if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
			unpack = Unpack
		}
		b, err := unpack(bytes.NewReader(data))
		if err != nil {
			return
		}
		total := 0
		for _, x := range b.Files {
			if total += len(x.Data); !Contains(x.Name) && !slices.Contains(Places(), x.Name) {
				t.Errorf("%q", x.Name)
			}
		}
		if total > MaxTotal || len(b.Files) > MaxFiles {
			t.Errorf("%d files with %d octets", len(b.Files), total)
		}
	})
}
