package doctor

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/clock"
)

// host is the machine as doctor sees it. Tests put their own in its place.
type host struct {
	proc, sys string
	root      bool
	now       func() time.Time
	mono      func() int64
	kernel    func() (phc.Timex, error)
	rivals    func() []string
	run       func(name string, args ...string) (string, error)
	names     func() []string // host name and addresses
}

func thisHost() host {
	return host{
		proc: "/proc", sys: "/sys", root: os.Geteuid() == 0, now: time.Now, mono: phc.MonoRaw,
		kernel: phc.Kernel{}.Load, rivals: clock.Rivals, names: ownNames,
		run: func(name string, args ...string) (string, error) {
			for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
				if p, err := exec.LookPath(dir + name); err == nil {
					out, err := exec.Command(p, args...).Output()
					return string(out), err
				}
			}
			return "", exec.ErrNotFound
		},
	}
}

// ownNames are what clients may know this machine by.
func ownNames() (names []string) {
	if n, err := os.Hostname(); err == nil {
		names = append(names, n)
	}
	addrs, _ := net.InterfaceAddrs() // without them the name has to do
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			names = append(names, n.IP.String())
		}
	}
	return names
}

// process is a program that runs.
type process struct {
	pid  int
	name string
}

func (p process) String() string { return fmt.Sprintf("%s (pid %d)", p.name, p.pid) }

// open tells who holds what: file or socket, as /proc shows it, to processes.
type open struct {
	by     map[string][]process
	hidden bool // some processes would not show theirs
}

// descriptors reads who holds which files.
func (h host) descriptors() open {
	o := open{by: map[string][]process{}}
	dirs, err := filepath.Glob(filepath.Join(h.proc, "[0-9]*"))
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
		for _, fd := range fds {
			to, err := os.Readlink(filepath.Join(dir, "fd", fd.Name()))
			if err != nil {
				continue // closed meanwhile
			}
			if p := (process{pid, h.comm(dir)}); !slices.Contains(o.by[to], p) {
				o.by[to] = append(o.by[to], p)
			}
		}
	}
	return o
}

func (h host) comm(dir string) string {
	b, err := os.ReadFile(filepath.Join(dir, "comm"))
	if err != nil {
		return "a process"
	}
	return strings.TrimSpace(string(b))
}

// of returns who holds the device at path, through whatever links. Whoever made
// a pseudo-terminal plays the device: it does not count.
func (o open) of(path string) []process {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if !strings.HasPrefix(path, "/dev/pts/") {
		return o.by[path]
	}
	var out []process
	for _, p := range o.by[path] {
		if !slices.Contains(o.by["/dev/ptmx"], p) && !slices.Contains(o.by["/dev/pts/ptmx"], p) {
			out = append(out, p)
		}
	}
	return out
}

// held is the finding on a device that nobody but refclockd should hold.
func (o open) held(check, path, mend string, mayShare bool) (f Finding, free bool) {
	var others []string
	ours := false
	for _, p := range o.of(path) {
		if p.name == "refclockd" {
			ours = true
		} else {
			others = append(others, p.String())
		}
	}
	switch {
	case len(others) > 0 && mayShare:
		return warn(check, mend, "%s is also open in %s", path, strings.Join(others, ", ")), false
	case len(others) > 0:
		return bad(check, mend, "%s is held by %s", path, strings.Join(others, ", ")), false
	case ours:
		return good(check, "%s is held by refclockd alone", path), true
	case o.hidden:
		return warn(check, "run doctor as root", "who holds %s cannot be seen in full; nobody as far as it can", path), true
	}
	return good(check, "nobody else holds %s", path), true
}

// account is a user with groups, as numbers.
type account struct {
	name   string
	uid    int
	groups []int
}

// whoami returns the user to ask permissions for: the daemon's when root looks
// and that user exists, else the one who runs doctor.
func whoami(daemon string) account {
	u, err := user.Current()
	if os.Geteuid() == 0 {
		if d, derr := user.Lookup(daemon); derr == nil {
			u, err = d, nil
		}
	}
	if err != nil {
		return account{name: "this user", uid: os.Geteuid()}
	}
	a := account{name: u.Username}
	a.uid, _ = strconv.Atoi(u.Uid)
	ids, _ := u.GroupIds()
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			a.groups = append(a.groups, n)
		}
	}
	return a
}

// may reports whether the account may read and write a file of that mode and
// owner.
func (a account) may(mode fs.FileMode, uid, gid int) bool {
	want := fs.FileMode(0o006)
	switch {
	case a.uid == 0:
		return true
	case a.uid == uid:
		want = 0o600
	case slices.Contains(a.groups, gid):
		want = 0o060
	}
	return mode.Perm()&want == want
}

// device looks whether a device is there and may be used; is it what it is to
// be, its driver is asked later.
func device(check, path string, who account, missing, denied string) (f Finding, ok bool) {
	fi, err := os.Stat(path)
	switch {
	case err != nil && os.IsPermission(err):
		return bad(check, denied, "%v", err).as(exitcode.Permission), false
	case err != nil:
		return bad(check, missing, "%s is missing", path), false
	case fi.Mode()&fs.ModeCharDevice == 0:
		return bad(check, "name the device itself", "%s is no device", path), false
	}
	if uid, gid, known := owner(fi); known && !who.may(fi.Mode(), uid, gid) {
		return bad(check, denied, "%s is mode %04o of user %d, group %d: %s may not read and write it", path, fi.Mode().Perm(), uid, gid, who.name).as(exitcode.Permission), false
	}
	return good(check, "%s is there and %s may use it", path, who.name), true
}

// consoles names the terminals the kernel writes its messages to.
func (h host) consoles() (names []string) {
	b, err := os.ReadFile(filepath.Join(h.proc, "consoles"))
	if err != nil {
		return nil
	}
	for _, l := range strings.Split(string(b), "\n") {
		if n, _, ok := strings.Cut(l, " "); ok {
			names = append(names, n)
		}
	}
	return names
}

// console warns where the kernel talks into the receiver's line.
func (h host) console(path string) (Finding, bool) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	if slices.Contains(h.consoles(), filepath.Base(path)) {
		return bad("receiver", "take console="+filepath.Base(path)+" out of the kernel's command line (on a Raspberry Pi: raspi-config, serial port, no login shell), and reboot",
			"the kernel's console is %s: it writes into the receiver, and a login may read from it", path), true
	}
	return Finding{}, false
}

// carrier looks at the interface of the clock.
func (h host) carrier(ifname string) (Finding, bool) {
	b, err := os.ReadFile(filepath.Join(h.sys, "class/net", ifname, "carrier"))
	switch {
	case os.IsNotExist(err):
		return Finding{}, false // no interface: a clock named by its device
	case err != nil:
		return warn("carrier", "ip link set "+ifname+" up", "%s is down", ifname), true
	case strings.TrimSpace(string(b)) != "1":
		return warn("carrier", "plug in the cable; a CM4 or CM5 stamps no pulse without a link", "%s has no carrier", ifname), true
	}
	return good("carrier", "%s has a carrier", ifname), true
}

// interfaceOf returns the network interface of PTP clock N, "" if it has none.
func (h host) interfaceOf(index int) string {
	m, err := filepath.Glob(filepath.Join(h.sys, "class/ptp", fmt.Sprintf("ptp%d", index), "device/net/*"))
	if err != nil || len(m) == 0 {
		return ""
	}
	return filepath.Base(m[0])
}

// listener names who listens on a port: "udp" or "tcp". taken is false where
// nobody does.
func (h host) listener(o open, proto string, port int) (who []process, taken bool) {
	for _, v := range []string{"", "6"} {
		b, err := os.ReadFile(filepath.Join(h.proc, "net", proto+v))
		if err != nil {
			continue
		}
		for _, l := range strings.Split(string(b), "\n") {
			f := strings.Fields(l)
			if len(f) < 10 || !strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
				continue
			}
			if proto == "tcp" && f[3] != "0A" { // TCP_LISTEN, net/tcp_states.h
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
