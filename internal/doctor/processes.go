package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// openFiles are the files and sockets that processes have open.
type openFiles struct {
	by     map[string][]Process // by the path that /proc shows
	hidden bool                 // some processes could not be looked at
}

// openFiles reads what all processes but doctor have open.
func (h *Host) openFiles() openFiles {
	o := openFiles{by: map[string][]Process{}}
	dirs, err := filepath.Glob(h.path("proc/[0-9]*"))
	if err != nil || len(dirs) == 0 {
		o.hidden = true
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		fds, err := os.ReadDir(filepath.Join(dir, "fd"))
		if err != nil {
			o.hidden = true
			continue
		}
		p := Process{pid, processName(dir)}
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil {
				continue // closed meanwhile
			}
			if !slices.Contains(o.by[to], p) {
				o.by[to] = append(o.by[to], p)
			}
		}
	}
	return o
}

func processName(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(b))
}

// of returns who has a device open; path is without links. The process that made
// a pseudo-terminal plays the device, so it does not count.
func (o *openFiles) of(path string) []Process {
	if !strings.HasPrefix(path, "/dev/pts/") {
		return o.by[path]
	}
	var users []Process
	for _, p := range o.by[path] {
		if !slices.Contains(o.by["/dev/ptmx"], p) && !slices.Contains(o.by["/dev/pts/ptmx"], p) {
			users = append(users, p)
		}
	}
	return users
}

// deviceFile looks at a device's file and who has it open.
func (h *Host) deviceFile(path string, o *openFiles) DeviceFile {
	d := DeviceFile{Path: path, User: h.Account.Name, Hidden: o.hidden}
	fi, err := os.Stat(h.path(path))
	if err != nil {
		d.Err = err
		return d
	}
	d.Device, d.Mode, d.Allowed = fi.Mode()&fs.ModeCharDevice != 0, fi.Mode(), true
	if uid, gid, known := owner(fi); known {
		d.UID, d.GID, d.Allowed = uid, gid, h.Account.may(fi.Mode(), uid, gid)
	}
	d.Holders = o.of(h.resolve(path))
	return d
}

// isConsole reports whether the kernel writes its messages to a terminal.
func (h *Host) isConsole(path string) bool {
	b, err := os.ReadFile(h.path("proc/consoles"))
	if err != nil {
		return false
	}
	name := filepath.Base(h.resolve(path))
	for line := range strings.Lines(string(b)) {
		if n, _, ok := strings.Cut(line, " "); ok && n == name {
			return true
		}
	}
	return false
}

// carrier looks at a network interface; the zero Carrier if there is none.
func (h *Host) carrier(ifname string) Carrier {
	if ifname == "" {
		return Carrier{}
	}
	b, err := os.ReadFile(h.path("sys/class/net", ifname, "carrier"))
	if errors.Is(err, fs.ErrNotExist) {
		return Carrier{}
	}
	// The kernel refuses to read the file while the interface is down.
	return Carrier{Interface: ifname, Up: err == nil, Link: strings.TrimSpace(string(b)) == "1"}
}

// interfaceOf returns the network interface of PTP clock N, "" if it has none.
func (h *Host) interfaceOf(index int) string {
	m, err := filepath.Glob(h.path("sys/class/ptp", "ptp"+strconv.Itoa(index), "device/net/*"))
	if err != nil || len(m) == 0 {
		return ""
	}
	return filepath.Base(m[0])
}

// tcpListen is TCP_LISTEN of the kernel's net/tcp_states.h, as /proc shows it.
const tcpListen = "0A"

// listeners returns who listens on a port. taken: somebody does, seen or not.
func (h *Host) listeners(o *openFiles, proto string, port int) (who []Process, taken bool) {
	suffix := ":" + strings.ToUpper(strconv.FormatInt(int64(port)+0x10000, 16)[1:])
	for _, version := range []string{"", "6"} {
		b, err := os.ReadFile(h.path("proc/net", proto+version))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if len(f) < 10 || !strings.HasSuffix(f[1], suffix) || proto == "tcp" && f[3] != tcpListen {
				continue
			}
			taken = true
			for _, p := range o.by["socket:["+f[9]+"]"] {
				if !slices.Contains(who, p) {
					who = append(who, p)
				}
			}
		}
	}
	return who, taken
}

// Holders returns the processes other than this one that have a device open.
func (h *Host) Holders(device string) []Process {
	o := h.openFiles()
	return o.of(h.resolve(device))
}

// PortUsers returns the programs, but for this one, that use a receiver's port. Where
// open files of other users cannot be seen, a program counts whose command line
// names the port. console: one of them is a console or a login prompt.
func PortUsers(device string) (programs []string, console bool) {
	return portUsers(&Host{Root: "/"}, device)
}

func portUsers(h *Host, device string) (programs []string, console bool) {
	path := h.resolve(device)
	o := h.openFiles()
	users := slices.Clone(o.of(path))
	if strings.HasPrefix(path, "/dev/tty") { // the path of a pseudo-terminal is used again and again
		for _, p := range named(h, filepath.Base(path)) {
			if !slices.Contains(users, p) {
				users = append(users, p)
			}
		}
	}
	for _, p := range users {
		programs = append(programs, p.String())
		console = console || strings.Contains(p.Name, "getty") || p.Name == "login"
	}
	if h.isConsole(device) {
		programs, console = append(programs, "the kernel's console"), true
	}
	return programs, console
}

// named returns the processes, but for this one, whose command line has the name of a
// terminal as an argument.
func named(h *Host, tty string) (users []Process) {
	dirs, _ := filepath.Glob(h.path("proc/[0-9]*")) // none: nothing is known
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // none: it has ended
		args := strings.Split(string(b), "\x00")
		if slices.ContainsFunc(args[1:], func(a string) bool { return strings.TrimPrefix(a, "/dev/") == tty }) {
			users = append(users, Process{pid, processName(dir)})
		}
	}
	return users
}
