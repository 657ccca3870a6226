package setup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"noonmark/internal/durable"
	"noonmark/server/certs"
)

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
		b.nameOthers(r)
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

// nameOthers says what the record of another system has, and is left as it is here.
func (s undoing) nameOthers(r *Record) {
	fmt.Fprintln(s.out, "the record is of another system, from a restored backup: only what the backup has is undone")
	for _, f := range r.Files {
		if !f.kept() {
			fmt.Fprintf(s.out, "left as it is: %s\n", f.Path)
		}
	}
	for _, u := range r.Units {
		if !ourUnit(u.Unit) {
			fmt.Fprintf(s.out, "left as it is: %s\n", u.Unit)
		}
	}
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
		kept := path + ".before-undo"
		if err := durable.WriteFile(kept, now, mode.Perm(), true); err != nil {
			return err
		}
		fmt.Fprintf(s.out, "%s was changed by hand since; that is kept as %s.before-undo\n", f.Path, f.Path)
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
	issued, err := certs.ReadIssued(s.path(authorityDir))
	if err != nil {
		return err
	}
	for _, x := range issued {
		if !slices.ContainsFunc(r.issuedTo(), func(dir string) bool { return x.Out == s.path(dir) }) {
			fmt.Fprintf(s.out, "%s is kept: it has issued a certificate to %s\n", authorityDir, x.Out)
			return errors.Join(errs...)
		}
	}
	remove(authorityDir, certs.AuthorityCert, certs.AuthorityKey, certs.IssuedFile)
	return errors.Join(errs...)
}

// removeEmpty removes a directory that is empty.
func (s undoing) removeEmpty(dir string) {
	if os.Remove(s.path(dir)) == nil {
		fmt.Fprintf(s.out, "remove %s\n", dir)
	}
}
