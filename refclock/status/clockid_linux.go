package status

import (
	"os"
	"strconv"
	"strings"
)

// clocksHere identifies the clocks of this process. A process keeps its time
// namespace: it would have to be single-threaded to change it.
func clocksHere() clockID {
	space := namespace("time")
	if space == 0 {
		return clockID{} // the kernel has no time namespaces
	}
	id := clockID{space: space}
	// The offsets are those of future children. Where these are in another
	// namespace than the process, its own offsets are not known.
	if namespace("time_for_children") != space {
		id.shift = unknownShift
		return id
	}
	id.shift = shiftOf("/proc/self/timens_offsets")
	return id
}

// namespace returns the identifier of a namespace of this process, 0 if there is
// none of that kind.
func namespace(kind string) uint64 {
	l, err := os.Readlink("/proc/self/ns/" + kind) // time:[4026531834]
	if err != nil {
		return 0
	}
	_, number, _ := strings.Cut(l, ":[")
	n, _ := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return n
}

// shiftOf reads the line "monotonic SECONDS NANOSECONDS" of a file, ns.
func shiftOf(path string) int64 {
	b, err := os.ReadFile(path)
	if err != nil {
		return unknownShift
	}
	for l := range strings.Lines(string(b)) {
		f := strings.Fields(l)
		if len(f) != 3 || f[0] != "monotonic" && f[0] != "1" {
			continue
		}
		sec, err1 := strconv.ParseInt(f[1], 10, 64)
		nsec, err2 := strconv.ParseInt(f[2], 10, 64)
		if err1 == nil && err2 == nil {
			return sec*1e9 + nsec
		}
	}
	return unknownShift
}
