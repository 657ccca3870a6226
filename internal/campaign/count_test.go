package campaign

import (
	"bytes"
	"testing"
	"time"
)

// Receivers that change their leap count in sight: 60 sites. More are played by:
// go run ./internal/campaign/run -only counts -seed 400000 -sites 2000.
func TestCountsThatChange(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	c := Campaign{Seed: 400000, Draw: DrawCount, Sites: 60, Dir: t.TempDir(), Log: &log}
	total, err := c.Run()
	if err != nil || total.Failures > 0 || total.Served < 50 {
		t.Errorf("%v, %v\n%s", &total, err, log.String())
	}
}

// Sites whose labels move by exactly a second, and which were served the wrong second or
// not at all: the announcement and the labels do not change together, or the table of
// leap seconds lacks the second.
func TestFoundCounts(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	makes := func(first time.Duration, baud int, counts []Count, order ...string) Receiver {
		return Receiver{Order: order, Talker: "GP", First: first, Baud: baud, PerS: 1, Counts: counts, Source: 0, Heard: 5}
	}
	sure := func(x Receiver) Receiver { x.Sure = true; return x }
	noRTC, near, kept := System{NoRTC: true}, System{Offset: 3 * ms}, System{Offset: -4 * ms, Kept: true}
	seen := func(at int) Leap { return Leap{At: at} }
	for _, c := range []struct {
		name string
		site Site
	}{
		{"announced as received 21 s before it is applied", Site{Seed: 400000, Receiver: makes(189*ms, 9600, []Count{{Wrong: 1}, {218, 197, 0}}, "PVT", "TIMELS"), System: noRTC}},
		{"announced 30 s before it is applied", Site{Seed: 400006, Receiver: makes(308*ms, 19200, []Count{{Wrong: 1}, {515, 485, 0}}, "RMC", "TIMELS"), System: noRTC}},
		{"a count too high, announced 34 s before it is applied", Site{Seed: 400015, Receiver: sure(makes(454*ms, 115200, []Count{{Wrong: -1}, {214, 180, 0}}, "RMC", "TIMELS")), System: near}},
		{"a count too high from the firmware, announced 45 s before", Site{Seed: 400381, Receiver: makes(154*ms, 115200, []Count{{Wrong: -1}, {163, 118, 0}}, "RMC", "TIMELS"), System: near}},
		{"announced before it is applied, and the table lacks the second", Site{Seed: 400086, Receiver: makes(391*ms, 9600, []Count{{Wrong: 1}, {190, 138, 0}}, "TIMELS", "PVT"), System: near, Leap: seen(-2080800)}},
		{"the table lacks the second, and the count is announced while the second is verified", Site{Seed: 400192, Receiver: makes(90*ms, 19200, []Count{{Wrong: 1}, {192, 192, 0}}, "ZDA", "TIMELS"), System: near, Leap: seen(-4032000)}},
		{"a leap second that only the count of NAV-TIMEGPS shows", Site{Seed: 400120, Receiver: makes(131*ms, 19200, []Count{{442, 442, 1}, {473, 473, 0}}, "TIMEGPS"), System: near, Leap: seen(441)}},
		{"the count of NAV-TIMEGPS comes after the lock", Site{Seed: 400157, Receiver: makes(219*ms, 115200, []Count{{Wrong: 1}, {414, 462, 0}}, "TIMEGPS"), System: noRTC, Leap: seen(-6055200)}},
		{"a leap second that RMC shows 25 s late", Site{Seed: 400048, Receiver: makes(50*ms, 19200, []Count{{1119, 1119, 1}, {1144, 1163, 0}}, "RMC"), System: noRTC, Leap: seen(1118)}},
		{"a leap second that is applied and announced a minute late", Site{Seed: 400054, Receiver: makes(403*ms, 57600, []Count{{514, 514, 1}, {573, 573, 0}}, "RMC", "TIMELS"), System: noRTC, Leap: seen(513)}},
		{"labels lose a second that the table lacks, and the count stays announced", Site{Seed: 400186, Receiver: makes(392*ms, 9600, []Count{{348, 299, -1}, {467, 467, 0}}, "RMC", "TIMELS"), System: near, Leap: seen(-1602000)}},
		{"an alarm ends while labels dispute the second", Site{Seed: 402347, Receiver: makes(42*ms, 115200, []Count{{Wrong: 1}, {291, 311, 0}, {741, 748, 1}, {1058, 1058, 0}}, "RMC", "TIMELS"), System: System{Offset: 6 * ms, PPM: 17.6}, Leap: seen(-12438000)}},
		{"messages come so soon that they cannot contradict a kept clock any more", Site{Seed: 402524, Receiver: Receiver{Order: []string{"TIMEUTC", "TIMEGPS"}, Talker: "GP", First: 24 * ms, Jitter: 8 * ms, Baud: 9600, PerS: 1, Heard: 5, Counts: []Count{{Wrong: 1}, {252, 288, 0}}}, System: kept, Leap: seen(-14310000)}},
		{"the announced count, which the table lacks, counts while labels dispute the second", Site{Seed: 500089, Receiver: Receiver{Order: []string{"ZDA", "TIMELS"}, Talker: "BD", First: 155 * ms, Baud: 19200, PerS: 1, Source: 255, Heard: 2, Counts: []Count{{Wrong: 1}, {52, 80, 0}, {193, 235, -1}, {242, 235, 0}}}, System: near, Leap: seen(-2509200)}},
		{"a restart a second before a leap second that the table lacks", Site{Seed: 700635, Receiver: Receiver{Order: []string{"TIMEGPS", "RMC", "PVT", "ZDA", "GGA", "GSV", "TIMEUTC", "TIMELS"}, Talker: "BD", First: 187 * ms, PerS: 1, Baud: 115200, Source: 255, Heard: 8}, System: System{Offset: 379 * ms, PPM: 15.2}, Restarts: []int{219}, Leap: seen(220)}},
		{"a restart four seconds before it", Site{Seed: 700761, Receiver: Receiver{Order: []string{"TIMEUTC", "TIMEGPS", "PVT", "TIMELS"}, Talker: "GL", First: 226 * ms, Jitter: 5 * ms, PerS: 1, Baud: 115200, Source: 9, Heard: 2}, System: System{Offset: -14 * ms, Steered: true}, Restarts: []int{313}, Leap: seen(317)}},
		{"labels lose a second within a minute of a restart, and the count stays announced", Site{Seed: 710056, Receiver: Receiver{Order: []string{"PVT", "TIMEUTC", "TIMELS"}, Talker: "BD", First: 323 * ms, Jitter: 7 * ms, PerS: 1, Baud: 9600, Source: 9, Heard: 2, Counts: []Count{{495, 550, -1}, {777, 801, 0}}}, System: near, Restarts: []int{441}, Leap: seen(-6894000)}},
		{"labels lose a second when 13 minutes of tracking are nearly over", Site{Seed: 400110, Receiver: Receiver{Order: []string{"GGA", "RMC", "TIMEUTC", "PVT"}, Talker: "BD", First: 360 * ms, Jitter: 30 * ms, PerS: 1, Baud: 9600, FixAt: 50, Source: 9, Heard: 3, Counts: []Count{{Wrong: 1}, {219, 219, 0}, {961, 984, -1}, {1008, 984, 0}}}, System: System{Offset: 1038 * ms, PPM: 6.7}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.site.Start = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			if at := c.site.Leap.At; at != 0 {
				c.site.Start = time.Date(2028, 1, 1, 0, 0, 0, 0, time.UTC).Add(-time.Duration(at) * time.Second)
			}
			if o, err := c.site.Play(); err != nil || o.Failure != "" || o.Coincident || o.FirstRight == 0 && c.site.servable() {
				t.Errorf("%v: %+v, %v", &c.site, o, err)
			}
		})
	}
}
