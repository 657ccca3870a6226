// Package backup keeps what makes a machine this time server in one file, and
// restores it: configuration, certificates, keys and what was learned of the
// oscillators.
package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"noonmark/internal/durable"
)

// Limits of what is kept. A configuration with certificates and keys has some ten
// files of some kB; the limits bound the memory of a restore.
const (
	MaxFile  = 16 << 20 // octets of one file
	MaxTotal = 64 << 20 // octets of all files
	MaxFiles = 10000
)

// place is a directory whose files are kept.
type place struct {
	dir  string
	deep bool // directories below it too
}

// places are all of them. Directories below refclockd's state are recordings and
// histories, which are not needed to serve time and can be large.
var places = []place{
	{"/etc/noonmark", true},
	{"/etc/systemd/system/refclockd.service.d", true},
	{"/etc/systemd/system/ntsserve.service.d", true},
	{"/etc/systemd/system/refclockweb.service.d", true},
	{"/etc/systemd/system/noonmark-alert.service.d", true},
	{"/var/lib/noonmark", false}, // what refclockctl setup -undo needs
	{"/var/lib/refclock", false},
	{"/var/lib/ntsserve", true},
	{"/var/lib/refclockweb", true},
}

// single are files in directories that have those of others too: the units that setup writes.
var single = []string{"/etc/systemd/system/noonmark-ca-renew.service", "/etc/systemd/system/noonmark-ca-renew.timer"}

// units are those that an operator enables, or setup does.
var units = []string{"refclockd.service", "ntsserve.service", "refclockweb.service", "noonmark-alert.service", "refclockd-wait.service", "noonmark-ca-renew.timer"}

// Places returns the directories whose files are kept.
func Places() []string {
	list := make([]string, len(places))
	for i, p := range places {
		list[i] = p.dir
	}
	return list
}

// Contains reports whether a file of that name would be kept.
func Contains(name string) bool {
	name = path.Clean(name)
	return slices.Contains(single, name) || slices.ContainsFunc(places, func(p place) bool {
		rest, ok := strings.CutPrefix(name, p.dir+"/")
		return ok && rest != "" && (p.deep || !strings.Contains(rest, "/"))
	})
}

// Machine is the file system with its users. The zero value is this machine.
type Machine struct {
	Root string // what all names are below, for tests
	// Names of users and groups, and back; nil: those of the system.
	UserName, GroupName func(id uint32) string
	UserID, GroupID     func(name string) (int, error)
}

// ErrNoBackup is wrapped by the error of a file that is no backup, or a damaged one.
var ErrNoBackup = errors.New("not a backup of refclockctl")

// Names of the first entry, which says what the file is, and of that with the units that are enabled,
// one a line.
const (
	firstName = "noonmark-backup-1"
	unitsName = "noonmark-units"
)

// Backup is what is kept of a machine.
type Backup struct {
	Files   []File
	Enabled []string // units that start at a boot
}

// File is one file or directory of a backup.
type File struct {
	Name        string      // absolute
	Mode        fs.FileMode // permissions; of a directory also what kept has
	User, Group string
	Data        []byte // nil: a directory
}

// Read collects the files of the machine, and which units it has enabled. A symbolic
// link, a device or a pipe is left out and named in skipped.
func (m *Machine) Read() (b *Backup, skipped []string, err error) {
	b = &Backup{Enabled: m.enabled()}
	total, from := 0, slices.Clone(places)
	for _, name := range single {
		from = append(from, place{dir: name})
	}
	for _, p := range from {
		err := filepath.WalkDir(m.path(p.dir), func(full string, d fs.DirEntry, err error) error {
			name := m.name(full)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				return nil
			case err != nil:
				return err
			case d.IsDir() && name != p.dir && !p.deep:
				skipped = append(skipped, name+": a directory")
				return fs.SkipDir
			case !d.IsDir() && !d.Type().IsRegular():
				skipped = append(skipped, name+": not a regular file")
				return nil
			}
			f, err := m.file(full, d.IsDir())
			if err != nil {
				return err
			}
			total += len(f.Data)
			if b.Files = append(b.Files, f); total > MaxTotal || len(b.Files) > MaxFiles {
				return fmt.Errorf("%s: more than %d MB or %d files; remove what does not belong to Noonmark", p.dir, MaxTotal>>20, MaxFiles)
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	return b, skipped, nil
}

// enabled returns the units that a target wants at a boot.
func (m *Machine) enabled() (list []string) {
	for _, u := range units {
		for _, target := range [...]string{"multi-user", "timers"} {
			if _, err := os.Lstat(m.path("/etc/systemd/system/" + target + ".target.wants/" + u)); err == nil {
				list = append(list, u)
			}
		}
	}
	return list
}

// file reads one file or directory.
func (m *Machine) file(full string, isDir bool) (File, error) {
	fi, err := os.Lstat(full)
	if err != nil {
		return File{}, err
	}
	f := File{Name: m.name(full), Mode: kept(fi.Mode(), isDir)}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		f.User, f.Group = m.userName(st.Uid), m.groupName(st.Gid)
	}
	if isDir {
		return f, nil
	}
	if fi.Size() > MaxFile {
		return f, fmt.Errorf("%s: %d MB are more than a file of Noonmark has; move it elsewhere", f.Name, fi.Size()>>20)
	}
	r, _, err := durable.Open(full)
	if err != nil {
		return f, err
	}
	defer r.Close()
	f.Data, err = io.ReadAll(io.LimitReader(r, MaxFile))
	if f.Data == nil {
		f.Data = []byte{}
	}
	return f, err
}

// kept are the bits of a mode that a backup has. The sticky bit of a directory keeps its members
// from replacing each other's files, as in /etc/noonmark of a fleet's node. No file runs with
// the rights of another user.
func kept(mode fs.FileMode, isDir bool) fs.FileMode {
	if isDir {
		return mode & (fs.ModePerm | fs.ModeSticky | fs.ModeSetgid)
	}
	return mode.Perm()
}

// tarMode returns a mode as an archive has it: tar(5) numbers bits as chmod(2).
func tarMode(mode fs.FileMode) int64 {
	m := int64(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		m |= 0o1000
	}
	if mode&fs.ModeSetgid != 0 {
		m |= 0o2000
	}
	return m
}

// Pack writes a backup: a tar archive, compressed with gzip.
func Pack(w io.Writer, b *Backup, now time.Time) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	add := func(h *tar.Header, data []byte) error {
		h.Format, h.ModTime, h.Size = tar.FormatPAX, now.Truncate(time.Second), int64(len(data))
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	if err := add(&tar.Header{Name: firstName, Typeflag: tar.TypeReg, Mode: 0o600}, nil); err != nil {
		return err
	}
	if err := add(&tar.Header{Name: unitsName, Typeflag: tar.TypeReg, Mode: 0o600}, []byte(strings.Join(b.Enabled, "\n"))); err != nil {
		return err
	}
	for _, f := range b.Files {
		h := &tar.Header{Name: strings.TrimPrefix(f.Name, "/"), Typeflag: tar.TypeReg, Mode: tarMode(f.Mode), Uname: f.User, Gname: f.Group}
		if f.Data == nil {
			h.Typeflag, h.Name = tar.TypeDir, h.Name+"/"
		}
		if err := add(h, f.Data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// Unpack reads a whole backup and checks it. Nothing of a backup that it refuses
// may be used.
func Unpack(r io.Reader) (*Backup, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, bad("%w", err)
	}
	return readArchive(z)
}

// bad is the error of a file that is no backup.
func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrNoBackup, fmt.Errorf(format, args...))
}

// readArchive is Unpack for the archive without its compression.
func readArchive(r io.Reader) (*Backup, error) {
	all := io.LimitReader(r, MaxTotal+MaxFiles*4<<10) // the headers too
	t := tar.NewReader(all)
	if h, err := t.Next(); err != nil || h.Name != firstName {
		return nil, bad("its first entry is not %s", firstName)
	}
	b, total := &Backup{}, 0
	for {
		h, err := t.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, bad("%w", err)
		}
		if h.Name == unitsName && h.Typeflag == tar.TypeReg && b.Enabled == nil && h.Size <= MaxFile {
			if b.Enabled, err = readUnits(t); err != nil {
				return nil, bad("%s: %w", unitsName, err)
			}
			continue
		}
		name := "/" + strings.TrimSuffix(h.Name, "/")
		f := File{Name: name, Mode: kept(h.FileInfo().Mode(), h.Typeflag == tar.TypeDir), User: h.Uname, Group: h.Gname}
		switch {
		case path.Clean(name) != name || !Contains(name) && !slices.Contains(Places(), name):
			return nil, bad("%q does not belong into a backup", h.Name)
		case slices.ContainsFunc(b.Files, func(x File) bool { return x.Name == name }):
			return nil, bad("%q is there twice", h.Name)
		case h.Typeflag == tar.TypeDir:
		case h.Typeflag != tar.TypeReg:
			return nil, bad("%q is neither file nor directory", h.Name)
		default:
			if f.Data, err = io.ReadAll(io.LimitReader(t, MaxFile+1)); err != nil {
				return nil, bad("%w", err)
			}
			if len(f.Data) > MaxFile {
				return nil, bad("%q has more than %d MB", h.Name, MaxFile>>20)
			}
			if total += len(f.Data); total > MaxTotal { // holes of sparse files need no octets in the archive
				return nil, bad("its files have more than %d MB together", MaxTotal>>20)
			}
			if f.Data == nil {
				f.Data = []byte{}
			}
		}
		if b.Files = append(b.Files, f); len(b.Files) > MaxFiles {
			return nil, bad("it has more than %d files", MaxFiles)
		}
	}
	if _, err := io.Copy(io.Discard, all); err != nil { // the checksum is at the end
		return nil, bad("%w", err)
	}
	return b, nil
}

// readUnits reads the list of enabled units. One that is not ours is refused.
func readUnits(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	list := strings.Fields(string(text))
	for _, u := range list {
		if !slices.Contains(units, u) {
			return nil, fmt.Errorf("%q is no unit of Noonmark", u)
		}
	}
	return list, nil
}

// Differing returns the names of the files that exist with another content.
func (m *Machine) Differing(files []File) (names []string) {
	for _, f := range files {
		if f.Data == nil {
			continue
		}
		if was, _, err := durable.ReadFile(m.path(f.Name), int64(len(f.Data))); !errors.Is(err, fs.ErrNotExist) && !bytes.Equal(was, f.Data) {
			names = append(names, f.Name)
		}
	}
	return names
}

// Write writes files to the machine with their modes and owners. Owners are
// restored by name, so that the numbers may differ; all of them must exist. Files
// that are not in the backup stay.
func (m *Machine) Write(files []File) error {
	type owner struct{ uid, gid int }
	owners := make([]owner, len(files))
	for i, f := range files {
		var err error
		if owners[i].uid, err = m.userID(f.User); err != nil {
			return fmt.Errorf("%s belongs to user %q, who does not exist here: install the package first: %w", f.Name, f.User, err)
		}
		if owners[i].gid, err = m.groupID(f.Group); err != nil {
			return fmt.Errorf("%s belongs to group %q, which does not exist here: install the package first: %w", f.Name, f.Group, err)
		}
	}
	for i, f := range files {
		full := m.path(f.Name)
		err := m.throughNoLink(f.Name)
		switch {
		case err != nil:
		case f.Data == nil:
			err = os.MkdirAll(full, 0o700)
		default:
			if err = os.MkdirAll(filepath.Dir(full), 0o755); err == nil {
				err = durable.WriteFile(full, f.Data, f.Mode, true)
			}
		}
		if err == nil {
			err = os.Lchown(full, owners[i].uid, owners[i].gid)
		}
		if err == nil && f.Data == nil { // after its owner: a change of that may take bits away
			err = os.Chmod(full, f.Mode)
		}
		if err != nil {
			return fmt.Errorf("restore %s: %w", f.Name, err)
		}
	}
	return nil
}

// throughNoLink refuses a name one of whose parts is a symbolic link: the file
// would get elsewhere than its name says.
func (m *Machine) throughNoLink(name string) error {
	for _, p := range places {
		rest, ok := strings.CutPrefix(name, p.dir)
		if !ok || rest != "" && rest[0] != '/' {
			continue
		}
		at := p.dir
		for part := range strings.SplitSeq(rest, "/") {
			at = path.Join(at, part)
			if fi, err := os.Lstat(m.path(at)); err == nil && fi.Mode()&fs.ModeSymlink != 0 {
				return fmt.Errorf("%s is a symbolic link; remove it", at)
			}
		}
	}
	return nil
}

func (m *Machine) path(name string) string {
	return filepath.Join(m.Root+"/", filepath.FromSlash(name))
}

func (m *Machine) name(full string) string {
	return "/" + strings.TrimLeft(filepath.ToSlash(strings.TrimPrefix(full, filepath.Clean(m.Root+"/"))), "/")
}

// userName returns the name of a user, and the number of one without a name.
func (m *Machine) userName(id uint32) string {
	if m.UserName != nil {
		return m.UserName(id)
	}
	text := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(text); err == nil {
		return u.Username
	}
	return text
}

func (m *Machine) groupName(id uint32) string {
	if m.GroupName != nil {
		return m.GroupName(id)
	}
	text := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(text); err == nil {
		return g.Name
	}
	return text
}

func (m *Machine) userID(name string) (int, error) {
	if m.UserID != nil {
		return m.UserID(name)
	}
	if u, err := user.Lookup(name); err == nil {
		return strconv.Atoi(u.Uid)
	}
	return strconv.Atoi(name)
}

func (m *Machine) groupID(name string) (int, error) {
	if m.GroupID != nil {
		return m.GroupID(name)
	}
	if g, err := user.LookupGroup(name); err == nil {
		return strconv.Atoi(g.Gid)
	}
	return strconv.Atoi(name)
}
