package clock

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestRivals(t *testing.T) {
	proc := t.TempDir()
	for pid, p := range map[string][2]string{
		"1":    {"systemd", "/sbin/init"},
		"12":   {"chronyd", "/usr/sbin/chronyd\x00-x\x00-d"},
		"77":   {"systemd-timesyn", "/lib/systemd/systemd-timesyncd"},
		"78":   {"ptp4l", "ptp4l"},
		"self": {"chronyd", "chronyd"},
	} {
		dir := filepath.Join(proc, pid)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"comm": p[0] + "\n", "cmdline": p[1] + "\x00"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := rivals(proc); !slices.Equal(got, []string{"systemd-timesyn"}) {
		t.Errorf("found %q", got)
	}
	if got := rivals(filepath.Join(proc, "none")); got != nil {
		t.Errorf("without /proc: %q", got)
	}
}

// Where /proc hides the processes of others, active units are found.
func TestRivalUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{"no systemd", nil, nil},
		{"others", map[string]string{"run/systemd/units/invocation:ssh.service": "", "run/systemd/units/invocation:chrony-wait.service": ""}, nil},
		{"timesyncd", map[string]string{"run/systemd/units/invocation:systemd-timesyncd.service": ""}, []string{"systemd-timesyncd.service"}},
		{"an instance", map[string]string{"run/systemd/units/invocation:phc2sys@eth0.service": ""}, []string{"phc2sys@eth0.service"}},
		{"chronyd", map[string]string{"run/systemd/units/invocation:chrony.service": "", "etc/default/chrony": "# DAEMON_OPTS=\"-x\"\nDAEMON_OPTS=\"-F 1\"\n"}, []string{"chrony.service"}},
		{"chronyd that steers nothing", map[string]string{"run/systemd/units/invocation:chrony.service": "", "etc/default/chrony": "DAEMON_OPTS=\"-F 1 -x\"\n"}, nil},
	} {
		root := t.TempDir()
		for path, text := range c.files {
			p := filepath.Join(root, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if got := rivalUnits(root); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
