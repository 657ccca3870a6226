package health

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/daemon"
)

// answer is the body of the health endpoint. Its JSON keys only grow.
type answer struct {
	Node     string   `json:"node"`
	Announce bool     `json:"announce"`
	Healthy  bool     `json:"healthy"`
	Kept     bool     `json:"kept"`   // announced, although not healthy: it is the last one
	Others   int      `json:"others"` // announced nodes besides this one; -1: not known
	Reasons  []reason `json:"reasons"`
	AgeS     float64  `json:"age_s"` // of the verdict
	Record   *Record  `json:"record"`
}

type reason struct {
	Reason  string `json:"reason"`
	Detail  string `json:"detail,omitempty"`
	Message string `json:"message"`
}

// Target is an entry of Prometheus's http_sd.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Targets lists the metrics of all nodes, also of those that are not live: Prometheus
// shall see that they are gone.
func Targets(nodes []Entry) []Target {
	list := []Target{}
	for _, e := range nodes {
		if len(e.Metrics) > 0 {
			list = append(list, Target{e.Metrics, map[string]string{"node": e.Name}})
		}
	}
	return list
}

// Handler serves /health, /targets and /metrics. It reads only what the last round
// found: whoever asks costs nothing but an answer. Who asks for /targets lets the next
// rounds read the list of nodes, at most every listEvery.
func (k *Keeper) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/health", k.only(k.serveHealth))
	mux.HandleFunc("/targets", k.only(k.serveTargets))
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(append([]prometheus.Collector{k}, k.cfg.More...)...)
	mux.Handle("/metrics", k.only(daemon.MetricsHandler(reg).ServeHTTP))
	mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		k.refuse("path")
		http.NotFound(w, q)
	})
	return mux
}

// Server returns a server for the handler, with limits for strangers: each connection serves
// one request, so that nobody holds one. The caller listens.
func (k *Keeper) Server() *http.Server {
	s := &http.Server{
		Handler: k.Handler(), ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second, MaxHeaderBytes: 8 << 10,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug), // strangers cause these lines
	}
	s.SetKeepAlivesEnabled(false)
	return s
}

func (k *Keeper) refuse(why string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused[why]++
}

func (k *Keeper) only(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodGet && q.Method != http.MethodHead {
			k.refuse("method")
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		serve(w, q)
	}
}

// verdict is that of the last round, or Stale.
func (k *Keeper) verdict() (Verdict, *Result, time.Duration) {
	r := k.Last()
	if r == nil {
		return Verdict{Problems: []Problem{{Stale, "not examined yet"}}}, &Result{Others: -1}, 0
	}
	age := k.cfg.Mono() - r.at
	if age > staleAfter {
		return Verdict{Problems: append([]Problem{{Stale, age.Round(time.Second).String()}}, r.Verdict.Problems...)}, r, age
	}
	return r.Verdict, r, age
}

func (k *Keeper) serveHealth(w http.ResponseWriter, _ *http.Request) {
	v, r, age := k.verdict()
	a := answer{Node: k.cfg.Node, Announce: v.Announce, Healthy: v.Healthy, Kept: v.Kept, Others: r.Others, Reasons: []reason{}, AgeS: age.Seconds()}
	for _, p := range v.Problems {
		a.Reasons = append(a.Reasons, reason{p.Reason.String(), p.Detail, p.Reason.Message()})
	}
	if r.Facts.Drained {
		a.Reasons = append(a.Reasons, reason{"drained", "", "the node is drained; when it may serve again, run: noonmark-fleet undrain NODE"})
	}
	if k.Last() != nil {
		a.Record = &r.Record
	}
	code := http.StatusOK
	if !v.Announce {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, a)
}

func (k *Keeper) serveTargets(w http.ResponseWriter, _ *http.Request) {
	k.WantNodes()
	r := k.Last()
	if r == nil || r.Nodes == nil { // Prometheus keeps its list after an error, and drops it after an empty one
		http.Error(w, "not read yet; the next examination does, within seconds", http.StatusServiceUnavailable)
		return
	}
	writeJSON(w, http.StatusOK, Targets(r.Nodes))
}

func writeJSON(w http.ResponseWriter, code int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	w.Write(append(b, '\n'))
}

// descriptions of the metrics.
var (
	descAnnounced = prometheus.NewDesc("noonmark_fleet_announced", "1 if the health endpoint lets this node be announced.", nil, nil)
	descHealthy   = prometheus.NewDesc("noonmark_fleet_healthy", "1 if this node has no problem.", nil, nil)
	descKept      = prometheus.NewDesc("noonmark_fleet_kept", "1 if this node is announced only because it is the last one.", nil, nil)
	descProblem   = prometheus.NewDesc("noonmark_fleet_problem", "1 for each problem that this node has, 0 for the others.", []string{"reason"}, nil)
	descOthers    = prometheus.NewDesc("noonmark_fleet_others", "Other nodes that are announced; -1: not known.", nil, nil)
	descNodes     = prometheus.NewDesc("noonmark_fleet_nodes", "Nodes of the fleet, by state; counted once a minute.", []string{"state"}, nil)
	descRounds    = prometheus.NewDesc("noonmark_fleet_rounds_total", "Examinations of this node, by whether etcd answered.", []string{"etcd"}, nil)
	descRefused   = prometheus.NewDesc("noonmark_fleet_http_refused_total", "Requests to the health endpoint that were refused, by reason.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (k *Keeper) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(k, ch) }

// Collect implements prometheus.Collector.
func (k *Keeper) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, x float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, x, labels...)
	}
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	v, r, _ := k.verdict()
	gauge(descAnnounced, number(v.Announce))
	gauge(descHealthy, number(v.Healthy))
	gauge(descKept, number(v.Kept))
	for _, x := range Reasons() {
		gauge(descProblem, number(slices.ContainsFunc(v.Problems, func(p Problem) bool { return p.Reason == x })), x.String())
	}
	gauge(descOthers, float64(r.Others))
	for state, n := range map[string]int64{"announced": r.Counts.Announced, "withdrawn": r.Counts.Withdrawn, "drained": r.Counts.Drained, "gone": r.Counts.Gone} {
		gauge(descNodes, float64(n), state)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	count(descRounds, k.rounds-k.failed, "yes")
	count(descRounds, k.failed, "no")
	for _, why := range [...]string{"method", "path"} {
		count(descRefused, k.refused[why], why)
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
