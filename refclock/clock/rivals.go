package clock

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"noonmark/internal/durable"
)

// daemons are programs that steer the system clock, as /proc/PID/comm shows
// them: at most 15 characters.
var daemons = [...]string{"chronyd", "ntpd", "systemd-timesyn", "phc2sys", "ntp-daemon", "openntpd", "timemaster"}

// units are units of the service manager that run these programs.
var units = [...]string{"chrony", "chronyd", "systemd-timesyncd", "ntpsec", "ntp", "ntpd", "ntpd-rs", "openntpd", "timemaster", "phc2sys@*"}

// chronyOptions are files with chronyd's options as distributions have them.
var chronyOptions = [...]string{"etc/default/chrony", "etc/sysconfig/chronyd"}

// maxOptions is the size in octets of the largest file of options.
const maxOptions = 64 << 10

// Rivals names running programs that are known to steer the system clock. It is
// a hint: /proc may show another namespace or hide the processes of other users, and
// a name proves little. Active units of systemd are named where no process is seen.
// chronyd -x steers nothing and is left out.
func Rivals() []string {
	if found := rivals("/proc"); len(found) > 0 {
		return found
	}
	return rivalUnits("/")
}

// rivalUnits names the active units. systemd has a link for each in
// /run/systemd/units, which everybody can read.
func rivalUnits(root string) (found []string) {
	for _, u := range units {
		links, err := filepath.Glob(filepath.Join(root, "run/systemd/units", "invocation:"+u+".service"))
		if err != nil {
			continue // the pattern is a constant
		}
		for _, l := range links {
			if strings.HasPrefix(u, "chrony") && steersNothing(root) {
				continue
			}
			found = append(found, strings.TrimPrefix(filepath.Base(l), "invocation:"))
		}
	}
	return found
}

// steersNothing reports whether chronyd is started with -x.
func steersNothing(root string) bool {
	for _, f := range chronyOptions {
		b, _, err := durable.ReadFile(filepath.Join(root, f), maxOptions)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if _, options, ok := strings.Cut(line, "="); ok && slices.Contains(strings.FieldsFunc(options, func(r rune) bool { return r == '"' || r == '\'' || r <= ' ' }), "-x") && line[0] != '#' {
				return true
			}
		}
	}
	return false
}

func rivals(proc string) (found []string) {
	comms, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "comm"))
	if err != nil {
		return nil // the pattern is a constant
	}
	for _, p := range comms {
		b, err := os.ReadFile(p)
		name := strings.TrimSpace(string(b))
		if err != nil || !slices.Contains(daemons[:], name) || slices.Contains(found, name) {
			continue
		}
		if args, err := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline")); err == nil && name == "chronyd" && slices.Contains(strings.Split(string(args), "\x00"), "-x") {
			continue
		}
		found = append(found, name)
	}
	return found
}
