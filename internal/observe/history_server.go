package observe

import (
	"math"
	"time"

	"noonmark/refclock/gnss"
)

// servedEvery is how often the counters of ntsserve are read for the history.
const servedEvery = int64(10 * time.Second)

// served turns the counters of ntsserve on this machine into values of the history.
// It is for one goroutine.
type served struct {
	path string
	at   int64    // CLOCK_MONOTONIC_RAW of the last look, ns; 0: none yet
	last *Serving // nil: there was none

	// The values; NaN: not known.
	requests, clients, hardware float64
}

func newServed(path string) *served {
	return &served{path: path, requests: math.NaN(), clients: math.NaN(), hardware: math.NaN()}
}

// look reads the counters if it is time to; mono is CLOCK_MONOTONIC_RAW, ns.
func (s *served) look(mono int64) {
	if s.at != 0 && mono-s.at < servedEvery {
		return
	}
	s.at, s.requests, s.clients, s.hardware = mono, math.NaN(), math.NaN(), math.NaN()
	was, is := s.last, (*Serving)(nil)
	if x, err := ReadServing(s.path, mono); err == nil {
		is = x
	}
	s.last = is
	if is == nil {
		return
	}
	if is.Clients != nil {
		s.clients = float64(is.Clients.Networks)
	}
	if was == nil || was.PID != is.PID || is.Mono <= was.Mono {
		return
	}
	var requests, stamped, hardware float64
	for _, e := range is.Endpoints {
		requests += float64(e.Requests)
		for kind, n := range e.Stamps {
			if stamped += float64(n); kind == "hardware" {
				hardware += float64(n)
			}
		}
	}
	for _, e := range was.Endpoints {
		requests -= float64(e.Requests)
		for kind, n := range e.Stamps {
			if stamped -= float64(n); kind == "hardware" {
				hardware -= float64(n)
			}
		}
	}
	if requests >= 0 {
		s.requests = requests / (float64(is.Mono-was.Mono) * 1e-9)
	}
	if stamped > 0 && hardware >= 0 && hardware <= stamped {
		s.hardware = hardware / stamped
	}
}

// meanCN0 is the mean signal of the satellites that are tracked, dB-Hz; NaN if there
// are none.
func meanCN0(sky []gnss.Satellite) float64 {
	sum, n := 0.0, 0.0
	for i := range sky {
		if sky[i].CN0 > 0 {
			sum, n = sum+float64(sky[i].CN0), n+1
		}
	}
	return sum / n
}
