package server

import (
	"testing"
	"time"
)

func TestStatsSumUpTheWorkers(t *testing.T) {
	t.Parallel()
	e := newEndpoint(Endpoint{Name: "x"})
	e.metrics = []*workerMetrics{{}, {}}
	if x := e.stats(); x.Late.P99 != 0 || len(x.Answered)+len(x.Dropped) != 0 || x.Requests != 0 {
		t.Errorf("nothing happened: %+v", x)
	}
	for i, m := range e.metrics {
		var batch tally
		batch.reasons[NTP] = 3
		batch.hardStamps, batch.unstamped, batch.octets = 2, 1, 144
		batch.flush(m, 4)
		m.toWire.Store(int64(i+1) * 1000)
		for range 99 {
			m.addTxError(100 * time.Nanosecond)
		}
		m.addTxError(3 * time.Microsecond)
		m.addTxError(-time.Microsecond)
	}
	x := e.stats()
	if x.Requests != 8 || x.Octets != 288 || x.Answered[NTP.String()] != 6 || x.Stamps.Hardware != 4 || x.Stamps.None != 2 || x.Latency != 2*time.Microsecond {
		t.Errorf("%+v", x)
	}
	if want := (TransmitError{Count: 200, Mean: 129, P99: 125}); x.Late != want || x.Early != (TransmitError{2, time.Microsecond, time.Microsecond}) {
		t.Errorf("late %+v, early %+v", x.Late, x.Early)
	}
}
