package doctor

import (
	"os"
	"slices"
	"strconv"
	"strings"

	"noonmark/internal/privileges"
)

// UnitFacts are what systemd knows of a daemon's unit.
type UnitFacts struct {
	Name     string // "refclockd.service"
	DropIns  []string
	Hidden   string   // the unit of a package that another file of the same name hides; empty: none
	Changed  bool     // its files have changed since systemd read them
	Ambient  []string // capabilities that it gives, as "CAP_SYS_TIME"
	PID      int      // of the daemon, 0: it does not run
	Replaced bool     // the program that runs is not the one on disc any more
}

// units asks systemd for the units of the daemons. Without systemd there are none.
func units(h *Host) (all []UnitFacts) {
	for _, name := range [...]string{"refclockd.service", "ntsserve.service", pageDaemon + ".service", fleetDaemon + ".service"} {
		out, err := h.Command("systemctl", "show", "-p", "LoadState,NeedDaemonReload,FragmentPath,DropInPaths,AmbientCapabilities,MainPID", name)
		if err != nil {
			continue
		}
		values := map[string]string{}
		for line := range strings.Lines(out) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			values[k] = v
		}
		if values["LoadState"] != "loaded" {
			continue
		}
		u := UnitFacts{Name: name, DropIns: strings.Fields(values["DropInPaths"]), Changed: values["NeedDaemonReload"] == "yes"}
		if packaged := "/usr/lib/systemd/system/" + name; strings.HasPrefix(values["FragmentPath"], "/etc/") {
			if _, err := os.Stat(h.path(packaged)); err == nil {
				u.Hidden = packaged
			}
		}
		for _, c := range strings.Fields(values["AmbientCapabilities"]) {
			u.Ambient = append(u.Ambient, strings.ToUpper(c))
		}
		if u.PID, err = strconv.Atoi(values["MainPID"]); err == nil && u.PID > 0 {
			exe, _ := os.Readlink(h.path("proc", strconv.Itoa(u.PID), "exe")) // an error if this is not root
			u.Replaced = strings.HasSuffix(exe, " (deleted)")
		}
		all = append(all, u)
	}
	return all
}

// need is a capability that a line of a configuration needs.
type need struct {
	unit, place string
	capability  privileges.Capability
}

// needs lists what the configurations need of their units.
func needs(f *Facts) (all []need) {
	if s := f.Refclockd; s != nil && f.RefclockdFile.Err == nil {
		if key, c, ok := s.NeedsCapability(); ok {
			all = append(all, need{"refclockd.service", s.Place(key), c})
		}
	}
	if s := f.Ntsserve; s != nil && f.NtsserveFile.Err == nil && len(s.Capabilities()) > 0 {
		all = append(all, need{"ntsserve.service", s.Place("endpoint"), privileges.NetBindService})
	}
	return all
}

// obsolete are drop-ins of earlier versions.
var obsolete = [...]string{"/refclockd.service.d/system-clock.conf"}

// unitFindings judges the units.
func unitFindings(units []UnitFacts, wanted []need) (found []Finding) {
	for i := range units {
		u := &units[i]
		if u.Changed {
			found = append(found, unitChanged.with("unit", u.Name))
		}
		if u.Hidden != "" {
			found = append(found, unitHidden.with("unit", u.Name, "path", u.Hidden))
		}
		for _, d := range u.DropIns {
			if slices.ContainsFunc(obsolete[:], func(o string) bool { return strings.HasSuffix(d, o) }) {
				found = append(found, unitObsoleteDropIn.with("path", d))
			}
		}
		for _, n := range wanted {
			if n.unit == u.Name && !slices.Contains(u.Ambient, n.capability.String()) {
				found = append(found, unitNoCapability.with("place", n.place, "capability", n.capability, "unit", u.Name))
			}
		}
		if u.Replaced {
			found = append(found, programReplaced.with("unit", u.Name, "pid", u.PID))
		}
	}
	return found
}
