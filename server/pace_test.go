package server

import (
	"testing"
	"time"

	"noonmark/server/transport"
)

// Requests gather only if they come fast and do not fill a batch anyway, for longer if
// that many more come.
func TestPace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		batch   int
		answers int // of it, answered
		every   time.Duration
		want    time.Duration
	}{
		{"one a second", 1, 1, time.Second, 0},
		{"1,000 a second", 1, 1, time.Millisecond, 0},
		{"10,000 a second", 1, 1, 100 * time.Microsecond, maxGather},
		{"10,000 a second in eights", 8, 1, 800 * time.Microsecond, maxGather},
		{"32,000 a second in sixteens", 16, 16, 500 * time.Microsecond, 500 * time.Microsecond},
		{"50,000 a second in twenties", 20, 20, 400 * time.Microsecond, minGather},
		{"20,000 a second that get no answer", 20, 0, time.Millisecond, 2800 * time.Microsecond},
		{"10,000 a second that get no answer", 1, 0, 100 * time.Microsecond, maxUnanswered},
		{"full batches", transport.BatchLen, 0, 400 * time.Microsecond, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, got := pace{interval: idleInterval}, time.Duration(0)
			for k := range int64(100) {
				got = p.gather(c.batch, c.answers, k*int64(c.every))
			}
			if d := got - c.want; d < 0 || d > time.Microsecond {
				t.Errorf("%v, interval %d ns, want %v", got, p.interval, c.want)
			}
		})
	}
}
