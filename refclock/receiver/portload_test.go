package receiver

import (
	"math"
	"testing"

	"noonmark/refclock/gnss"
)

func TestLoadIsTheUsedFraction(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		baud  int
		burst int // octets a second
		want  float64
		ok    bool
	}{
		{"no rate", 0, 400, 0, false},
		{"USB at a nominal rate", 9600, 2000, 0, false},
		{"full", 4800, 475, 0.99, true},
		{"half", 9600, 480, 0.5, true},
		{"silent", 9600, 0, 0, true},
	} {
		var l portLoad
		var n gnss.Counters
		got, ok, answers := -1.0, false, 0
		for s := 0.0; s < 35; s += 0.1 {
			if i := int(s*10 + 0.5); i%10 == 2 {
				n.Octets += uint64(c.burst)
			}
			if p, good := l.Next(&n, c.baud, int64(s*1e9)); good {
				got, ok, answers = p, true, answers+1
			}
		}
		if ok != c.ok || ok && math.Abs(got-c.want) > 0.02 || ok && answers != 3 {
			t.Errorf("%s: %.2f, %v, %d times; want %.2f, %v, 3 times", c.name, got, ok, answers, c.want, c.ok)
		}
	}
	// Another rate begins anew.
	var l portLoad
	l.Next(&gnss.Counters{}, 4800, 0)
	l.Next(&gnss.Counters{Octets: 9000}, 115200, 9e9)
	if p, ok := l.Next(&gnss.Counters{Octets: 9100}, 115200, 20e9); !ok || p > 0.01 {
		t.Errorf("after a change of rate: %v, %v", p, ok)
	}
}
