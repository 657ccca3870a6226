package web

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"noonmark/internal/doctor"
	"noonmark/internal/observe"
	"noonmark/internal/summary"
	"noonmark/refclock/report"
)

// route is a path that is not a file.
type route struct {
	path    string
	about   string
	open    bool // without the token
	query   []parameter
	kind    string // Content-Type
	answer  any    // of the type of the answer, for the description; nil: no JSON
	failure any    // of the type of an answer 503 that is no problem; nil: none
	serve   http.HandlerFunc
}

// parameter is a parameter of a request.
type parameter struct {
	name, about, kind string
	required          bool
}

const (
	jsonType   = "application/json"
	eventsType = "text/event-stream"
)

// between are the parameters of a range of time.
func between() []parameter {
	return []parameter{{"from", "POSIX seconds, or a time of RFC 3339", "string", false}, {"to", "likewise; now by the clock if missing", "string", false}}
}

func (s *Server) newRoutes() []route {
	k := s.kept
	return []route{
		{path: "/healthz", open: true, about: "200 while clients may use the clock, else 503. Where refclockd is not configured, what ntsserve publishes decides. Where ntsserve is configured or has published, one of its addresses must answer, and with a synchronised clock.", kind: jsonType, answer: health{}, failure: health{}, serve: s.healthz},
		{path: "/metrics", about: "Metrics of refclockweb for Prometheus.", kind: "text/plain", serve: promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, DisableCompression: true}).ServeHTTP},
		{path: "/api/v1/status", about: "The state of the clock, as refclockctl status -json prints it.", kind: jsonType, answer: report.Status{}, serve: s.status},
		{path: "/api/v1/doctor", about: "What doctor finds without rights, as refclockctl doctor -json prints it.", kind: jsonType, answer: doctor.Result{}, serve: s.doctor},
		{path: "/api/v1/summary", about: "The state in sentences, and what to do.", kind: jsonType, answer: summary.Summary{}, serve: s.summary},
		{path: "/api/v1/server", about: "What ntsserve has counted, as refclockctl server -json prints it.", kind: jsonType, answer: observe.Serving{}, serve: s.server},
		{path: "/api/v1/fleet", about: "All nodes of the fleet as this one sees them, with the keys of noonmark-fleet status -json. While it is asked for, the nodes are read at most every 30 s.", kind: jsonType, answer: fleetAnswer{}, serve: s.serveFleet},
		{path: "/api/v1/live", about: "The last twelve minutes, one sample a second, by column.", kind: jsonType, answer: series{}, serve: s.series},
		{path: "/api/v1/history", about: "Measurements that refclockd keeps, at the finest step of which there are at most points.", kind: jsonType, answer: measurements{},
			query: append(between(), parameter{"points", "the largest number of points, 2 to 2000", "integer", false}, parameter{"columns", "names of columns, separated by commas; all if missing", "string", false}),
			serve: k.queued(s.refuse, k.history)},
		{path: "/api/v1/events", about: "What happened, the oldest first.", kind: jsonType, answer: happened{},
			query: append(between(), parameter{"limit", "the latest that many, 1 to 2000", "integer", false}, parameter{"kinds", "kinds of events, separated by commas", "string", false}),
			serve: k.queued(s.refuse, k.events)},
		{path: "/api/v1/stability", about: "Stability of phase data of at most a day, compared with the masks of ITU-T G.8272.", kind: jsonType, answer: deviations{},
			query: append(between(), parameter{"column", "a column in ns; offset_ns if missing", "string", false}), serve: k.queued(s.refuse, k.stability)},
		{path: "/api/v1/phase", about: "The phase data themselves, as a file.", kind: "text/plain",
			query: append(between(), parameter{"column", "a column in ns; offset_ns if missing", "string", false}, parameter{"format", "csv or stable32", "string", false}),
			serve: k.queued(s.refuse, k.download)},
		{path: "/api/v1/stream", about: "The state once a second, as server-sent events named now.", kind: eventsType, answer: update{}, serve: s.stream},
	}
}

// health is the answer of /healthz. Its JSON keys only grow.
type health struct {
	Publishes    bool   `json:"publishes"` // refclockd does
	State        string `json:"state"`     // of the clock; absent: refclockd publishes none
	Synchronised bool   `json:"synchronised"`
	Judged       string `json:"judged_by"` // refclockd or ntsserve: whose report of the clock decides
	Serving      *bool  `json:"serving"`   // an address answers; null: no ntsserve is expected here
}

// health judges by the role of the machine: the clock by what refclockd publishes, and where
// there is no refclockd by what ntsserve publishes; and where there is an ntsserve, clients
// must get the clock from it.
func (m *moment) health() (x health, good bool) {
	x = health{State: "absent", Judged: "refclockd"}
	if st := m.Status; st != nil && !m.Alone {
		x.Publishes, x.State, x.Synchronised = st.AgeS <= observe.SilentAge, st.State, st.Usable
	}
	answers := m.Answers()
	if answers != observe.NotExpected {
		open := answers == observe.Unsynchronised || answers == observe.Synchronised
		x.Serving = &open
	}
	if m.Alone {
		x.Judged, x.Synchronised = "ntsserve", m.Serving != nil && m.Serving.Synchronised
		return x, answers == observe.Synchronised
	}
	return x, x.Publishes && x.Synchronised && (answers == observe.NotExpected || answers == observe.Synchronised)
}

// healthz answers 200 while clients may use the clock, else 503.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	m := s.live.current()
	x, good := m.health()
	code := http.StatusServiceUnavailable
	if good {
		code = http.StatusOK
	}
	writeJSON(w, code, x)
}

// absent answers that a daemon publishes nothing.
func absent(w http.ResponseWriter, err error) {
	writeJSON(w, http.StatusServiceUnavailable, problem{"absent", err.Error()})
}

// status answers what `refclockctl status -json` prints.
func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	m := s.live.read()
	if m.Status == nil {
		absent(w, m.Why)
		return
	}
	writeJSON(w, http.StatusOK, m.Status)
}

// doctor answers what `refclockctl doctor -json` prints, as far as a program
// without rights can see it.
func (s *Server) doctor(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, doctor.NewResult(s.findings.get(r.Context())))
}

// summary answers the state in sentences, with doctor's findings.
func (s *Server) summary(w http.ResponseWriter, r *http.Request) {
	m := s.live.read()
	x := m.summary()
	x.Add(s.findings.get(r.Context()))
	writeJSON(w, http.StatusOK, x)
}

// server answers what ntsserve has counted.
func (s *Server) server(w http.ResponseWriter, _ *http.Request) {
	m := s.live.read()
	if m.Serving == nil {
		absent(w, m.NoServing)
		return
	}
	writeJSON(w, http.StatusOK, m.Serving)
}

// series answers the samples of the last minutes, one a second.
func (s *Server) series(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", jsonType)
	_, _ = w.Write(s.live.samples()) // the client may have gone
}

// Periods of a stream. A page that has gone is noticed when it is written to.
const (
	streamWrite = 10 * time.Second // for one event
	streamLife  = 12 * time.Hour   // then the page connects again
)

// stream sends the state once a second as server-sent events.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) {
	if s.counts.streams.Add(1) > int64(s.cfg.MaxStreams) {
		s.counts.streams.Add(-1)
		s.refuse(w, r, noStream)
		return
	}
	defer s.counts.streams.Add(-1)
	w.Header().Set("Content-Type", eventsType)
	w.Header().Set("X-Accel-Buffering", "no")
	if r.Method == http.MethodHead {
		return
	}
	c := http.NewResponseController(w)
	events := s.live.watch()
	defer s.live.unwatch(events)
	end := time.NewTimer(streamLife)
	defer end.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-end.C:
			return
		case e := <-events:
			if c.SetWriteDeadline(time.Now().Add(streamWrite)) != nil {
				return
			}
			if _, err := w.Write(e); err != nil || c.Flush() != nil {
				return
			}
		}
	}
}
