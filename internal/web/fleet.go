package web

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"sync"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
)

// fleet reads what the agent of a fleet publishes.
type fleet struct {
	path string
	mono func() int64
	log  *daemon.Limited

	mu       sync.Mutex // guards the rest
	print    durable.Fingerprint
	file     *fleetview.File // nil: why says why not
	why      error
	wanted   durable.Published // Path empty: there is no such folder
	notified time.Time         // when wanted was written
}

// notifyEvery is the time between two writes of fleet.wanted: the agent looks at its age.
const notifyEvery = fleetview.WantedFor / 4

// look returns the file as it is now. It is read only when it has changed.
func (f *fleet) look() (*fleetview.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	print := durable.FingerprintOf(f.path)
	if print == f.print {
		return f.file, f.why
	}
	f.file, f.why = fleetview.Read(f.path, f.mono())
	f.print = durable.Fingerprint{}
	if print.Settled(time.Now()) || f.file != nil { // what is replaced has another fingerprint
		f.print = print
	}
	return f.file, f.why
}

// notify says to the agent that somebody looks at the fleet.
func (f *fleet) notify() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wanted.Path == "" || time.Since(f.notified) < notifyEvery {
		return
	}
	f.notified = time.Now()
	if err := f.wanted.Write(nil); err != nil {
		f.log.Log(slog.LevelWarn, "fleet", "the agent of the fleet does not learn that the page is open", "error", err)
	}
}

// fleetGlance is the fleet in the stream. Its JSON keys only grow.
type fleetGlance struct {
	Fleet   string `json:"fleet"`
	Node    string `json:"node"`  // this machine
	State   string `json:"state"` // of this node; empty: not known
	Why     string `json:"why"`   // why it may not serve, or why the file cannot be used
	Stopped bool   `json:"stopped"`
}

// glance returns nil where no agent publishes.
func (f *fleet) glance() *fleetGlance {
	x, err := f.look()
	switch {
	case errors.Is(err, fleetview.ErrNone):
		return nil
	case err != nil:
		return &fleetGlance{Why: err.Error()}
	}
	return &fleetGlance{Fleet: x.Name, Node: x.Node, State: x.Self.State, Why: x.Self.Why, Stopped: x.Stale(f.mono())}
}

// fleetAnswer is the answer of /api/v1/fleet. Its JSON keys only grow.
type fleetAnswer struct {
	Age     float64  `json:"age_s"`      // since the agent wrote it
	ReadAge *float64 `json:"read_age_s"` // since the nodes were read from etcd; null: not yet
	Stopped bool     `json:"stopped"`    // the agent does not write any more
	fleetview.File
}

// serveFleet answers what the agent of this node publishes.
func (s *Server) serveFleet(w http.ResponseWriter, _ *http.Request) {
	x, err := s.fleet.look()
	if err != nil {
		absent(w, err)
		return
	}
	s.fleet.notify()
	mono := s.cfg.Mono()
	a := fleetAnswer{Age: seconds(mono - x.Mono), Stopped: x.Stale(mono), File: *x}
	if x.ReadMono > 0 {
		age := seconds(mono - x.ReadMono)
		a.ReadAge = &age
	}
	writeJSON(w, http.StatusOK, a)
}

// seconds of ns, to the millisecond.
func seconds(ns int64) float64 { return math.Round(float64(ns)/1e6) / 1e3 }
