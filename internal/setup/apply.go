package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"noonmark/internal/durable"
)

// serverUser is who ntsserve runs as.
const serverUser = "ntsserve"

// Apply makes the changes of a plan. What was there before is recorded first, so that
// Undo can restore it, also after an interruption. Boot edits are left out.
func (s *System) Apply(p *Plan) error {
	r := s.begin(p)
	r.Answers, r.Machine = p.Answers, p.machine
	for i := range p.Files {
		if f := &p.Files[i]; f.Action == Create || f.Action == Replace || f.Action == Remove {
			if err := s.recordFile(r, f.Path, f.data); err != nil {
				return err
			}
		}
	}
	r.Authority = r.Authority || p.Authority == Create
	for _, l := range p.leaves() {
		*l.issued = *l.issued || *l.action == Create
	}
	if err := s.save(r); err != nil {
		return err
	}
	if err := s.certificates(p); err != nil {
		return err
	}
	for i := range p.Files {
		if err := s.write(r, &p.Files[i]); err != nil {
			return err
		}
	}
	return s.units(p)
}

// begin makes the record of a plan one of this system, before anything is changed. What another system
// was before is no state of this one.
func (s *System) begin(p *Plan) *Record {
	r := p.record
	if s.foreign(r) {
		r.leaveOthers()
		r.Machine = nil
	}
	r.Time, r.MachineID = s.Now().UTC(), s.machineID()
	return r
}

// recordFile records a file before it is changed. The record of an earlier setup keeps
// what was there before that; what was changed by hand since is kept beside the file.
func (s *System) recordFile(r *Record, path string, data []byte) error {
	now, mode, err := durable.ReadFile(s.path(path), maxConfig)
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("record %s: %w", path, err)
	}
	f := r.file(path)
	switch {
	case f == nil:
		r.Files = append(r.Files, FileRecord{Path: path})
		f = &r.Files[len(r.Files)-1]
		if there {
			f.Existed, f.Before, f.Mode = true, now, mode.Perm()
			f.UID, f.GID = ownerOf(s.path(path))
		}
	case there && f.edited(now):
		if _, err := keepCopy(s.path(path+beforeSetup), now, mode.Perm()); err != nil {
			return fmt.Errorf("keep a copy of %s: %w", path, err)
		}
	}
	if f.Written = ""; data != nil {
		f.Written = digest(data)
	}
	return nil
}

// beforeSetup is the ending of a copy that setup keeps beside a file.
const beforeSetup = ".before-setup"

// keepCopy writes a copy under a name, or that name with a number if there is a copy with another
// content already, and returns the name that the copy has.
func keepCopy(name string, data []byte, mode fs.FileMode) (string, error) {
	for n, to := 1, name; ; n, to = n+1, fmt.Sprintf("%s.%d", name, n) {
		err := durable.WriteFile(to, data, mode, false)
		if !errors.Is(err, fs.ErrExist) {
			return to, err
		}
		if was, _, err := durable.ReadFile(to, maxConfig); err == nil && string(was) == string(data) {
			return to, nil
		}
	}
}

// ownerOf returns who a file belongs to; root where the system does not say.
func ownerOf(path string) (uid, gid int) {
	if fi, err := os.Stat(path); err == nil {
		if st, ok := fi.Sys().(*syscall.Stat_t); ok {
			return int(st.Uid), int(st.Gid)
		}
	}
	return 0, 0
}

// write makes a change of a file.
func (s *System) write(r *Record, f *FileChange) error {
	path := s.path(f.Path)
	switch f.Action {
	case Remove:
		return os.Remove(path)
	case Create, Replace:
		if err := s.makeDir(r, filepath.Dir(f.Path), 0o755); err != nil {
			return err
		}
		if f.reader == "" {
			return durable.WriteFile(path, f.data, f.mode, true)
		}
		_, gid, err := s.numbers(f.reader)
		if err != nil {
			return err
		}
		if err := durable.WriteFile(path, f.data, f.mode, true); err != nil {
			return err
		}
		return os.Chown(path, -1, gid)
	}
	return nil
}

// makeDir makes a directory and its parents, and records those that are new.
func (s *System) makeDir(r *Record, dir string, mode fs.FileMode) error {
	var made []string
	for d := dir; missing(s.path(d)); d = filepath.Dir(d) {
		made = append([]string{d}, made...)
	}
	if made == nil {
		return nil
	}
	r.Dirs = append(r.Dirs, made...)
	if err := s.save(r); err != nil {
		return err
	}
	return os.MkdirAll(s.path(dir), mode)
}

// units makes the changes of units: what is stopped first, then what is started.
func (s *System) units(p *Plan) error {
	for _, u := range p.Units {
		p.record.remember(u.state)
	}
	if err := s.save(p.record); err != nil {
		return err
	}
	if len(p.Units) > 0 || p.changed(refclockdDropIn, ntsserveDropIn, webDropIn) {
		if _, err := s.systemctl("daemon-reload"); err != nil {
			return err
		}
	}
	for _, u := range p.Units {
		args := map[string][]string{"stop": {"disable", "--now", u.Unit}, "restart": {"restart", u.Unit}, "start": {"enable", u.Unit}, "enable": {"enable", u.Unit}}[u.Action]
		if _, err := s.systemctl(args...); err != nil {
			return err
		}
		if u.Action == "start" {
			if _, err := s.systemctl("restart", u.Unit); err != nil {
				return fmt.Errorf("%w; journalctl -u %s shows why", err, u.Unit)
			}
		}
	}
	return nil
}

// ApplyBoot writes the files of a Raspberry Pi's next boot. A copy of each is kept
// beside it, with the ending .before-setup, for a machine that does not boot.
func (s *System) ApplyBoot(p *Plan) error {
	r := s.begin(p) // without the answers: after the boot there are more clocks to choose from
	for _, e := range p.Boot {
		path := s.path(e.Path)
		was, mode, err := durable.ReadFile(path, maxConfig)
		if err != nil {
			return fmt.Errorf("write boot configuration: %w", err)
		}
		if err := s.recordFile(r, e.Path, []byte(e.text)); err != nil {
			return err
		}
		copyOf := e.Path + beforeSetup
		if missing(s.path(copyOf)) {
			if err := s.recordFile(r, copyOf, was); err != nil {
				return err
			}
		}
		if err := s.save(r); err != nil {
			return err
		}
		if err := durable.WriteFile(s.path(copyOf), was, mode.Perm(), false); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("keep a copy of %s: %w", e.Path, err)
		}
		if err := durable.WriteFile(path, []byte(e.text), mode.Perm(), true); err != nil {
			return fmt.Errorf("write boot configuration: %w", err)
		}
	}
	return nil
}
