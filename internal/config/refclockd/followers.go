package refclockd

import (
	"fmt"
	"slices"
	"time"
)

func (c *check) export() {
	x := c.Export
	c.Require(x.SHMUnit >= -1 && x.SHMUnit <= 255, "export.shm_unit", "%d is not a unit of NTP shared memory; want 0 to 255, or -1 for none", x.SHMUnit)
	c.Require(x.PTP4LDomain >= 0 && x.PTP4LDomain <= 255, "export.ptp4l_domain", "%d is not a PTP domain; want 0 to 255", x.PTP4LDomain)
	c.Require(x.TransportSpecific >= -1 && x.TransportSpecific <= 1, "export.ptp4l_transport_specific", "%d is not possible; want 0 to 1 (1 for gPTP), or -1 to find out", x.TransportSpecific)
	c.Require(slices.Contains([]int{52, 140, 150, 160}, x.HoldoverClass), "export.ptp4l_holdover_class", "%d is not a class of holdover; want 52, or with a telecom profile 140, 150 or 160", x.HoldoverClass)
	c.Require(!x.Any() || c.Clock.Source != "none", "export",
		`with clock.source = "none" no clock follows the pulses; want another clock.source, or nothing exported`)
}

// followers checks the clocks that follow the steered one.
func (c *check) followers() {
	m := c.SystemClock.Mode
	c.OneOf("system_clock.mode", m, "discipline", "observe", "off")
	c.Within("system_clock.step_threshold", c.SystemClock.StepThreshold, 10*time.Microsecond, 400*time.Millisecond)
	c.Require(m == "off" || c.Clock.Source != "system" && c.Clock.Source != "none", "system_clock.mode",
		"%q with clock.source %q; the system clock can follow a PHC only", m, c.Clock.Source)
	c.Require(m != "discipline" || c.Clock.Source != "sim", "system_clock.mode",
		`"discipline" with clock.source "sim"; this machine's time must not follow a simulation: want "observe" or "off"`)
	if m == "discipline" && c.Export.Samples() {
		c.warn("system_clock.mode: while the program that reads the export steers the system clock, refclockd does not")
	}
	for i, p := range c.PHC {
		prefix := fmt.Sprintf("phc[%d].", i)
		c.Require(p.Device != "", prefix+"device", `is empty; name an interface, such as "eth1", or a clock, such as "/dev/ptp1"`)
		c.Require(p.Device == "" || p.Device != c.Clock.Device, prefix+"device", "%q is the clock that the pulses steer; name another", p.Device)
		c.Require(!slices.ContainsFunc(c.PHC[:i], func(q FollowingPHC) bool { return q.Device == p.Device }), prefix+"device", "%q is named twice; want each clock once", p.Device)
		c.Within(prefix+"step_threshold", p.StepThreshold, 0, 400*time.Millisecond)
		c.Require(c.Clock.Source == "phc", prefix+"device", "cannot follow clock.source = %q; want clock.source = \"phc\"", c.Clock.Source)
	}
}
