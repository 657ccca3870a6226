package backup

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/internal/fleetview"
	"noonmark/server/nts"
)

// Saved is what Save wrote.
type Saved struct {
	Files   int      // and directories
	Octets  int      // of the backup
	Skipped []string // what is left out, with the reason
}

// Save writes a backup of the machine to a file that only its owner can read. Without
// replace it overwrites nothing: the error is fs.ErrExist.
func (m *Machine) Save(name string, replace bool, now time.Time) (*Saved, error) {
	kept, skipped, err := m.Read()
	if err != nil {
		return nil, err
	}
	if len(kept.Files) == 0 {
		return nil, fmt.Errorf("there is nothing to keep in %s", strings.Join(Places(), ", "))
	}
	var b bytes.Buffer
	if err := Pack(&b, kept, now); err != nil {
		return nil, err
	}
	if err := durable.WriteFile(name, b.Bytes(), 0o600, replace); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%w; -force replaces it", err)
	} else if err != nil {
		return nil, err
	}
	return &Saved{len(kept.Files), b.Len(), append(skipped, m.elsewhere()...)}, nil
}

// elsewhere names what the configurations keep outside of the places of a backup, and a
// membership of a fleet, which two machines must not have.
func (m *Machine) elsewhere() (list []string) {
	if _, err := os.Lstat(m.path(fleetview.NodeFile)); err == nil {
		list = append(list, fleetview.DefaultDir+": the membership of a fleet; a restored node joins anew. Keep a copy of the manager's folder beside the backup (docs/fleet.md)")
	}
	check := func(key, name string) {
		if name != "" && !Contains(name) {
			list = append(list, name+": "+key+" is outside of "+strings.Join(Places(), ", "))
		}
	}
	if s, err := refclockd.Load(m.path(refclockd.DefaultPath)); err == nil {
		check("state_dir", s.StateDir+"/state")
	}
	if s, err := ntsserve.Load(m.path(ntsserve.DefaultPath)); err == nil {
		check("keys.file", s.Keys.File)
		check("ke.key", s.KE.Key)
	}
	return list
}

// Load reads a whole backup from a file and checks it.
func Load(name string) (*Backup, error) {
	f, _, err := durable.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := Unpack(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b, nil
}

// WriteText lists the files and the enabled units.
func (b *Backup) WriteText(w io.Writer) {
	for _, x := range b.Files {
		fmt.Fprintf(w, "%v %-9s %-9s %8d %s\n", x.Mode, x.User, x.Group, len(x.Data), x.Name)
	}
	for _, u := range b.Enabled {
		fmt.Fprintf(w, "enabled %s\n", u)
	}
}

// Restore writes the files of a backup to the machine. Without replace it writes nothing
// if one exists with another content: the error is fs.ErrExist.
func (m *Machine) Restore(b *Backup, replace bool) error {
	if d := m.Differing(b.Files); len(d) > 0 && !replace {
		return fmt.Errorf("%w with another content: %s; -force replaces them", fs.ErrExist, strings.Join(d, ", "))
	}
	return m.Write(b.Files)
}

// Outdated says what of a restored backup may be out of date, and what to do; empty: nothing
// is known to be.
func (m *Machine) Outdated(b *Backup) string {
	s, err := ntsserve.Load(m.path(ntsserve.DefaultPath))
	if err != nil || s.KeyRing.Renew != nts.NeverRenew || !slices.ContainsFunc(b.Files, func(f File) bool { return f.Name == s.Keys.File }) {
		return ""
	}
	return fmt.Sprintf("%s may be older than the secrets of the other servers, and have secrets that were revoked since: keys.renew is \"never\". "+
		"Before ntsserve starts, remove the file and join the fleet anew (noonmark-fleet token on the manager, then noonmark-fleet join -); without a fleet, copy it from the server that draws the secrets", s.Keys.File)
}

// Enable has systemd read the restored files, and starts units at the next boot. run runs
// a program. It says on w what was done, and what is left to do. Its errors are
// exitcode.ErrUnavailable.
func (m *Machine) Enable(w io.Writer, units []string, run func(name string, args ...string) (string, error)) error {
	if _, err := os.Stat(m.path("/run/systemd/system")); err != nil {
		fmt.Fprintf(w, "systemd does not run here; enable: %s\n", strings.Join(units, " "))
		return nil
	}
	if _, err := run("systemctl", "daemon-reload"); err != nil {
		return fmt.Errorf("%w: systemctl daemon-reload: %w", exitcode.ErrUnavailable, err)
	}
	if len(units) == 0 {
		return nil
	}
	if _, err := run("systemctl", append([]string{"enable"}, units...)...); err != nil {
		return fmt.Errorf("%w: the files are restored, but systemctl enable %s: %w; is the package installed?", exitcode.ErrUnavailable, strings.Join(units, " "), err)
	}
	fmt.Fprintf(w, "enabled; now: systemctl restart %s\n", strings.Join(units, " "))
	return nil
}
