package setup

import (
	"cmp"
	"io/fs"
	"net/netip"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"noonmark/internal/doctor"
)

// view is a machine's file tree; paths have no leading slash.
type view struct{ files fs.FS }

// text returns a file's content without what surrounds it, "" if there is none.
func (v view) text(elem ...string) string {
	b, err := fs.ReadFile(v.files, path.Join(elem...))
	if err != nil {
		return ""
	}
	return strings.Trim(string(b), "\x00 \t\r\n")
}

// list returns the names in a directory, numbers within them in order.
func (v view) list(elem ...string) (names []string) {
	entries, _ := fs.ReadDir(v.files, path.Join(elem...)) // no directory has no names
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.SortFunc(names, func(a, b string) int {
		x, y := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
		m, _ := strconv.Atoi(a[len(x):])
		n, _ := strconv.Atoi(b[len(y):])
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(m, n), cmp.Compare(a, b))
	})
	return names
}

// target returns the last element of what a link leads to, "" if it is none.
func (v view) target(elem ...string) string {
	to, err := fs.ReadLink(v.files, path.Join(elem...))
	if err != nil {
		return ""
	}
	return path.Base(to)
}

// has reports whether a path exists.
func (v view) has(elem ...string) bool {
	_, err := fs.Stat(v.files, path.Join(elem...))
	return err == nil
}

// Look finds what a machine has, by reading alone. files is its file tree; h adds
// who has what open, and what network interfaces can stamp.
func Look(files fs.FS, h *doctor.Host) *Machine {
	v, sv := view{files}, doctor.NewSurvey(h)
	m := &Machine{
		Name: cmp.Or(v.text("proc/sys/kernel/hostname"), v.text("etc/hostname")), Kernel: v.text("proc/sys/kernel/osrelease"),
		IPv6: v.has("proc/net/if_inet6"), Ports: []Port{}, Pulses: []Pulse{}, Cards: []Card{}, Rivals: []Rival{}, NTPUsers: []string{}, Unseen: []string{},
	}
	m.Board = v.text("sys/firmware/devicetree/base/model")
	m.Pi = strings.HasPrefix(m.Board, "Raspberry Pi")
	if m.Board == "" {
		m.Board = strings.TrimSpace(v.text("sys/class/dmi/id/sys_vendor") + " " + v.text("sys/class/dmi/id/product_name"))
	}
	m.Names = v.names(h.Names)
	for _, p := range sv.Unseen(deviceUsers...) {
		m.Unseen = append(m.Unseen, p.Name)
	}
	v.ports(m, sv)
	v.pulses(m)
	v.cards(m, h, sv)
	v.rivals(m, h.Rivals(), sv)
	users, _ := sv.Listener("udp", 123)
	for _, p := range users {
		if p.Name != "ntsserve" {
			m.NTPUsers = append(m.NTPUsers, p.Name)
		}
	}
	m.Refclockd = len(sv.Processes(refclockdName)) > 0
	v.boot(m)
	m.Units.Refclockd, _ = v.unit("refclockd.service")
	m.Units.Ntsserve, m.Units.ntsserve = v.unit("ntsserve.service")
	m.Units.Web, _ = v.unit("refclockweb.service")
	return m
}

// refclockdName is the name of refclockd's process. deviceUsers are it and others that read receivers
// or the timestamps of cards, which one program can use at a time.
const refclockdName = "refclockd"

var deviceUsers = []string{refclockdName, "gpsd", "ntpd", "ptp4l", "ts2phc"}

// temporary is IFA_F_TEMPORARY of linux/if_addr.h: an address that changes every day.
const temporary = 0x01

// hostName is a name that a certificate can have.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// names returns the names and addresses that last.
func (v view) names(all []string) (names []string) {
	passing := map[netip.Addr]bool{}
	for line := range strings.Lines(v.text("proc/net/if_inet6")) {
		f := strings.Fields(line) // address, index, prefix length, scope, flags, interface
		if len(f) < 6 || len(f[0]) != 32 {
			continue
		}
		flags, err := strconv.ParseUint(f[4], 16, 32)
		if err != nil || flags&temporary == 0 {
			continue
		}
		var parts []string
		for i := 0; i < 32; i += 4 {
			parts = append(parts, f[0][i:i+4])
		}
		if a, err := netip.ParseAddr(strings.Join(parts, ":")); err == nil {
			passing[a] = true
		}
	}
	for _, n := range all {
		a, err := netip.ParseAddr(n)
		if err == nil && !passing[a] || err != nil && n != "localhost" && len(n) <= 253 && hostName.MatchString(n) {
			names = append(names, n)
		}
	}
	return names
}

// serialPort are names of ports that a receiver can be connected to; consoles of
// virtual machines and gadgets are none.
var serialPort = regexp.MustCompile(`^tty(S|AMA|USB|ACM|AP|THS|mxc|O|SC|PS|STM|MSM|LP|XR)[0-9]+$`)

// ports lists the serial ports that exist: the kernel has names for more.
func (v view) ports(m *Machine, sv *doctor.Survey) {
	lasting := map[string]string{}
	for _, name := range v.list("dev/serial/by-id") {
		if to := v.target("dev/serial/by-id", name); to != "" {
			lasting[to] = "/dev/serial/by-id/" + name
		}
	}
	for _, name := range v.list("sys/class/tty") {
		// A type of 0 is PORT_UNKNOWN: no chip. A container sees ports that it has no device of.
		if !serialPort.MatchString(name) || v.text("sys/class/tty", name, "type") == "0" || !v.has("dev", name) {
			continue
		}
		driver := v.target("sys/class/tty", name, "device/driver")
		if driver == "" && !v.has("sys/class/tty", name, "device") {
			continue
		}
		p := Port{Node: "/dev/" + name, Driver: driver, USB: strings.HasPrefix(name, "ttyUSB") || strings.HasPrefix(name, "ttyACM"), Users: []string{}}
		p.Device = cmp.Or(lasting[name], p.Node)
		users, console := sv.PortUsers(p.Node)
		for _, u := range users {
			if !strings.HasPrefix(u, "ldattach ") { // it makes pulses of a line of the port, and leaves the data to others
				p.Users = append(p.Users, u)
			}
		}
		if p.Console = console; v.consoleAtBoot(name) {
			p.Users, p.Console = append(p.Users, "console= of the kernel's command line"), true
		}
		m.Ports = append(m.Ports, p)
	}
}

// consoleAtBoot reports whether the kernel's command line names a port as console.
func (v view) consoleAtBoot(name string) bool {
	for _, arg := range strings.Fields(v.text("proc/cmdline")) {
		c, ok := strings.CutPrefix(arg, "console=")
		c, _, _ = strings.Cut(c, ",")
		if ok && (c == name || v.target("dev", c) == name) {
			return true
		}
	}
	return false
}

// pulses lists the PPS devices of the kernel.
func (v view) pulses(m *Machine) {
	for _, name := range v.list("sys/class/pps") {
		if !v.has("dev", name) {
			continue
		}
		p := Pulse{Device: "/dev/" + name, Name: v.text("sys/class/pps", name, "name")}
		switch {
		case strings.HasPrefix(p.Name, "ptp"): // ptp_clock_register names it so
			p.Unfit = "it is the second of the card's own clock, not a receiver's"
		case strings.HasPrefix(p.Name, "ktimer"):
			p.Unfit = "it is a timer of the kernel for tests, not a receiver's"
		}
		m.Pulses = append(m.Pulses, p)
	}
}

// quirks are what is known of drivers, by a part of the driver's or the clock's name
// (firmware-notes/cards.md).
var quirks = []struct{ part, text string }{
	{"igc", "stamps both edges of a pulse, so pulse.width identifies the right one"},
	{"igb", "may stamp both edges of a pulse, so pulse.width identifies the right one"},
	{"bcm", "one reading takes 0.1 to 0.2 ms, and it stamps no NTP packets"},
	{"macb", "no pin brings a pulse to it on a Raspberry Pi"},
	{"e1000e", "its frequency has coarse steps: see clock.freq_step_ppb"},
}

// cards lists the PTP hardware clocks.
func (v view) cards(m *Machine, h *doctor.Host, sv *doctor.Survey) {
	stamps := map[int]doctor.Stamping{}
	for _, name := range v.list("sys/class/net") {
		s, err := h.Devices.Stamping(name)
		if err != nil || s.PHC < 0 { // most interfaces have no clock
			continue
		}
		if have, ok := stamps[s.PHC]; !ok || !sv.Link(have.Interface).Link && sv.Link(name).Link {
			s.Interface = name
			stamps[s.PHC] = s
		}
	}
	for _, name := range v.list("sys/class/ptp") {
		index, err := strconv.Atoi(strings.TrimPrefix(name, "ptp"))
		if err != nil || !v.has("dev", name) {
			continue
		}
		c := Card{
			Device: "/dev/" + name, Name: v.text("sys/class/ptp", name, "clock_name"), Driver: v.target("sys/class/ptp", name, "device/driver"),
			Users: []string{}, Pins: []Pin{}, Interface: stamps[index].Interface, StampsAll: stamps[index].All,
		}
		c.Channels, _ = strconv.Atoi(v.text("sys/class/ptp", name, "n_external_timestamps")) // none is 0
		c.Carrier = c.Interface != "" && sv.Link(c.Interface).Link
		for _, p := range h.Holders(c.Device) {
			if p.Name == refclockdName {
				c.Held = true
			} else {
				c.Users = append(c.Users, p.Name)
			}
		}
		if strings.Contains(strings.ToLower(c.Name), "virtual") || strings.HasPrefix(c.Name, "hyperv") || strings.HasPrefix(c.Name, "ptp_vmw") {
			c.Unfit = "it is the clock of the virtual machine's host"
		}
		for _, q := range quirks {
			if strings.Contains(strings.ToLower(c.Driver+" "+c.Name), q.part) {
				c.Quirk = q.text
				break
			}
		}
		m.Cards = append(m.Cards, c)
	}
}

// rivalUnits are units that steer the system clock.
var rivalUnits = services("chrony", "chronyd", "systemd-timesyncd", "ntp", "ntpsec", "ntpd", "openntpd", "ntpd-rs", "phc2sys", "timemaster")

func services(names ...string) (units []string) {
	for _, n := range names {
		units = append(units, n+".service")
	}
	return units
}

// receiverUnits are units that read receivers.
var receiverUnits = []string{"gpsd.socket", "gpsd.service"}

// rivals lists the units that steer the system clock or read receivers, if they run
// or will at the next boot.
func (v view) rivals(m *Machine, names []string, sv *doctor.Survey) {
	running := map[string]bool{}
	// chronyd is among the names only if it steers the clock; with -x, as in containers, it
	// still knows the time.
	for _, p := range sv.Processes(append(names, "gpsd", "chronyd")...) {
		if u := sv.Unit(p.PID); u != "" {
			running[u] = true
		}
	}
	enabled := map[string]bool{}
	for _, dir := range v.list("etc/systemd/system") {
		if !strings.HasSuffix(dir, ".wants") {
			continue
		}
		for _, unit := range v.list("etc/systemd/system", dir) {
			enabled[unit] = true
		}
	}
	for _, u := range append(slices.Clone(rivalUnits), receiverUnits...) {
		if running[u] || enabled[u] {
			m.Rivals = append(m.Rivals, Rival{Unit: u, Running: running[u], Enabled: enabled[u], Clock: slices.Contains(rivalUnits, u)})
		}
		delete(running, u)
	}
	var others []string
	for u := range running {
		if !strings.HasPrefix(u, "refclockd") && !strings.HasPrefix(u, "ntsserve") {
			others = append(others, u)
		}
	}
	slices.Sort(others)
	for _, u := range others {
		m.Rivals = append(m.Rivals, Rival{Unit: u, Running: true, Clock: true})
	}
}

// boot reads the files that configure a Raspberry Pi's next boot.
func (v view) boot(m *Machine) {
	if !m.Pi {
		return
	}
	for _, dir := range [...]string{"boot/firmware", "boot"} {
		if b, err := fs.ReadFile(v.files, path.Join(dir, "config.txt")); err == nil {
			m.Boot.Config, m.Boot.config = "/"+dir+"/config.txt", string(b)
			if b, err := fs.ReadFile(v.files, path.Join(dir, "cmdline.txt")); err == nil {
				m.Boot.CmdLine, m.Boot.cmdLine = "/"+dir+"/cmdline.txt", string(b)
			}
			return
		}
	}
}

// unitDirs are where systemd looks for units, in its order.
var unitDirs = []string{"etc/systemd/system", "run/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"}

// unit returns the file of an installed unit and its text.
func (v view) unit(name string) (file, text string) {
	for _, dir := range unitDirs {
		if b, err := fs.ReadFile(v.files, path.Join(dir, name)); err == nil {
			return "/" + path.Join(dir, name), string(b)
		}
	}
	return "", ""
}
