package daemon

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// State is the state of a task. Its String is the metric's label.
type State uint8

// The states.
const (
	Starting State = iota // runs and is not ready yet
	Serving               // does its work
	Waiting               // cannot work; it is tried again, or goes on by itself
	Stuck                 // hangs: the watchdog is not fed, if others need the task
	Off                   // has nothing to do
	numStates
)

var stateNames = [numStates]string{"starting", "serving", "waiting", "stuck", "off"}

// String returns the word for the state.
func (s State) String() string {
	if s < numStates {
		return stateNames[s]
	}
	return "invalid"
}

// Status describes one task. Its JSON keys are a contract.
type Status struct {
	Task     string    `json:"task"`
	State    string    `json:"state"`
	Why      string    `json:"why,omitempty"` // of waiting and stuck
	Since    time.Time `json:"since"`         // of the state
	Next     time.Time `json:"next,omitzero"` // of waiting: when the task is run again; zero: it still runs
	Failures uint64    `json:"failures"`      // since the start of the daemon
}

// States are the states of the tasks of a daemon, for those who watch them. The
// zero value is empty. Its methods may be called from any goroutine.
type States struct {
	mu   sync.Mutex
	list []taskState // in the order of the tasks
}

// taskState is the state of one task.
type taskState struct {
	name     string
	state    State
	why      error
	since    time.Time
	next     time.Time
	failures uint64
}

// start fills the table.
func (s *States) start(tasks []entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = make([]taskState, len(tasks))
	for i, t := range tasks {
		s.list[i] = taskState{name: t.String(), since: time.Now()}
	}
}

// set changes the state of a task. It returns the one before.
func (s *States) set(task int, state State, why error, next time.Time) (was State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &s.list[task]
	if was = t.state; was != state {
		t.since = time.Now()
	}
	t.state, t.why, t.next = state, why, next
	return was
}

// failed counts a failure of a task.
func (s *States) failed(task int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list[task].failures++
}

// of returns the state of a task, and whether it runs, in that state.
func (s *States) of(task int) (state State, runs bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list[task].state, s.list[task].next.IsZero()
}

// List returns the states in the order of the tasks.
func (s *States) List() []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Status, len(s.list))
	for i, t := range s.list {
		out[i] = Status{Task: t.name, State: t.state.String(), Since: t.since.UTC(), Failures: t.failures}
		if t.why != nil {
			out[i].Why = t.why.Error()
		}
		if !t.next.IsZero() {
			out[i].Next = t.next.UTC()
		}
	}
	return out
}

// maxSummary is the length of the service manager's status text, in octets.
const maxSummary = 480

// summary describes all tasks in one line, for STATUS=.
func (s *States) summary() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	serving, all := 0, 0
	var rest []string
	for _, t := range s.list {
		switch t.state {
		case Off:
			continue
		case Serving:
			serving++
		case Starting:
			rest = append(rest, t.name+" starting")
		default:
			rest = append(rest, fmt.Sprintf("%s %s: %v", t.name, t.state, t.why))
		}
		all++
	}
	text := fmt.Sprintf("%d tasks serve", serving)
	if len(rest) > 0 {
		text = fmt.Sprintf("%d of %d tasks serve; %s", serving, all, strings.Join(rest, "; "))
	}
	text = strings.ReplaceAll(text, "\n", " ")
	if len(text) > maxSummary {
		text = strings.ToValidUTF8(text[:maxSummary], "") + "..."
	}
	return text
}

// Report is the content of the file of states. Its JSON keys are a contract.
type Report struct {
	PID   int      `json:"pid"`
	Tasks []Status `json:"tasks"`
}

// ParseReport reads the content of the file of states.
func ParseReport(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("read states of tasks: %w", err)
	}
	return &r, nil
}

var (
	descState    = prometheus.NewDesc("noonmark_task_state", "1 for the state of each task of the daemon, 0 for its other states.", []string{"task", "state"}, nil)
	descFailures = prometheus.NewDesc("noonmark_task_failures_total", "How often a task could not start, or died.", []string{"task"}, nil)
)

// Describe implements prometheus.Collector.
func (s *States) Describe(ch chan<- *prometheus.Desc) { ch <- descState; ch <- descFailures }

// Collect implements prometheus.Collector.
func (s *States) Collect(ch chan<- prometheus.Metric) {
	s.mu.Lock()
	list := slices.Clone(s.list)
	s.mu.Unlock()
	for _, t := range list {
		for state := range numStates {
			v := 0.0
			if t.state == state {
				v = 1
			}
			ch <- prometheus.MustNewConstMetric(descState, prometheus.GaugeValue, v, t.name, state.String())
		}
		ch <- prometheus.MustNewConstMetric(descFailures, prometheus.CounterValue, float64(t.failures), t.name)
	}
}
