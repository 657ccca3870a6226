package server

import (
	"math/rand/v2"
	"testing"
)

var (
	alone      = groupPlace{count: 1}
	fourthOf5  = groupPlace{count: 5, index: 3}
	fourthOf8  = groupPlace{count: groupLen, index: 3}
	firstOf8   = groupPlace{count: groupLen}
	lastSealed = groupPlace{kind: secureKind, count: groupLen, index: groupLen - 1}
)

// learned is the least latency of an answer sent alone, ns, however few samples there are;
// none without.
func (l *txLatency) learned(none int64) int64 {
	known := false
	for kind := range l.cells {
		if c := &l.cells[kind][0][0]; c.known && (!known || c.value() < none) {
			known, none = true, c.value()
		}
	}
	return none
}

func TestLatencyUsesOtherGroupsUntilThereAreEnoughSamples(t *testing.T) {
	t.Parallel()
	l := txLatency{floor: 1500}
	if got := l.of(fourthOf8); got != 1500 {
		t.Errorf("without samples: %d ns, want the floor", got)
	}
	for i := range fewSamples {
		if got := l.of(alone); got != 1500 {
			t.Errorf("%d ns after %d samples", got, i)
		}
		l.learn(alone, max(9000, 16000-7000*int64(i))) // the first is cold
	}
	if got := l.of(alone); got != 9000 {
		t.Errorf("%d ns after %d samples of 9000 and more", got, fewSamples)
	}
	if got := l.of(fourthOf8); got != 9000 {
		t.Errorf("an unknown combination has %d ns, want that of an answer sent alone", got)
	}
	for i := range windowLen {
		if got := l.of(fourthOf5); got > 9000 {
			t.Fatalf("%d ns after %d samples of 30000", got, i)
		}
		if !l.young(fourthOf5) {
			t.Fatalf("%d samples are enough", i)
		}
		l.learn(fourthOf5, 30000)
	}
	if got := l.of(fourthOf5); got != 30000 || l.young(fourthOf5) {
		t.Errorf("%d ns after %d samples of 30000", got, windowLen)
	}
}

// The latency is near the least of the samples, above few of them, and forgets
// another load.
func TestLatencyFollowsTheMinimum(t *testing.T) {
	t.Parallel()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, 0))
	l := txLatency{floor: 1500}
	for _, c := range []struct {
		name         string
		place        groupPlace
		wire, spread int64 // samples are from wire to wire+spread, ns
		samples      int
	}{
		{name: "alone", place: alone, wire: 8000, spread: 2000, samples: 2000},
		{name: "first of eight", place: firstOf8, wire: 12000, spread: 500, samples: 2000},
		{name: "last of eight, sealed", place: lastSealed, wire: 30000, spread: 500, samples: 2000},
		{name: "alone on a slower machine", place: alone, wire: 20000, spread: 2000, samples: 2 * windowLen},
		{name: "alone on a faster machine", place: alone, wire: 4000, spread: 2000, samples: windowLen},
	} {
		late := 0
		for i := range c.samples {
			at := c.wire + rnd.Int64N(c.spread)
			if i%10 == 9 {
				at += 1e6 // overload
			}
			if i > 2*windowLen && l.of(c.place) > at {
				late++
			}
			l.learn(c.place, at)
		}
		if got := l.of(c.place); got < c.wire || got > c.wire+c.spread/4 {
			t.Errorf("seed %d, %s: %d ns, samples from %d to %d", seed, c.name, got, c.wire, c.wire+c.spread)
		}
		if late > c.samples/20 {
			t.Errorf("seed %d, %s: %d of %d timestamps were later than the departure", seed, c.name, late, c.samples)
		}
	}
}

func TestLatencyIsLimited(t *testing.T) {
	t.Parallel()
	l := txLatency{floor: 1500}
	for range 2 * windowLen {
		l.learn(alone, 1e9)
	}
	if got := l.of(alone); got != maxLatency {
		t.Errorf("%d ns after samples of 1 s, want %d", got, maxLatency)
	}
	l.learn(alone, -1e9)
	if got := l.of(alone); got != 0 {
		t.Errorf("%d ns after a sample of -1 s, want 0", got)
	}
}

func TestOvershootIsTheWorstAndDecays(t *testing.T) {
	t.Parallel()
	var o overshoot
	for _, late := range []int64{-5000, 300, 2000, -100, 50} {
		o.learn(late)
	}
	if o < 1950 || o > 2000 {
		t.Errorf("%d ns, want nearly 2000", o)
	}
	for range 5000 {
		o.learn(-1000)
	}
	if o != 0 {
		t.Errorf("%d ns after 5000 samples that were not late, want 0", o)
	}
}
