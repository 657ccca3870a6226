package privileges

import "strings"

// Capability is a capability of a process (capabilities(7)), by its number in
// linux/capability.h.
type Capability uint

// The capabilities that the daemons can use.
const (
	NetBindService Capability = 10 // bind ports below 1024
	NetAdmin       Capability = 12 // switch on hardware timestamps
	SysNice        Capability = 23 // raise the priority of threads
	SysTime        Capability = 25 // set and steer the system clock
)

// untilWork are the capabilities that a daemon needs until its work has begun: to bind
// low ports, to raise the priority of threads, and to set up cards.
var untilWork = []Capability{NetBindService, SysNice, NetAdmin}

var capabilityNames = map[Capability]string{
	NetBindService: "CAP_NET_BIND_SERVICE", NetAdmin: "CAP_NET_ADMIN", SysNice: "CAP_SYS_NICE", SysTime: "CAP_SYS_TIME",
}

// String returns the name in unit files.
func (c Capability) String() string { return capabilityNames[c] }

// set returns the capabilities as the bits of the kernel.
func set(cs []Capability) (bits uint64) {
	for _, c := range cs {
		bits |= 1 << c
	}
	return bits
}

// names lists the capabilities of a set of bits; "none" for none.
func names(bits uint64) string {
	var list []string
	for c := Capability(0); c < 64; c++ {
		if bits&(1<<c) != 0 && capabilityNames[c] != "" {
			list = append(list, c.String())
		}
	}
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, " ")
}
