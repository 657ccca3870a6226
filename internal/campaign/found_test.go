package campaign

import (
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/internal/replay"
)

// Sites that the campaign found, shrunk. Each was served wrong, outside of its bound,
// or never.
func TestFoundSites(t *testing.T) {
	if proctest.RaceEnabled {
		t.Skip("each site is one goroutine, and they are many: nothing for the race detector")
	}
	t.Parallel()
	const ms, s = time.Millisecond, time.Second
	nmea := func(first time.Duration, baud int, order ...string) Receiver {
		return Receiver{Order: order, Talker: "GN", First: first, Jitter: 20 * ms, Baud: baud, PerS: 1, Heard: 2}
	}
	stale := func(x Receiver, by, learns int) Receiver {
		x.Stale, x.Learns = by, learns
		return x
	}
	jump := func(at, length time.Duration, ns float64) Pulse {
		return Pulse{Jumps: []replay.Shift{{At: at, For: length, NS: ns}}}
	}
	drift := func(at, length time.Duration, ns float64) Pulse {
		return Pulse{Drifts: []replay.Shift{{At: at, For: length, NS: ns}}}
	}
	noRTC, near := System{NoRTC: true}, System{Offset: 3 * ms}
	const ever = 24 * time.Hour
	for _, c := range []struct {
		name string
		site Site
	}{
		{"a system clock near labels that are a second ahead", Site{Seed: 1250, Receiver: stale(nmea(120*ms, 9600, "RMC"), 1, 150), System: System{Offset: 970 * ms}}},
		{"GPS time first, RMC with a stale count", Site{Seed: 1066, Receiver: stale(nmea(392*ms, 115200, "TIMEGPS", "RMC"), 1, 125), System: noRTC}},
		{"GPS time alone, the system clock seconds off", Site{Seed: 1111, Receiver: nmea(480*ms, 57600, "TIMEGPS"), System: System{Offset: -6716 * ms}}},
		{"labels ahead before the lock", Site{Seed: 1036, Receiver: nmea(74*ms, 38400, "RMC"), System: noRTC, Faults: []Fault{{Ahead, 770, 840}}}},
		{"a slow drift after a lock", Site{Seed: 2005, Receiver: nmea(157*ms, 38400, "ZDA", "GGA"), System: near, Pulse: drift(2161*s, 102*s, 19)}},
		{"late messages, then a jump for ever", Site{Seed: 2269, Receiver: nmea(448*ms, 57600, "ZDA", "GGA"), System: noRTC, Pulse: jump(1763*s, ever, -768226), Faults: []Fault{{Late, 1207, 1230}}}},
		{"late messages for long, then a jump for ever", Site{Seed: 3397, Receiver: nmea(326*ms, 19200, "ZDA", "RMC"), System: noRTC, Pulse: jump(1595*s, ever, 5.627907e7), Faults: []Fault{{Late, 987, 1045}}}},
		{"a drift from the lock on", Site{Seed: 3015, Receiver: nmea(122*ms, 57600, "RMC"), System: noRTC, Pulse: drift(791*s, 107*s, 520)}},
		{"a jump before the lock, and back", Site{Seed: 3118, Receiver: nmea(312*ms, 57600, "RMC"), System: noRTC, Pulse: jump(600*s, 50*s, -51321)}},
		{"a fast drift of the pulses of a young lock, one oscillator", Site{Seed: 4230, Receiver: nmea(135*ms, 115200, "GGA", "TIMEUTC", "TIMELS"), System: System{Offset: -743 * ms, Steered: true}, Pulse: drift(198*s, 92*s, -540)}},
		{"a jump that was followed and reverted, then late messages", Site{Seed: 30087, Receiver: stale(nmea(418*ms, 38400, "ZDA", "GGA", "TIMELS"), 1, 193), System: noRTC, Pulse: jump(1064*s, 185*s, 1966), Faults: []Fault{{Late, 1325, 1353}}}},
		{"a jump that the gate lets in after a while", Site{Seed: 40398, Receiver: nmea(308*ms, 19200, "RMC"), System: near, Pulse: jump(1933*s, 56*s, 1221)}},
		{"a drift of 28 s, and back, one oscillator", Site{Seed: 40369, Receiver: nmea(368*ms, 19200, "GGA", "RMC"), System: System{Offset: -10791 * ms, Steered: true}, Pulse: drift(2141*s, 28*s, 1256)}},
		{"a drift that ends while a restarted run looks for the speed of its port", Site{Seed: 1000332, Receiver: nmea(377*ms, 57600, "RMC"), System: System{Offset: 9 * ms, Steered: true}, Rates: []int{9600, 38400, 115200, 4800, 57600, 19200}, Pulse: drift(515*s, 41*s, 871), Restarts: []int{547}}},
		{"a drift while messages are missing, one oscillator", Site{Seed: 40504, Receiver: nmea(463*ms, 9600, "TIMELS", "TIMEGPS"), System: System{Offset: -837 * ms, Steered: true}, Pulse: drift(227*s, 23*s, -121), Faults: []Fault{{Silent, 180, 237}}}},
		{"a drift of 20 s, and back, one oscillator", Site{Seed: 50247, Receiver: nmea(218*ms, 38400, "RMC"), System: System{Offset: -2 * ms, Steered: true}, Pulse: drift(1759*s, 20*s, 1483)}},
		{"a fast drift, and back, one oscillator", Site{Seed: 60771, Receiver: nmea(255*ms, 115200, "RMC"), System: System{Offset: -761 * ms, Steered: true}, Pulse: drift(1188*s, 22*s, 2529)}},
		{"edges nearer to each other than a kept clock is right", Site{Seed: 63965, Receiver: nmea(310*ms, 19200, "TIMEGPS"), System: System{Offset: -37 * ms, Kept: true}, Pulse: Pulse{BothEdges: true, Width: 10 * ms}}},
		{"labels ahead, then a jump for ever, and a young lock", Site{Seed: 63062, Receiver: nmea(474*ms, 9600, "GLL", "TIMEUTC"), System: noRTC, Pulse: jump(1815*s, ever, -267970), Faults: []Fault{{Ahead, 1637, 1687}}}},
		{"a jump while a run that was restarted for the second time acquires the pulses", Site{Seed: 1710739, Receiver: nmea(84*ms, 9600, "ZDA"), System: near, Pulse: jump(457*s, 166*s, 1943), Restarts: []int{361, 453}}},
		{"the same later, beyond what the line says", Site{Seed: 1710740, Receiver: nmea(84*ms, 9600, "ZDA"), System: near, Pulse: jump(459*s, 166*s, -4000), Restarts: []int{361, 453}}},
		{"the same before the second label", Site{Seed: 1710739, Receiver: nmea(84*ms, 9600, "ZDA"), System: near, Pulse: jump(456*s, 166*s, -1943), Restarts: []int{361, 453}}},
		{"a jump soon after a restart, of edges that are read by the clock", Site{Seed: 2103982, Receiver: nmea(217*ms, 9600, "ZDA"), System: System{Offset: -7 * ms, Steered: true}, Pulse: jump(352*s, 162*s, 1540), Restarts: []int{346}}},
		{"a fast drift soon after a second restart, and back, one oscillator", Site{Seed: 2201097, Receiver: nmea(470*ms, 19200, "TIMEGPS"), System: System{Offset: 11484 * ms, Steered: true}, Pulse: drift(232*s, 118*s, 1238), Restarts: []int{73, 195}}},
		{"a restart while a slow drift is known", Site{Seed: 71430, Receiver: nmea(183*ms, 9600, "TIMEGPS"), System: near, Pulse: drift(769*s, 24*s, 38), Restarts: []int{781}}},
		{"a second restart before a lock, while the pulses are displaced", Site{Seed: 80824, Receiver: nmea(270*ms, 9600, "TIMEGPS"), System: near, Pulse: jump(563*s, 160*s, -9.383927e7), Restarts: []int{593, 637}}},
		{"a restart during a fast drift, and back right after the lock", Site{Seed: 81319, Receiver: nmea(277*ms, 9600, "RMC"), System: near, Pulse: drift(196*s, 26*s, 2460), Restarts: []int{214}}},
		{"a restart during a long drift, and back", Site{Seed: 81563, Receiver: nmea(17*ms, 9600, "RMC"), System: near, Pulse: drift(484*s, 110*s, -810), Restarts: []int{537}}},
		{"a receiver that was cold, then a jump for ever", Site{Seed: 65654, Receiver: stale(nmea(428*ms, 38400, "ZDA"), 4, 679), System: System{Offset: -26 * ms, Kept: true}, Pulse: jump(2126*s, ever, -222605), Faults: []Fault{{Cold, 857, 927}}}},
		{"a jump, and a second restart soon after the lock, one oscillator", Site{Seed: 16, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: jump(362*s, 187*s, 1975), Restarts: []int{366, 414, 448}}},
		{"a jump in the bound, and a second restart soon after the lock", Site{Seed: 88, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: jump(973*s, 185*s, -1069), Restarts: []int{974, 981, 1009}}},
		{"a drift, and a second restart soon after the lock", Site{Seed: 12, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: drift(317*s, 115*s, -1940), Restarts: []int{296, 323}}},
		{"a slow drift, and a second restart soon after the lock", Site{Seed: 72, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: drift(254*s, 89*s, 81), Restarts: []int{247, 266}}},
		{"a restart after the alarm of a slow drift, which goes on, and back while the receiver is cold", Site{Seed: 110177, Receiver: nmea(315*ms, 9600, "TIMEGPS"), System: near, Pulse: drift(554*s, 109*s, 75), Restarts: []int{564}, Faults: []Fault{{Cold, 695, 770}}}},
		{"a restart during a drift that was followed, and back, one oscillator", Site{Seed: 72, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(642*s, 109*s, 934), Restarts: []int{670}}},
		{"two restarts during a drift beyond the limit, and back, one oscillator", Site{Seed: 58, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(420*s, 116*s, 2543), Restarts: []int{475, 494}}},
		{"restarts while the clock is slewed back after a drift, one oscillator", Site{Seed: 52, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(629*s, 50*s, 286), Restarts: []int{683, 728, 744}}},
		{"a restart while the pulses come back, one oscillator", Site{Seed: 74, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(629*s, 43*s, -1798), Restarts: []int{665, 691}}},
		{"a restart while the clock is slewed after the alarm of a drift", Site{Seed: 283, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: drift(740*s, 93*s, -136), Restarts: []int{746, 793, 798}}},
		{"a restart during a drift that was followed, and back before the lock, one oscillator", Site{Seed: 20126, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(652*s, 24*s, -1390), Restarts: []int{670}}},
		{"a jump while the second is disputed, within the grown gate", Site{Seed: 300447, Receiver: nmea(142*ms, 38400, "ZDA", "GLL"), System: noRTC, Pulse: jump(1789*s, 101*s, -12759), Faults: []Fault{{Ahead, 1029, 1036}}}},
		{"a jump for ever, two restarts soon after the lock, one oscillator", Site{Seed: 200140, Receiver: nmea(348*ms, 9600, "RMC"), System: System{Steered: true}, Pulse: jump(755*s, ever, -4.564857e6), Faults: []Fault{{Cold, 20, 86}}, Restarts: []int{606, 639}}},
		{"a jump for ever, soon after a restart", Site{Seed: 200140, Receiver: nmea(348*ms, 9600, "RMC"), System: near, Pulse: jump(755*s, ever, -4.564857e6), Restarts: []int{639}}},
		{"a lock on displaced pulses, which come back while messages are missing", Site{Seed: 501929, Receiver: nmea(104*ms, 9600, "RMC"), System: near, Pulse: jump(5*s, 142*s, 159282), Faults: []Fault{{Silent, 139, 166}}}},
		{"a lock on displaced pulses, which come back while the second is disputed", Site{Seed: 503667, Receiver: Receiver{Order: []string{"RMC"}, Talker: "GN", First: 403 * ms, Jitter: 20 * ms, Baud: 9600, Rebaud: 19200, RebaudAt: 282, PerS: 1, Heard: 2}, System: noRTC, Rates: []int{9600, 38400, 115200, 4800, 57600, 19200}, Pulse: jump(1142*s, 195*s, -8.831126e6), Faults: []Fault{{Ahead, 1311, 1316}}}},
		{"a kept clock that is off by the width of the pulse", Site{Seed: 504415, Receiver: nmea(332*ms, 9600, "RMC"), System: System{Offset: -31 * ms, Kept: true}, Pulse: Pulse{BothEdges: true, Width: 31 * ms}}},
		{"a jump within the line's uncertainty right before a second restart", Site{Seed: 505168, Receiver: nmea(267*ms, 9600, "TIMEGPS"), System: near, Pulse: jump(481*s, 187*s, -1891), Restarts: []int{455, 490}}},
		{"a jump right before a restart, and late messages while it lasts", Site{Seed: 701820, Receiver: nmea(162*ms, 57600, "TIMEGPS"), System: near, Pulse: jump(684*s, ever, 2.259913e6), Faults: []Fault{{Late, 1698, 1743}}, Restarts: []int{695}}},
		{"a jump right before the third restart of a young lock", Site{Seed: 701835, Receiver: nmea(507*ms, 9600, "GLL", "ZDA"), System: near, Pulse: jump(754*s, ever, 1.9245226e7), Faults: []Fault{{Cold, 159, 234}}, Restarts: []int{613, 724, 765}}},
		{"a drift that was followed, and back while the second is disputed, one oscillator", Site{Seed: 703451, Receiver: nmea(377*ms, 9600, "PVT"), System: System{NoRTC: true, Steered: true}, Pulse: drift(1923*s, 75*s, 1334), Faults: []Fault{{Late, 1986, 2001}}}},
		{"pulses that jump for ever, before the lock, to between the messages of their second", Site{Seed: 806772, Receiver: Receiver{Order: []string{"RMC"}, Talker: "GL", First: 3125 * time.Microsecond, Jitter: 7 * ms, Baud: 115200, PerS: 5, Heard: 2}, System: noRTC, Pulse: jump(299*s, 24*time.Hour, 6.295077e6)}},
		{"a young lock on displaced pulses, which come back, and labels that outweigh it", Site{Seed: 800513, Receiver: stale(Receiver{Order: []string{"RMC"}, Talker: "GN", First: 143 * ms, Jitter: 20 * ms, Baud: 9600, FixAt: 51, PerS: 1, Heard: 2}, -1, 304), System: near, Pulse: jump(329*s, 52*s, -520477), Faults: []Fault{{Cold, 394, 460}}}},
		{"a fast drift for a minute, whose end a cold start hides, one oscillator", Site{Seed: 1010807, Receiver: Receiver{Order: []string{"ZDA", "GLL", "TIMELS", "GGA", "PVT"}, Talker: "GL", First: 188 * ms, Jitter: 45 * ms, Baud: 57600, PerS: 1, Stale: -1, Learns: 379, Heard: 1}, System: System{NoRTC: true, Steered: true}, Pulse: drift(463*s, 61*s, 1738), Faults: []Fault{{Cold, 511, 548}}}},
		{"a fast drift for a minute, whose end silence hides, one oscillator", Site{Seed: 1, Receiver: nmea(200*ms, 57600, "RMC", "TIMELS"), System: System{NoRTC: true, Steered: true}, Pulse: drift(1301*s, 66*s, 2058), Faults: []Fault{{Silent, 1349, 1397}}}},
		{"the same, and garbage hides it", Site{Seed: 2, Receiver: nmea(200*ms, 57600, "RMC", "TIMELS"), System: System{NoRTC: true, Steered: true}, Pulse: drift(1301*s, 66*s, 2058), Faults: []Fault{{Garbage, 1349, 1397}}}},
		{"an oscillator that changes before the fix is lost", Site{Seed: 808649, Receiver: Receiver{Order: []string{"TIMELS", "TIMEGPS", "TIMEUTC"}, Talker: "GP", First: 216 * ms, Jitter: 30 * ms, Baud: 9600, PerS: 1, Source: 9, Stale: 1, Learns: 91, Heard: 5}, System: System{Offset: 410 * ms, PPM: -22.3}, Faults: []Fault{{Cold, 251, 272}, {Cold, 315, 378}}}},
		{"a jump while the second is disputed, and back while nothing is locked", Site{Seed: 1104352, Receiver: stale(Receiver{Order: []string{"GSA", "RMC", "GLL", "GSV", "VTG", "GGA", "ZDA"}, Talker: "GP", First: 373 * ms, Jitter: 35 * ms, Fraction: 360 * ms, PerS: 1, Baud: 38400, FixAt: 63, Heard: 2}, -1, 203), System: System{Offset: 22 * ms, Kept: true}, Pulse: jump(588*s, 126*s, 412920), Faults: []Fault{{Cold, 416, 445}, {Cold, 631, 654}}}},
		{"a slow drift of the pulses of a young lock, while the fix is lost", Site{Seed: 1107962, Receiver: Receiver{Order: []string{"GGA", "GLL", "RMC", "VTG"}, Talker: "GN", First: 270 * ms, Jitter: 40 * ms, PerS: 1, Baud: 57600, FixAt: 123, Heard: 5}, System: System{Offset: -7 * ms, PPM: -2.5}, Pulse: drift(134*s, 85*s, -56), Faults: []Fault{{Void, 154, 188}}}},
		{"a jump right after the lock of a second restart, which the gate lets in after 9 s, one oscillator", Site{Seed: 1205384, Receiver: nmea(253*ms, 19200, "ZDA"), System: System{Offset: -21 * ms, Steered: true}, Pulse: jump(627*s, 132*s, 1166), Restarts: []int{415, 617}}},
		{"a drift soon after pulses had seemed to leave their line, and a restart during it, one oscillator", Site{Seed: 700444, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(830*s, 30*s, -835), Restarts: []int{855, 915, 922}}},
		{"a drift beyond the limit right after a restart, and back, one oscillator", Site{Seed: 900502, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: drift(862*s, 108*s, 916), Restarts: []int{857}}},
		{"the same, two oscillators", Site{Seed: 901907, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: drift(431*s, 102*s, 960), Restarts: []int{413}}},
		{"a jump while a restarted run waits for labels, of edges that are read by the clock", Site{Seed: 2208172, Receiver: nmea(329*ms, 9600, "TIMELS", "TIMEUTC"), System: System{Offset: 2 * ms, Steered: true}, Rates: []int{19200, 38400, 115200, 4800, 57600, 9600}, Pulse: jump(508*s, 178*s, 1661), Restarts: []int{501}}},
		{"a jump before a run that ends before its lock, one oscillator", Site{Seed: 62, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Rates: []int{19200, 38400, 115200, 4800, 57600, 9600}, Pulse: jump(860*s, 180*s, 1812), Restarts: []int{871, 879}}},
		{"a jump a second before the second of three restarts, one oscillator", Site{Seed: 76, Receiver: nmea(120*ms, 9600, "RMC"), System: System{Offset: 3 * ms, Steered: true}, Pulse: jump(303*s, 172*s, 1145), Restarts: []int{276, 304, 334}}},
		{"a jump some seconds before a restart, by less than the line is uncertain", Site{Seed: 393, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Pulse: jump(1029*s, 144*s, 2261), Restarts: []int{981, 1031}}},
		{"a jump while it was down", Site{Seed: 661, Receiver: nmea(120*ms, 9600, "RMC"), System: near, Rates: []int{19200, 38400, 115200, 4800, 57600, 9600}, Pulse: jump(893*s, 163*s, 1510), Restarts: []int{871, 894}}},
		{"a young lock on the line, a jump, and a restart while it is open which is right", Site{Seed: 2303435, Receiver: Receiver{Order: []string{"RMC"}, Talker: "GP", First: 114 * ms, Jitter: 20 * ms, Baud: 9600, FixAt: 25, PerS: 1, Heard: 2}, System: near, Pulse: jump(315*s, 198*s, -1.3109739e7), Faults: []Fault{{Garbage, 205, 233}}, Restarts: []int{179, 335}}},
		{"a drift long after a restart", Site{Seed: 300206, Receiver: nmea(291*ms, 38400, "TIMEGPS"), System: near, Pulse: drift(484*s, 51*s, -244), Restarts: []int{238, 361}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.site.Start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			if o, err := c.site.Play(); err != nil || o.Failure != "" || o.Coincident {
				t.Errorf("%v: %+v, %v", &c.site, o, err)
			}
		})
	}
}
