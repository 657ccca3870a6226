package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
)

// systemctl makes the machine's units from what systemctl show prints.
func (m *machine) systemctl(units map[string]string) {
	m.Command = func(name string, args ...string) (string, error) {
		out, ok := units[args[len(args)-1]]
		if name != "systemctl" || !ok {
			return "", errors.New("not found")
		}
		return out, nil
	}
}

func TestUnitsOfTheDaemons(t *testing.T) {
	t.Parallel()
	const good = "LoadState=loaded\nNeedDaemonReload=no\nDropInPaths=\nAmbientCapabilities=cap_sys_time\nMainPID=0\n"
	const system = "[clock]\nsource = \"system\"\n"
	for _, c := range []struct {
		name, conf, unit string
		want             []kind
	}{
		{"no systemd", system, "", nil},
		{"not installed", system, "LoadState=not-found\nNeedDaemonReload=no\nAmbientCapabilities=\n", nil},
		{"no capability", system, "LoadState=loaded\nAmbientCapabilities=\n", []kind{unitNoCapability}},
		{"no capability, none needed", "", "LoadState=loaded\nAmbientCapabilities=\n", nil},
		{"no capability for a follower", "[system_clock]\nmode = \"discipline\"\n", "LoadState=loaded\nAmbientCapabilities=cap_net_admin\n", []kind{unitNoCapability}},
		{"changed", system, "LoadState=loaded\nNeedDaemonReload=yes\nAmbientCapabilities=cap_sys_time\n", []kind{unitChanged}},
		{"obsolete drop-in", system, "LoadState=loaded\nDropInPaths=/etc/systemd/system/refclockd.service.d/x.conf /etc/systemd/system/refclockd.service.d/system-clock.conf\nAmbientCapabilities=cap_sys_time\n", []kind{unitObsoleteDropIn}},
		{"unit of a source install beside the package", system, "LoadState=loaded\nFragmentPath=/etc/systemd/system/refclockd.service\nAmbientCapabilities=cap_sys_time\n", []kind{unitHidden}},
		{"unit of the package", system, "LoadState=loaded\nFragmentPath=/usr/lib/systemd/system/refclockd.service\nAmbientCapabilities=cap_sys_time\n", nil},
		{"replaced program", system, "LoadState=loaded\nAmbientCapabilities=cap_sys_time\nMainPID=4711\n", []kind{programReplaced}},
		{"good", system, good, nil},
	} {
		m := healthy(t)
		if err := os.MkdirAll(m.path("proc/4711"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("/usr/sbin/refclockd (deleted)", m.path("proc/4711/exe")); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(c.unit, "FragmentPath") {
			m.file("usr/lib/systemd/system/refclockd.service", "")
		}
		if c.unit != "" {
			m.systemctl(map[string]string{"refclockd.service": c.unit})
		}
		var got []string
		for _, f := range Findings(m.Examine(t.Context(), Options{Refclockd: m.config(ttyS9 + c.conf), Ntsserve: m.path("none")})) {
			if f.Check == "unit" {
				got = append(got, f.ID)
				t.Logf("%s: %s > %s", c.name, f.What, f.Mend)
			}
		}
		var want []string
		for _, k := range c.want {
			want = append(want, kinds[k].ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", c.name, got, want)
		}
	}
}

// A server without a receiver of its own is not asked for one, and its own state
// folder is made at its first start.
func TestServerOfTheSystemClock(t *testing.T) {
	t.Parallel()
	for _, source := range []string{"chrony", "kernel"} {
		m := newMachine(t)
		conf := m.file("etc/noonmark/s.toml", fmt.Sprintf("[source]\ntype = %q\n[[endpoint]]\naddress = \"127.0.0.1:12300\"\n[keys]\nfile = \"/var/lib/ntsserve/keys\"\n", source))
		found := Findings(m.Examine(t.Context(), Options{Refclockd: m.path("none"), Ntsserve: conf}))
		if found[0].ID != kinds[roleSystemServer].ID || ExitCode(found) != exitcode.OK {
			t.Errorf("%s: exit %d, %+v", source, ExitCode(found), found)
		}
	}
	// With refclockd's snapshot as the source, refclockd is missed.
	m := newMachine(t)
	conf := m.file("etc/noonmark/s.toml", "[[endpoint]]\naddress = \"127.0.0.1:12300\"\n")
	if found := Findings(m.Examine(t.Context(), Options{Refclockd: filepath.Join(m.Root, "none"), Ntsserve: conf})); found[0].ID != kinds[configMissing].ID {
		t.Errorf("%+v", found)
	}
}
