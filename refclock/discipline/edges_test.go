package discipline

import (
	"testing"

	"noonmark/phc/tai"
)

// The next run begins with the latest pulses of this one, and a jump between the two is
// one among them.
func TestRecentPulsesContinue(t *testing.T) {
	var r, next recentPulses
	for i := range int64(recentKept + 10) {
		r.add((i + 1) * 1e9)
		r.add((i + 1) * 1e9) // once
	}
	if r.n != recentKept || r.mono[0] != 11e9 {
		t.Fatalf("%d pulses from %d on", r.n, r.mono[0])
	}
	l := r.last()
	next.continueFrom(&l)
	if next.n != len(l) || next.mono[0] != int64(recentKept+10-len(l)+1)*1e9 || next.mono[next.n-1] != (recentKept+10)*1e9 {
		t.Errorf("%d pulses, %v", next.n, next.mono[:next.n])
	}
	if next.add(5e9); next.n != 1 || next.mono[0] != 5e9 {
		t.Errorf("after pulses of the future: %d pulses, %v", next.n, next.mono[:next.n])
	}
	if next.add(64e9); next.n != 2 {
		t.Errorf("after 59 s: %d pulses", next.n)
	}
	if next.add(125e9); next.n != 1 || next.mono[0] != 125e9 {
		t.Errorf("after 61 s: %d pulses, %v", next.n, next.mono[:next.n])
	}
	few := LastPulses{len(l) - 1: 7}
	if next.continueFrom(&few); next.n != 1 || next.mono[0] != 7 {
		t.Errorf("%d pulses, %v", next.n, next.mono[:next.n])
	}
}

// A jump is found whichever fraction of a second the pulses are at.
func TestRecentPulsesJumpAcrossHalfASecond(t *testing.T) {
	var r recentPulses
	for i := range int64(30) {
		ns := (i+100)*1e9 + 5e8 - 600
		if i >= 17 {
			ns += 1200
		}
		r.add(ns)
	}
	at, j := r.jumped(func(mono int64) float64 {
		t := tai.Time(mono)
		return float64(t.Round() - t)
	}, 20, 300)
	if at != 17 || j.ns > -1195 || j.ns < -1205 {
		t.Errorf("%+v after %d, want -1200 after 17", j, at)
	}
}
