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
	"noonmark/server/ntske"
)

// Facts are what the daemons publish at one instant. What could not be read is
// nil, and is never taken for good news.
type Facts struct {
	Now      time.Time
	Status   *report.Status
	Err      error // why there is no Status
	Stale    bool  // refclockd has stopped publishing
	Details  *report.Details
	Tasks    []daemon.Status
	Server   *ServerFacts
	Discs    []Disc
	DiscsErr error
}

// ServerFacts are what ntsserve publishes.
type ServerFacts struct {
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
	runtimeDir string
	serving    string // file of ntsserve; empty: none
	discs      []string
	mono       func() int64  // CLOCK_MONOTONIC_RAW, ns
	last       *serverSample // of a minute ago
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
	return &Sources{runtimeDir: s.RuntimeDir, serving: s.Serving, discs: s.Discs, mono: mono}
}

// Gather reads the facts now.
func (s *Sources) Gather() *Facts {
	f := &Facts{Now: time.Now()}
	path := filepath.Join(s.runtimeDir, "status")
	if st, err := report.Read(path, s.mono); err != nil {
		f.Err = err
	} else {
		f.Status, f.Stale = &st, st.AgeS > silent
		if !f.Stale {
			f.Details = report.ReadDetails(path, st.PID, s.mono())
		}
	}
	if r, err := daemon.ReadReport(filepath.Join(s.runtimeDir, daemon.StateFileName)); err == nil {
		f.Tasks = r.Tasks
	}
	if s.serving != "" {
		f.Server = s.server(f.Now)
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

// serverSample are the counters of ntsserve at one time.
type serverSample struct {
	at                           time.Time
	pid                          int
	refusals, requests, software uint64
}

// server reads what ntsserve publishes, nil if it publishes nothing.
func (s *Sources) server(now time.Time) *ServerFacts {
	x, err := observe.ReadServing(s.serving, s.mono())
	if err != nil {
		return nil
	}
	f, is := &ServerFacts{Certificates: map[string]time.Duration{}}, serverSample{at: now, pid: x.PID}
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

// reasonOf reports whether the published reason names one of the words.
func reasonOf(s *report.Status, words ...string) bool {
	for _, w := range words {
		if s.Reason == w || strings.HasSuffix(s.Reason, ": "+w) || strings.HasPrefix(s.Reason, w+" ") || strings.Contains(s.Reason, ": "+w+" ") {
			return true
		}
	}
	return false
}
