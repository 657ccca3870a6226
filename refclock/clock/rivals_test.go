package clock

import (
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
