package status

import "math"

// clockID identifies the monotonic clocks of a process. A time namespace (since
// Linux 5.6) shifts CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW and CLOCK_BOOTTIME, so a
// line on CLOCK_MONOTONIC_RAW means nothing in another one.
type clockID struct {
	space uint64 // identifier of the time namespace; 0 = not known
	shift int64  // of the monotonic clocks against those of the machine, ns, or unknownShift
}

// unknownShift is that of a process whose namespace the kernel does not describe.
const unknownShift = math.MinInt64

// same reports whether two processes read the same clocks. Namespaces that shift
// by the same time do not differ. A process that does not know its namespace is
// taken to be in that of the machine.
func (a clockID) same(b clockID) bool {
	return a.space != 0 && a.space == b.space || a.shift == b.shift && a.shift != unknownShift
}
