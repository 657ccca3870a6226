package campaign

import (
	"math"
	"math/rand/v2"
	"time"

	"noonmark/internal/replay"
)

// steady returns a site of a good receiver, without faults. Every second one has one
// oscillator only.
func steady(seed uint64) *Site {
	return &Site{
		Seed: seed, Start: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC),
		Receiver: Receiver{Order: []string{"RMC"}, Talker: "GN", First: 120 * time.Millisecond, Jitter: 20 * time.Millisecond, Baud: 9600, PerS: 1, Heard: 2},
		System:   System{Offset: 3 * time.Millisecond, Steered: seed%2 == 0},
	}
}

// restarts returns one to three seconds, from first on, up to a minute apart.
func restarts(r *rand.Rand, first int) (all []int) {
	n := 1 + r.IntN(3)
	for at := first; len(all) < n; at += 1 + r.IntN(60) {
		all = append(all, at)
	}
	return all
}

// DrawDrift returns a site of a good receiver whose pulses drift around restarts, and
// come back.
func DrawDrift(seed uint64) *Site {
	r, s := rand.New(rand.NewPCG(seed, 0x6472696674)), steady(seed)
	at := 150 + r.IntN(900)
	ns := math.Round(math.Pow(10, 0.5+3*r.Float64()))
	if r.IntN(2) == 0 {
		ns = -ns
	}
	s.Pulse.Drifts = []replay.Shift{{At: time.Duration(at) * time.Second, For: time.Duration(1+r.IntN(120)) * time.Second, NS: ns}}
	s.Restarts = restarts(r, at-20+r.IntN(80))
	return s
}

// DrawJump returns a site of a good receiver whose pulses jump around restarts, by 1 us
// and more, for a while or for ever. Some programs do not know the rate of the port, and
// so get no label for some seconds.
func DrawJump(seed uint64) *Site {
	r, s := rand.New(rand.NewPCG(seed, 0x6a756d70)), steady(seed)
	at := 150 + r.IntN(900)
	x := replay.Shift{At: time.Duration(at) * time.Second, For: time.Duration(1+r.IntN(200)) * time.Second, NS: math.Round(math.Pow(10, 3+2*r.Float64()))}
	if r.IntN(4) == 0 {
		x.For = 24 * time.Hour
	}
	if r.IntN(2) == 0 {
		x.NS = -x.NS
	}
	s.Pulse.Jumps = []replay.Shift{x}
	if r.IntN(2) == 0 {
		s.Rates = []int{19200, 38400, 115200, 4800, 57600, 9600}
	}
	s.Restarts = restarts(r, max(at-90+r.IntN(110), 1))
	return s
}
