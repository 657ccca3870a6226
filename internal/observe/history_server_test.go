package observe

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"noonmark/refclock/gnss"
)

func TestCountersOfTheServerBecomeRates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), ServingName)
	s, start := newServed(path), int64(1e12)
	write := func(second int64, pid int, requests, hardware, software uint64, clients *ServingClients) {
		t.Helper()
		b, err := json.Marshal(&Serving{PID: pid, Mono: start + second*1e9, Clients: clients, Endpoints: []ServingEndpoint{
			{Requests: requests, Stamps: map[string]uint64{"hardware": hardware}}, {Requests: 5, Stamps: map[string]uint64{"software": software}}}})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	nan := math.NaN()
	expect := func(second int64, requests, clients, hardware float64) {
		t.Helper()
		s.look(start + second*1e9 + 1)
		same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
		if !same(s.requests, requests) || !same(s.clients, clients) || !same(s.hardware, hardware) {
			t.Errorf("at %d s: %v requests a second, %v clients, share %v; want %v, %v, %v", second, s.requests, s.clients, s.hardware, requests, clients, hardware)
		}
	}
	expect(0, nan, nan, nan) // no ntsserve
	write(10, 7, 1000, 900, 100, nil)
	expect(10, nan, nan, nan)
	write(20, 7, 1400, 1200, 200, &ServingClients{Networks: 3})
	expect(20, 40, 3, 0.75)
	write(25, 7, 9999, 9999, 200, nil)
	expect(25, 40, 3, 0.75) // not yet
	write(30, 7, 1400, 1200, 200, &ServingClients{})
	expect(30, 0, 0, nan) // nobody asks: the rate is zero, and a share means nothing
	write(40, 8, 10, 10, 0, nil)
	expect(40, nan, nan, nan) // it was restarted
	write(50, 8, 5, 10, 0, nil)
	expect(50, nan, nan, nan) // a counter that falls
	expect(70, nan, nan, nan) // it does not publish any more
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(80, nan, nan, nan)
}

func TestMeanSignal(t *testing.T) {
	t.Parallel()
	if v := meanCN0(nil); !math.IsNaN(v) {
		t.Error(v)
	}
	if v := meanCN0([]gnss.Satellite{{CN0: 40}, {CN0: 0}, {CN0: 45}}); v != 42.5 {
		t.Error(v)
	}
}
