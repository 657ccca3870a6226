package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"noonmark/internal/durable"
	"noonmark/server/certs"
)

// Undone is what an undo restores. Its JSON keys are a contract.
type Undone struct {
	Files []FileUndo   `json:"files"`
	Units []UnitRecord `json:"units"`      // the state that each gets
	Left  []string     `json:"left_alone"` // files and units of other programs, in the record of another system
}

// FileUndo is what becomes of a file, or of a folder of certificates.
type FileUndo struct {
	Path   string `json:"path"`
	Action Action `json:"action"` // restore or remove
}

// Restore is that a file gets its content from before the first setup.
const Restore Action = "restore"

// undo returns what an undo restores on a system.
func (r *Record) undo(s *System) *Undone {
	foreign := s.foreign(r)
	u := &Undone{Files: []FileUndo{}, Units: []UnitRecord{}, Left: []string{}}
	for _, f := range r.Files {
		x := FileUndo{f.Path, Remove}
		if f.Existed {
			x.Action = Restore
		}
		if foreign && !f.kept() {
			u.Left = append(u.Left, f.Path)
		} else {
			u.Files = append(u.Files, x)
		}
	}
	for _, dir := range r.issuedTo() {
		u.Files = append(u.Files, FileUndo{dir, Remove})
	}
	if r.Authority {
		if place, _ := r.issuedElsewhere(s.path); place == "" { // Undo reports a list that cannot be read
			u.Files = append(u.Files, FileUndo{authorityDir, Remove})
		}
	}
	for _, x := range r.Units {
		if foreign && !ourUnit(x.Unit) {
			u.Left = append(u.Left, x.Unit)
		} else {
			u.Units = append(u.Units, x)
		}
	}
	return u
}

func (u *Undone) empty() bool { return len(u.Files)+len(u.Units) == 0 }

// print shows what would be undone.
func (u *Undone) print(w io.Writer) {
	u.printLeft(w)
	for _, f := range u.Files {
		fmt.Fprintf(w, "%s %s\n", f.Action, f.Path)
	}
	for _, x := range u.Units {
		fmt.Fprintf(w, "%s: enabled %v, running %v\n", x.Unit, x.Enabled, x.Active)
	}
}

// printLeft says what is left as it is.
func (u *Undone) printLeft(w io.Writer) {
	if len(u.Left) > 0 {
		fmt.Fprintln(w, "the record is of another system, from a restored backup: only what the backup has is undone")
	}
	for _, name := range u.Left {
		fmt.Fprintf(w, "left as it is: %s\n", name)
	}
}

// Undo restores what was there before the first setup: files, directories, and which
// units run. A file that was changed by hand since is kept under another name, and said
// so on out. Nothing to undo is no error. With the record of another system, which a
// restored backup has, files and units of other programs are left as they are, and named.
func (s *System) Undo(out io.Writer) error {
	if missing(s.path(RecordFile)) {
		fmt.Fprintln(out, "nothing to undo: setup changed nothing on this machine")
		return nil
	}
	r, err := s.readRecord()
	if err != nil {
		return err
	}
	b := undoing{s, out, s.foreign(r)}
	if b.foreign {
		r.undo(s).printLeft(out)
		r.leaveOthers()
	}
	var errs []error
	for _, u := range r.Units { // they must not see half of the files
		if ourUnit(u.Unit) {
			errs = append(errs, b.restoreUnit(u, true))
		}
	}
	for _, f := range slices.Backward(r.Files) {
		errs = append(errs, b.restoreFile(&f))
	}
	errs = append(errs, b.removeCertificates(r))
	for _, d := range slices.Backward(r.Dirs) {
		b.removeEmpty(d)
	}
	if len(r.Units) > 0 {
		_, err := s.systemctl("daemon-reload")
		errs = append(errs, err)
	}
	for _, u := range r.Units {
		errs = append(errs, b.restoreUnit(u, false))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("undo: %w; %s stays: correct the cause and undo again", err, RecordFile)
	}
	if err := os.Remove(s.path(RecordFile)); err != nil {
		return fmt.Errorf("undo: %w", err)
	}
	undoing{System: s, out: io.Discard}.removeEmpty(filepath.Dir(RecordFile))
	return nil
}

// undoing restores, and says so on out.
type undoing struct {
	*System
	out     io.Writer
	foreign bool // the record is of another system
}

// ourUnit reports whether a unit is Noonmark's.
func ourUnit(unit string) bool {
	return slices.Contains([]string{refclockdUnit, ntsserveUnit, webUnit, renewTimer}, unit)
}

// restoreUnit makes a unit's state what it was. down: only what runs now and did not is
// stopped.
func (s undoing) restoreUnit(was UnitRecord, down bool) error {
	now, err := s.unitState(was.Unit)
	if err != nil {
		return err
	}
	var steps [][]string
	if down {
		if now.Enabled && !was.Enabled {
			steps = append(steps, []string{"disable", was.Unit})
		}
		if now.Active && !was.Active {
			steps = append(steps, []string{"stop", was.Unit})
		}
	} else {
		if was.Enabled && !now.Enabled {
			steps = append(steps, []string{"enable", was.Unit})
		}
		if was.Active {
			steps = append(steps, []string{"restart", was.Unit}) // its files are the old ones again
		}
	}
	for _, args := range steps {
		if _, err := s.systemctl(args...); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s %s\n", args[0], args[1])
	}
	return nil
}

// restoreFile gives a file its content from before the first setup.
func (s undoing) restoreFile(f *FileRecord) error {
	path := s.path(f.Path)
	now, mode, err := durable.ReadFile(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case f.Existed && string(now) == string(f.Before):
		return nil
	case f.Written != digest(now):
		kept, err := keepCopy(path+".before-undo", now, mode.Perm())
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s was changed by hand since; that is kept as %s\n", f.Path, f.Path+strings.TrimPrefix(kept, path))
	}
	if !f.Existed {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		fmt.Fprintf(s.out, "remove %s\n", f.Path)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	wantUID, wantGID := f.UID, f.GID
	if s.foreign { // the numbers of another system mean other users
		wantUID, wantGID = ownerOf(path)
	}
	if err := durable.WriteFile(path, f.Before, f.Mode, true); err != nil {
		return err
	}
	if uid, gid := ownerOf(path); uid != wantUID || gid != wantGID {
		if err := os.Chown(path, wantUID, wantGID); err != nil {
			return err
		}
	}
	fmt.Fprintf(s.out, "restore %s\n", f.Path)
	return nil
}

// removeCertificates removes what setup issued, and its authority unless that has
// issued certificates to other places since.
func (s undoing) removeCertificates(r *Record) error {
	var errs []error
	remove := func(dir string, names ...string) {
		for _, n := range names {
			if err := os.Remove(filepath.Join(s.path(dir), n)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, err)
			}
		}
		fmt.Fprintf(s.out, "remove %s\n", dir)
	}
	for _, dir := range r.issuedTo() {
		remove(dir, certs.ServerCert, certs.ServerKey)
	}
	if !r.Authority {
		return errors.Join(errs...)
	}
	switch place, err := r.issuedElsewhere(s.path); {
	case err != nil:
		errs = append(errs, err)
	case place != "":
		fmt.Fprintf(s.out, "%s is kept: it has issued a certificate to %s\n", authorityDir, place)
	default:
		remove(authorityDir, certs.AuthorityCert, certs.AuthorityKey, certs.IssuedFile)
	}
	return errors.Join(errs...)
}

// issuedElsewhere returns a place that the authority has issued a certificate to, without those of setup;
// "" if there is none. path is where a path is.
func (r *Record) issuedElsewhere(path func(string) string) (place string, err error) {
	issued, err := certs.ReadIssued(path(authorityDir))
	if err != nil {
		return "", err
	}
	for _, x := range issued {
		if !slices.ContainsFunc(r.issuedTo(), func(dir string) bool { return x.Out == path(dir) }) {
			return x.Out, nil
		}
	}
	return "", nil
}

// removeEmpty removes a directory that is empty.
func (s undoing) removeEmpty(dir string) {
	if os.Remove(s.path(dir)) == nil {
		fmt.Fprintf(s.out, "remove %s\n", dir)
	}
}
