package campaign

import (
	"math"
	"math/rand/v2"
	"time"

	"noonmark/internal/replay"
)

// DrawDrift returns a site of a good receiver whose pulses drift around restarts, and
// come back. Every second one has one oscillator only.
func DrawDrift(seed uint64) *Site {
	r := rand.New(rand.NewPCG(seed, 0x6472696674))
	s := &Site{Seed: seed, Start: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	s.Receiver = Receiver{Order: []string{"RMC"}, Talker: "GN", First: 120 * time.Millisecond, Jitter: 20 * time.Millisecond, Baud: 9600, PerS: 1, Heard: 2}
	s.System = System{Offset: 3 * time.Millisecond, Steered: seed%2 == 0}
	at := 150 + r.IntN(900)
	ns := math.Round(math.Pow(10, 0.5+3*r.Float64()))
	if r.IntN(2) == 0 {
		ns = -ns
	}
	s.Pulse.Drifts = []replay.Shift{{At: time.Duration(at) * time.Second, For: time.Duration(1+r.IntN(120)) * time.Second, NS: ns}}
	for restart := at - 20 + r.IntN(80); len(s.Restarts) < 1+r.IntN(3); restart += 1 + r.IntN(60) {
		s.Restarts = append(s.Restarts, restart)
	}
	return s
}
