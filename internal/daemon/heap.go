package daemon

import (
	"os"
	"runtime/debug"
)

// LimitHeap tells the collector of garbage how far the heap may grow between two
// collections, in percent of what lives (4 MB at least are 100 percent), and from how
// many octets of memory on it works harder; 0: no such limit. GOGC and GOMEMLIMIT take
// precedence.
func LimitHeap(percent int, limit int64) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
	if limit > 0 && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit)
	}
}
