package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/fleetview"
	"noonmark/server/certs"
)

// fleetDaemon is the agent of a fleet.
const fleetDaemon = "noonmark-fleet"

// FleetFacts are what the agent of a fleet publishes, and what it needs.
type FleetFacts struct {
	Joined bool  // there is a membership on the disc
	Err    error // of reading what the agent publishes
	File   *fleetview.File
	Age    time.Duration // of File
	Alive  bool          // the agent is a process that can be seen
	Gone   bool          // it is none: processes can be seen here
	Folder *FolderFacts  // nil: its configuration is left alone, or its user is not known
}

// Running reports whether the agent publishes.
func (f *FleetFacts) Running() bool {
	return f != nil && f.File != nil && f.Age <= fleetview.StaleAfter && !f.Gone
}

// FolderFacts are a folder in which another user replaces a file.
type FolderFacts struct {
	Path     string
	Err      error // of looking at it
	Mode     fs.FileMode
	UID, GID int
	User     string
	Allowed  bool // User may make and replace files in it
	Sticky   bool // but not those of others
}

// examineFleet examines a machine that is a node of a fleet; nil: it is none. An observer may not see
// processes.
func examineFleet(h *Host, server string, observer bool) *FleetFacts {
	f := &FleetFacts{}
	_, err := os.Stat(h.path(fleetview.NodeFile))
	f.Joined = err == nil
	mono := h.Mono()
	f.File, f.Err = fleetview.Read(h.path(fleetview.DefaultFile), mono)
	if !f.Joined && errors.Is(f.Err, fleetview.ErrNone) {
		return nil
	}
	if f.File != nil {
		f.Age = f.File.Age(mono)
		_, err := os.Stat(h.path("proc", strconv.Itoa(f.File.PID)))
		f.Alive = err == nil
		f.Gone = !f.Alive && !observer
		if f.File.Self.Server != "" {
			server = f.File.Self.Server
		}
	}
	f.Folder = folderOf(h, server)
	return f
}

// folderOf looks at the folder of ntsserve's configuration, in which the agent replaces it if
// there is a local file.
func folderOf(h *Host, server string) *FolderFacts {
	if _, err := os.Stat(fleetview.LocalPath(server)); err != nil {
		return nil
	}
	a, known := userOf(h, "ntsserve")
	if !known {
		return nil
	}
	d := &FolderFacts{Path: filepath.Dir(server), User: a.Name}
	fi, err := os.Stat(d.Path)
	if d.Err = err; err != nil {
		return d
	}
	d.Mode, d.Sticky, d.Allowed = fi.Mode(), fi.Mode()&fs.ModeSticky != 0, true
	if uid, gid, known := owner(fi); known {
		d.UID, d.GID, d.Allowed = uid, gid, a.has(0o003, fi.Mode(), uid, gid)
	}
	return d
}

// leftFleet reports whether ntsserve has the configuration of a node of a fleet, and this machine
// is certainly none any more.
func leftFleet(h *Host, s *ntsserve.Settings, path string) bool {
	if _, err := os.Lstat(h.path(fleetview.NodeFile)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_, err := os.Lstat(fleetview.LocalPath(path))
	return err == nil || slices.ContainsFunc(s.Pairs(), func(p certs.Pair) bool { return filepath.Base(p.Cert) == fleetview.PEMName })
}

// fleetTasks are the tasks of the agent of which its file says more.
var fleetTasks = map[string]bool{"agent": true, "configuration": true, "certificate": true, "health": true}

// withoutFleetTasks leaves out tasks of the agent that have findings of their own.
func withoutFleetTasks(f *TaskFacts) *TaskFacts {
	rest := *f
	rest.Tasks = nil
	for _, t := range f.Tasks {
		if !fleetTasks[t.Task] || t.State == daemon.Stuck.String() {
			rest.Tasks = append(rest.Tasks, t)
		}
	}
	return &rest
}

// fleetFindings judges a node of a fleet. The texts of the file are another program's, and
// partly other machines'.
func fleetFindings(f *FleetFacts, now time.Time) (found []Finding) {
	switch {
	case errors.Is(f.Err, fleetview.ErrNone):
		found = append(found, fleetStopped.with("since", "it has published nothing since the machine was started"))
	case f.Err != nil:
		found = append(found, fleetUnreadable.with("error", f.Err))
	case !f.Running() && f.Alive:
		found = append(found, fleetStuck.with("pid", f.File.PID, "age", f.Age.Round(time.Second)))
	case !f.Running():
		found = append(found, fleetStopped.with("since", "it published last "+f.Age.Round(time.Second).String()+" ago"))
	default:
		found = append(found, nodeFindings(f.File)...)
		found = append(found, fleetConfigFinding(&f.File.Self), fleetCertFinding(&f.File.Self, now))
	}
	if f.Folder != nil {
		found = append(found, folderFinding(f.Folder))
	}
	return found
}

// nodeFindings says whether the node may serve, and what stands in the way.
func nodeFindings(f *fleetview.File) (found []Finding) {
	s := &f.Self
	values := []any{
		"node", oneLine(f.Node), "fleet", oneLine(f.Name), "why", oneLine(s.Why), "drain", oneLine(s.Drain), "rotate", oneLine(f.Rotate), "keep", f.Keep,
		"server", oneLine(s.Server), "error", oneLine(s.Clock), "until", f.Without.UTC().Format(time.DateTime) + " UTC",
	}
	kinds := map[string]kind{fleetview.Serves: fleetServes, fleetview.Drained: fleetDrained, fleetview.OtherPeriods: fleetPeriods, fleetview.ClockUntrusted: fleetClock}
	k, known := kinds[s.State]
	if !known {
		k = fleetRefused
	}
	found = append(found, k.with(values...))
	if f.Etcd != "" {
		found = append(found, fleetEtcd.with(append([]any{"error", oneLine(f.Etcd)}, values...)...))
	}
	if s.Disc != "" {
		found = append(found, fleetDisc.with("error", oneLine(s.Disc)))
	}
	if h := s.Health; h != nil {
		k := fleetAnnounced
		switch {
		case h.Kept:
			k = fleetKept
		case !h.Announced && s.State != fleetview.Drained: // else that is why
			k = fleetWithdrawn
		case !h.Announced:
			return found
		}
		found = append(found, k.with("reasons", oneLine(strings.Join(h.Reasons, ", "))))
	}
	return found
}

func fleetConfigFinding(s *fleetview.Self) Finding {
	switch {
	case s.Config != "":
		return fleetConfigWrong.with("error", oneLine(s.Config))
	case s.Refused != "":
		return fleetConfigRefused.with("error", oneLine(s.Refused))
	case s.Alone:
		return fleetConfigAlone.with("file", oneLine(fleetview.LocalPath(s.Server)))
	}
	return fleetConfigOK.with()
}

func fleetCertFinding(s *fleetview.Self, now time.Time) Finding {
	end := time.Unix(s.CertEnd, 0).UTC()
	values := []any{"error", oneLine(s.Cert), "date", end.Format(certDate)}
	switch {
	case s.CertEnd > 0 && !now.Before(end):
		return fleetCertExpired.with(values...)
	case s.CertEnd > 0 && end.Sub(now) < renewBefore:
		return fleetCertExpiring.with(values...)
	case s.Cert != "":
		return fleetCertWrong.with(values...)
	case s.NoCert:
		return fleetCertAlone.with()
	case s.CertEnd == 0:
		return fleetCertNone.with()
	}
	return fleetCertOK.with(values...)
}

// folderFinding judges owner and mode of the folder, which an installation may have reset.
func folderFinding(d *FolderFacts) Finding {
	values := []any{"path", d.Path, "error", d.Err, "mode", modeText(d.Mode), "uid", d.UID, "gid", d.GID, "user", d.User}
	switch {
	case d.Err != nil:
		return fleetFolderUnknown.with(values...)
	case !d.Allowed:
		return fleetFolderClosed.with(values...)
	case !d.Sticky:
		return fleetFolderOpen.with(values...)
	}
	return fleetFolderOK.with(values...)
}

// modeText writes a mode as chmod reads it.
func modeText(m fs.FileMode) string {
	n := uint64(m.Perm())
	if m&fs.ModeSticky != 0 {
		n |= 0o1000
	}
	text := strconv.FormatUint(n, 8)
	return strings.Repeat("0", max(0, 4-len(text))) + text
}
