package daemon

import (
	"os"
	"runtime"
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

// LimitProcessors sets how many processors the program uses at once, at most. Each has memory of its own that
// the heap is taken from. GOMAXPROCS takes precedence.
func LimitProcessors(n int) {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(min(n, runtime.GOMAXPROCS(0)))
	}
}
