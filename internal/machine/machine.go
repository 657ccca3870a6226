// Package machine describes the machine and the tree that measured, for files of results.
package machine

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// Describe returns processor, kernel and load.
func Describe() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d CPUs, Linux %s, load average %s", processor(), runtime.NumCPU(), strings.TrimSpace(string(kernel)), Load())
}

// Load returns the load averages of the last 1, 5 and 15 minutes.
func Load() string {
	b, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(b))
	return strings.Join(f[:min(3, len(f))], " ")
}

// Revision names the revision of the tree in the present folder.
func Revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func processor() string {
	t, _ := os.ReadFile("/proc/cpuinfo")
	for _, l := range strings.Split(string(t), "\n") {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return runtime.GOARCH
}
