package privileges

import (
	"errors"
	"os"
)

// oomScore is added to the share of memory in thousandths by which the kernel selects
// what to end when memory is short (proc_pid_oom_score_adj(5)): a process that has
// more than half less than another is still ended before it.
const oomScore = "500"

// PreferForOOM makes this process the one that the kernel ends when memory is short,
// and names it for lists of processes. Both need /proc, and come before ForbidDumps.
func PreferForOOM(name string) error {
	return errors.Join(os.WriteFile("/proc/self/comm", []byte(name), 0), os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0))
}
