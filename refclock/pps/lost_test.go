package pps

import (
	"math/rand/v2"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
)

// A card that stamps both edges (i226) loses stamps, and some are a second off. No
// lost stamp makes the other edge the wanted one, and no edge is of another second
// than its stamp.
func TestLostStamps(t *testing.T) {
	t.Parallel()
	const width, seconds, base, mono = 100 * time.Millisecond, 3600, int64(1795426200e9), int64(1e12)
	for _, certain := range []bool{true, false} {
		for _, lost := range []float64{0, 0.01, 0.03, 0.05, 0.1, 0.2, 0.3} {
			for _, off := range []float64{0, 0.02} { // part of the stamps of the wanted edge that are a second late
				for seed := range uint64(8) {
					r := rand.New(rand.NewPCG(seed, 2))
					f := NewFilter(ExtTSOptions{Edge: phc.Rising, Width: width}, phc.ExtTSGrant{Edges: phc.Rising, Certain: certain})
					delivered, otherEdge, wrongSecond := 0, 0, 0
					push := func(stamp, at int64, late bool) {
						x, ok, _ := f.Push(phc.ExtTSEvent{Clock: tai.Time(stamp), Mono: at})
						if !ok {
							return
						}
						delivered++
						phase := (x.Stamp + 500e6) % second
						if phase < 500e6-1e6 || phase > 500e6+1e6 {
							otherEdge++
						}
						if d := x.Stamp - (base + at - mono); !late && (d > 500e6 || d < -500e6) {
							wrongSecond++
						}
					}
					for k := range int64(seconds) {
						at, stamp, late := mono+k*second+50000, base+k*second+r.Int64N(40)-20, r.Float64() < off
						if late {
							stamp += second
						}
						if r.Float64() >= lost {
							push(stamp, at, late)
						}
						if !certain && r.Float64() >= lost {
							push(base+k*second+int64(width)+r.Int64N(40), at+int64(width), false)
						}
					}
					if otherEdge > 0 || wrongSecond > 0 {
						t.Errorf("certain %v, lost %v, off %v, seed %d: of %d edges %d are the other one, %d a second off", certain, lost, off, seed, delivered, otherEdge, wrongSecond)
					}
					// Where three stamps in ten are missing, no more than half of the edges may be refused as well.
					if least := int((1 - lost) * (1 - 3*off) * seconds / 2); delivered < least {
						t.Errorf("certain %v, lost %v, off %v, seed %d: %d edges delivered, want %d at least", certain, lost, off, seed, delivered, least)
					}
				}
			}
		}
	}
}
