package alert

import (
	"errors"
	"path/filepath"
	"strings"
	"time"

	config "noonmark/internal/config/alert"
	"noonmark/internal/daemon"
	"noonmark/internal/observe"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/ntske"
)

// Facts are what the daemons publish at one instant. What could not be read is
// nil, and is never taken for good news.
type Facts struct {
	Now      time.Time
	Status   *report.Status
	Err      error // why there is no Status
	Stale    bool  // refclockd has stopped publishing
	Alone    bool  // there is no refclockd here: ntsserve serves the clock of another program
	Details  *report.Details
	Tasks    []daemon.Status // of refclockd
	Server   *ServerFacts
	Fault    *observe.Fault // why clients do not get the clock; nil: they do, or no server is expected
	Discs    []Disc
	DiscsErr error
}

// ServerFacts are what ntsserve publishes.
type ServerFacts struct {
	PID          int
	Tasks        []daemon.Status
	Certificates map[string]time.Duration // time left, by name
	KeyOverdue   bool
	Refusals     *float64 // NTS-KE, a minute; nil: not known yet
	Software     *float64 // share of requests without a timestamp of the hardware; nil: not known, or too few requests
}

// Disc is the room of a file system.
type Disc struct {
	Path string
	Free float64 // share
	Left int64   // octets
}

// Sources gathers facts. It is for one goroutine.
type Sources struct {
	machine observe.Machine
	discs   []string
	last    *serverSample // of a minute ago
}

const (
	// silent is the age of the snapshot, s, from which refclockd has stopped: it
	// publishes at least four times a second.
	silent = 5
	// rateSpan is over what time rates are computed.
	rateSpan = time.Minute
	// fewRequests is the number of requests in rateSpan below which a share of them
	// means nothing.
	fewRequests = 100
)

// NewSources returns the sources of a configuration.
func NewSources(s *config.Settings, mono func() int64) *Sources {
	return &Sources{machine: observe.Machine{
		Snapshot: filepath.Join(s.RuntimeDir, filepath.Base(status.DefaultPath)), Serving: s.Serving, Mono: mono, Refclockd: s.RefclockdConfig, Ntsserve: s.NtsserveConfig,
	}, discs: s.Discs}
}

// Gather reads the facts now.
func (s *Sources) Gather() *Facts {
	v := s.machine.Look()
	f := &Facts{Now: time.Now(), Status: v.Status, Err: v.Why, Alone: v.Alone && v.Serves}
	if v.Serves {
		f.Fault = v.Fault()
	}
	if st := v.Status; st != nil {
		if f.Stale = st.AgeS > silent; !f.Stale {
			f.Details = report.ReadDetails(s.machine.Snapshot, st.PID, s.machine.Mono())
		}
	}
	f.Tasks = tasksBeside(s.machine.Snapshot)
	if v.Serving != nil {
		f.Server = s.server(v.Serving, f.Now)
		f.Server.Tasks = tasksBeside(s.machine.Serving)
	}
	for _, d := range s.discs {
		x, err := discOf(d)
		if err != nil {
			f.DiscsErr = errors.Join(f.DiscsErr, err)
			continue
		}
		f.Discs = append(f.Discs, x)
	}
	return f
}

// tasksBeside reads the states of the tasks of a daemon that publishes in a file; nil: they
// cannot be read.
func tasksBeside(path string) []daemon.Status {
	r, err := daemon.ReadReport(filepath.Join(filepath.Dir(path), daemon.StateFileName))
	if err != nil {
		return nil
	}
	return r.Tasks
}

// serverSample are the counters of ntsserve at one time.
type serverSample struct {
	at                           time.Time
	pid                          int
	refusals, requests, software uint64
}

// server describes what ntsserve publishes.
func (s *Sources) server(x *observe.Serving, now time.Time) *ServerFacts {
	f, is := &ServerFacts{PID: x.PID, Certificates: map[string]time.Duration{}}, serverSample{at: now, pid: x.PID}
	for _, c := range x.Certificates {
		f.Certificates[strings.Join(c.Names, " ")] = c.NotAfter.Sub(now)
	}
	f.KeyOverdue = x.CookieKeys != nil && x.CookieKeys.Overdue
	if x.KE != nil {
		for result, n := range x.KE.Results {
			if result != ntske.Served.String() {
				is.refusals += n
			}
		}
	}
	for _, e := range x.Endpoints {
		for kind, n := range e.Stamps {
			if is.requests += n; kind != "hardware" {
				is.software += n
			}
		}
	}
	was := s.last
	if was == nil || is.pid != was.pid || is.refusals < was.refusals || is.requests < was.requests || is.software < was.software {
		s.last = &is // the first look, or ntsserve was restarted
		return f
	}
	span := is.at.Sub(was.at)
	if span < rateSpan {
		return f
	}
	s.last = &is
	rate := float64(is.refusals-was.refusals) / span.Minutes()
	f.Refusals = &rate
	if n := is.requests - was.requests; n >= fewRequests {
		share := float64(is.software-was.software) / float64(n)
		f.Software = &share
	}
	return f
}
