package clock

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// daemons are programs that steer the system clock, as /proc/PID/comm shows
// them: at most 15 characters.
var daemons = [...]string{"chronyd", "ntpd", "systemd-timesyn", "phc2sys", "ntp-daemon", "openntpd", "timemaster"}

// Rivals names running programs that are known to steer the system clock. It is
// a hint: /proc may show another namespace, and a name proves little. chronyd -x
// steers nothing and is left out.
func Rivals() []string { return rivals("/proc") }

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
