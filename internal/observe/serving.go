package observe

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/liveness"
	"noonmark/server"
	"noonmark/server/certs"
)

// ServingName is the name of the file in ntsserve's runtime folder that holds
// Serving.
const ServingName = "serving.json"

// DefaultServing is where ntsserve publishes Serving when systemd runs it.
const DefaultServing = "/run/ntsserve/" + ServingName

// Serving is what ntsserve publishes of itself once a second, for those who watch
// it. Counts are since the start. Its JSON keys only grow.
type Serving struct {
	PID          int                `json:"pid"`
	Mono         int64              `json:"mono_ns"` // CLOCK_MONOTONIC_RAW at which it was written
	UptimeS      float64            `json:"uptime_s"`
	Synchronised bool               `json:"synchronised"` // answers report a synchronised clock
	Stratum      int                `json:"stratum"`      // that they report; 16: not synchronised; 0: of an older ntsserve
	Endpoints    []ServingEndpoint  `json:"endpoints"`
	KE           *ServingKE         `json:"nts_ke"`       // null: no NTS-KE
	Certificates []CertificateState `json:"certificates"` // of NTS-KE
	CookieKeys   *CookieKeys        `json:"cookie_keys"`  // null: no NTS
	Clients      *ServingClients    `json:"clients"`      // null: clients = "off"
}

// ServingClients are the networks that were answered lately.
type ServingClients struct {
	Networks int             `json:"networks"` // how many are known
	List     []ServingClient `json:"list"`     // those with the most requests
}

// ServingClient is a network that was answered.
type ServingClient struct {
	Prefix   string  `json:"prefix"`
	Requests uint64  `json:"requests"`
	Secure   uint64  `json:"authenticated"` // of them
	ForS     float64 `json:"for_s"`         // since the first one that is counted
	AgeS     float64 `json:"age_s"`         // of the last one
}

// ServingEndpoint is one address that answers NTP.
type ServingEndpoint struct {
	Name          string            `json:"name"`
	Workers       int               `json:"workers"` // 0 while the endpoint waits
	Requests      uint64            `json:"requests"`
	Octets        uint64            `json:"request_octets"`
	Answered      map[string]uint64 `json:"answered"` // by reason
	Dropped       map[string]uint64 `json:"dropped"`  // by reason
	Stamps        map[string]uint64 `json:"receive_stamps"`
	SendErrors    uint64            `json:"send_errors"`
	ReceiveErrors uint64            `json:"receive_errors"`
	Redated       uint64            `json:"redated"`
	Early         StampError        `json:"transmit_early"` // stamps before the departure
	Late          StampError        `json:"transmit_late"`  // and after it
	LatencyNS     int64             `json:"transmit_latency_ns"`
}

// StampError is how far sampled transmit timestamps were from the departure.
type StampError struct {
	Count  uint64 `json:"count"`
	MeanNS int64  `json:"mean_ns"`
	P99NS  int64  `json:"p99_ns"`
}

// ServingKE is NTS key establishment.
type ServingKE struct {
	Open    int               `json:"open"`    // connections
	Results map[string]uint64 `json:"results"` // by reason
}

// CertificateState is a certificate in use.
type CertificateState struct {
	From      string    `json:"from"`
	Names     []string  `json:"names"`
	NotBefore time.Time `json:"not_before,omitzero"` // missing: of an older ntsserve
	NotAfter  time.Time `json:"not_after"`
	Alarm     bool      `json:"alarm"` // it is due for renewal
}

// CertificateStates describes certificates. The list is never nil.
func CertificateStates(list []certs.Status) []CertificateState {
	all := []CertificateState{}
	for _, x := range list {
		all = append(all, CertificateState{From: x.From, Names: x.Names, NotBefore: x.NotBefore.UTC(), NotAfter: x.NotAfter.UTC(), Alarm: x.Alarm})
	}
	return all
}

// CookieKeys are the keys that cookies are sealed with.
type CookieKeys struct {
	Keys    int       `json:"keys"`           // whose cookies are accepted; 0: their file cannot be used
	Since   time.Time `json:"since"`          // the secret that they are derived from is in use since then
	Until   time.Time `json:"until,omitzero"` // a new one replaces it; missing: there is no schedule
	Overdue bool      `json:"overdue"`
}

// ServingTask writes Serving once a second.
type ServingTask struct {
	file    durable.Published
	ntp     serverStats
	nts     NTS
	mono    func() int64
	log     *slog.Logger
	started time.Time
	failed  bool // the last write failed, and that was logged
	writing liveness.Work
}

// serverStats is what ServingTask needs of a server.
type serverStats interface{ Stats() server.Counted }

// servingStuckAfter is longer than it takes to write the file.
const servingStuckAfter = time.Minute

// settleTime is how long a server may take to see the clock: it looks once a second. lookEvery
// is how often the task looks meanwhile.
const (
	settleTime = 2 * time.Second
	lookEvery  = 100 * time.Millisecond
)

// NewServingTask returns the task. mono is CLOCK_MONOTONIC_RAW, ns.
func NewServingTask(path string, ntp *server.Server, nts NTS, mono func() int64, log *slog.Logger) *ServingTask {
	return &ServingTask{file: durable.Published{Path: path, Mode: 0o644}, ntp: ntp, nts: nts, mono: mono, log: log, started: time.Now()}
}

// Run writes until ctx ends, then removes the file. It begins when the server serves a
// synchronised clock, or after settleTime: what a server says before its first look is no fault.
func (t *ServingTask) Run(ctx context.Context) error {
	defer os.Remove(t.file.Path)
	if err := t.settle(ctx); err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		t.writing.Begin()
		t.write()
		t.writing.End()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (t *ServingTask) settle(ctx context.Context) error {
	look, enough := time.NewTicker(lookEvery), time.NewTimer(settleTime)
	defer look.Stop()
	defer enough.Stop()
	for {
		t.writing.Begin()
		synced := t.ntp.Stats().Synchronised
		t.writing.End()
		if synced {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough.C:
			return nil
		case <-look.C:
		}
	}
}

// Hanging returns an error if a write does not end.
func (t *ServingTask) Hanging() error { return t.writing.Stuck(servingStuckAfter) }

// write writes the file. The first of several failures is logged.
func (t *ServingTask) write() {
	b, err := json.Marshal(t.serving(time.Now()))
	if err == nil {
		err = t.file.Write(append(b, '\n'))
	}
	if err != nil && !t.failed {
		t.log.Warn("counters for refclockctl server and refclockweb cannot be written", "error", err)
	}
	t.failed = err != nil
}

// String names the task in logs.
func (t *ServingTask) String() string { return "serving" }

func (t *ServingTask) serving(now time.Time) *Serving {
	stats := t.ntp.Stats()
	s := &Serving{
		PID: os.Getpid(), Mono: t.mono(), UptimeS: now.Sub(t.started).Round(time.Millisecond).Seconds(), Synchronised: stats.Synchronised, Stratum: stats.Stratum,
		Endpoints: []ServingEndpoint{}, Certificates: []CertificateState{},
	}
	for _, x := range stats.Endpoints {
		s.Endpoints = append(s.Endpoints, ServingEndpoint{
			Name: x.Endpoint, Workers: x.Workers, Requests: x.Requests, Octets: x.Octets, Answered: x.Answered, Dropped: x.Dropped,
			Stamps:     map[string]uint64{"hardware": x.Stamps.Hardware, "software": x.Stamps.Software, "none": x.Stamps.None},
			SendErrors: x.Refused, ReceiveErrors: x.Failed, Redated: x.Redated, Early: stampError(x.Early), Late: stampError(x.Late), LatencyNS: int64(x.Latency),
		})
	}
	if stats.Clients != nil {
		s.Clients = &ServingClients{Networks: stats.Networks, List: []ServingClient{}}
		for _, c := range stats.Clients {
			s.Clients.List = append(s.Clients.List, ServingClient{c.Prefix.String(), c.Requests, c.Secure, secondsSince(s.Mono, c.First), secondsSince(s.Mono, c.Last)})
		}
	}
	if ke := t.nts.KE; ke != nil {
		s.KE = &ServingKE{Open: ke.Open(), Results: map[string]uint64{}}
		for reason, n := range ke.Exchanges() {
			if n > 0 {
				s.KE.Results[reason] = n
			}
		}
	}
	if c := t.nts.Certificates; c != nil {
		s.Certificates = CertificateStates(c.Status())
	}
	if t.nts.Ring != nil {
		s.CookieKeys = new(CookieKeys)
	}
	if r := t.nts.ring(); r != nil {
		s.CookieKeys.Keys = len(r.List())
		for _, x := range r.Secrets(now) {
			if x.Sealing {
				s.CookieKeys.Since, s.CookieKeys.Until, s.CookieKeys.Overdue = x.Since.UTC(), x.Until.UTC(), x.Overdue(now)
			}
		}
	}
	return s
}

// secondsSince returns the time since an instant, s, to the millisecond.
func secondsSince(now, mono int64) float64 {
	return time.Duration(max(now-mono, 0)).Round(time.Millisecond).Seconds()
}

func stampError(x server.TransmitError) StampError {
	return StampError{Count: x.Count, MeanNS: int64(x.Mean), P99NS: int64(x.P99)}
}

const (
	maxServing   = 1 << 20                 // more than the file of any configuration has, octets
	staleServing = int64(10 * time.Second) // the file is written once a second
	maxEndpoints = 1024
)

// Errors of ReadServing.
var (
	ErrNoServing    = errors.New("ntsserve publishes no counters; want a running ntsserve, and its runtime folder")
	ErrStaleServing = errors.New("ntsserve does not publish any more")
	ErrBadServing   = errors.New("is no file of ntsserve's counters")
)

// ReadServing reads the file at path; mono is CLOCK_MONOTONIC_RAW, ns. The file is
// input: what is damaged, too large or from before is an error.
func ReadServing(path string, mono int64) (*Serving, error) {
	b, _, err := durable.ReadFile(path, maxServing)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", path, ErrNoServing)
	case err != nil:
		return nil, err
	}
	s := new(Serving)
	if err := json.Unmarshal(b, s); err != nil || s.PID <= 0 || len(s.Endpoints) > maxEndpoints {
		return nil, fmt.Errorf("%s: %w", path, ErrBadServing)
	}
	if age := mono - s.Mono; age > staleServing || age < -int64(time.Second) {
		return nil, fmt.Errorf("%s: %w; it was written %v ago", path, ErrStaleServing, time.Duration(age).Round(time.Second))
	}
	return s, nil
}
