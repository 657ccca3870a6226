package setup

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/backup"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
)

// RecordFile has what setup changed and what was there before, for -undo.
const RecordFile = "/var/lib/noonmark/setup.json"

const (
	recordVersion = 1
	maxRecord     = 4 << 20 // octets; it contains a few configuration files
)

// Record is what setup changed. It is written before each change, so that a setup that
// was interrupted can be undone.
type Record struct {
	Version   int          `json:"version"`
	Time      time.Time    `json:"time"` // of the last setup
	Answers   Answers      `json:"answers"`
	Machine   *Machine     `json:"machine"`              // as it was found
	MachineID string       `json:"machine_id,omitempty"` // /etc/machine-id; empty: the system has none
	Files     []FileRecord `json:"files"`
	Dirs      []string     `json:"directories"` // made, a parent before its children
	Units     []UnitRecord `json:"units"`

	Authority  bool `json:"authority"`   // made in authorityDir
	Issued     bool `json:"issued"`      // the certificate in certificateDir
	PageIssued bool `json:"page_issued"` // the certificate in pageDir
}

// FileRecord is a file that setup wrote.
type FileRecord struct {
	Path    string      `json:"path"`
	Existed bool        `json:"existed"`
	Before  []byte      `json:"before"`
	Mode    fs.FileMode `json:"mode"`
	UID     int         `json:"uid"`
	GID     int         `json:"gid"`
	Written string      `json:"written_sha256"`
}

// UnitRecord is the state of a unit before setup changed it.
type UnitRecord struct {
	Unit    string `json:"unit"`
	Enabled bool   `json:"enabled"`
	Active  bool   `json:"active"`
}

// digest identifies the content of a file.
func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// file returns the record of a file, nil if setup never wrote it.
func (r *Record) file(path string) *FileRecord {
	if i := slices.IndexFunc(r.Files, func(f FileRecord) bool { return f.Path == path }); i >= 0 {
		return &r.Files[i]
	}
	return nil
}

// edited reports whether a content is neither what setup wrote nor what was there before: somebody
// changed it by hand.
func (f *FileRecord) edited(now []byte) bool {
	return f.Written != digest(now) && !(f.Existed && string(f.Before) == string(now))
}

// issuedTo returns the directories of the certificates that setup issued.
func (r *Record) issuedTo() (dirs []string) {
	if r.Issued {
		dirs = append(dirs, certificateDir)
	}
	if r.PageIssued {
		dirs = append(dirs, pageDir)
	}
	return dirs
}

// kept reports whether a backup of Noonmark has the file.
func (f *FileRecord) kept() bool { return backup.Contains(f.Path) }

// leaveOthers drops what a backup does not carry: files of other programs, and the
// state of their units.
func (r *Record) leaveOthers() {
	r.Files = slices.DeleteFunc(r.Files, func(f FileRecord) bool { return !f.kept() })
	r.Units = slices.DeleteFunc(r.Units, func(u UnitRecord) bool { return !ourUnit(u.Unit) })
}

// remember adds a unit's state, unless one from before an earlier change is there.
func (r *Record) remember(u UnitRecord) {
	if !slices.ContainsFunc(r.Units, func(x UnitRecord) bool { return x.Unit == u.Unit }) {
		r.Units = append(r.Units, u)
	}
}

// machineIDFile identifies the installation of a system: machine-id(5).
const machineIDFile = "/etc/machine-id"

// machineID returns what identifies this system; empty: nothing does.
func (s *System) machineID() string {
	b, _, err := durable.ReadFile(s.path(machineIDFile), 1<<10)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// foreign reports whether a record is of another system: a restored backup has it. One that
// names no system is of a setup on this one.
func (s *System) foreign(r *Record) bool {
	return r.MachineID != "" && r.MachineID != s.machineID()
}

// readRecord reads the record of earlier setups; a new one if there was none.
func (s *System) readRecord() (*Record, error) {
	b, _, err := durable.ReadFile(s.path(RecordFile), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return &Record{Version: recordVersion}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of earlier setups: %w", err)
	}
	r := &Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%w: %s: %w; move it away if what setup wrote is not to be undone", exitcode.ErrConfig, RecordFile, err)
	}
	if r.Version != recordVersion {
		return nil, fmt.Errorf("%w: %s: version %d; this program knows version %d: use the one that wrote it", exitcode.ErrConfig, RecordFile, r.Version, recordVersion)
	}
	return r, nil
}

// save writes the record; only root may read it, since files may contain secrets.
func (s *System) save(r *Record) error {
	path := s.path(RecordFile)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write record: %w", err)
	}
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	if err := durable.WriteFile(path, append(b, '\n'), 0o600, true); err != nil {
		return fmt.Errorf("write record: %w", err)
	}
	return nil
}
