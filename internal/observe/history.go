package observe

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/events"
	"noonmark/internal/history"
	"noonmark/internal/retry"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// HistoryConfig describes a History.
type HistoryConfig struct {
	Dir     string
	MaxSize int64  // octets of the measurements
	Memory  bool   // Dir is in memory: a day is kept
	Program string // name and version, for the event of the start
	Serving string // file of ntsserve's counters; empty: there is none
	// Names of what has a column of its own.
	Witnesses, Followers, Compared []string

	Report func() *report.Report // of the engine
	Read   func() *Reference     // Sources.Brief
	Tasks  func() []daemon.Status
	Mono   func() int64     // CLOCK_MONOTONIC_RAW, ns
	Now    func() time.Time // the system clock
	Log    *slog.Logger
}

// History is the task that keeps measurements and events of refclockd. Nothing
// waits for it. A disc that is full or hangs holds up nothing but its own writer:
// for an hour what is to be written waits, and then it is lost and counted.
type History struct {
	cfg     HistoryConfig
	columns []history.Column
	at      map[string]int // of the columns, by name
	names   map[string]int // of the columns of a witness, a clock or a pulse, by its name
	batch   *history.Batch
	values  []float64
	watcher *watcher
	served  *served
	second  int64 // that was recorded last, POSIX time

	published struct { // what the engine published last; for its goroutine
		state  status.State
		reason string
		epoch  uint32
	}
	changes chan int64 // CLOCK_MONOTONIC_RAW of a snapshot that differs from the one before
	queue   chan record
	reloads chan error
	written atomic.Uint64
	lost    atomic.Uint64
	failed  atomic.Pointer[error] // why the writer waits; nil: it does not
}

// record is something to be written.
type record struct {
	minute *history.Minute // nil: an event
	event  events.Event
}

const (
	// sampleAt is when in a second its values are taken, ns: a pulse has been measured
	// then, also one whose stamp comes late.
	sampleAt = 500e6
	// sampleFrom is how early a timer may be.
	sampleFrom = sampleAt - 100e6
	// tasksEvery is how often the states of the tasks are looked at, s.
	tasksEvery = 5
	// queueRecords is how much waits for the disc: more than an hour of minutes.
	queueRecords = 128
	// lastWrites is how long the end waits for the disc.
	lastWrites = 3 * time.Second
	// memorySize is the limit of measurements in memory, octets. A day takes 1 MB.
	memorySize = 8 << 20
)

// NewHistory returns the task.
func NewHistory(cfg HistoryConfig) (*History, error) {
	h := &History{
		cfg: cfg, columns: history.ReferenceColumns(), at: map[string]int{}, names: map[string]int{}, watcher: newWatcher(), served: newServed(cfg.Serving),
		changes: make(chan int64, 16), queue: make(chan record, queueRecords), reloads: make(chan error, 4),
	}
	for i, c := range h.columns {
		h.at[c.Name] = i
	}
	for _, x := range []struct {
		prefix string
		names  []string
	}{{history.WitnessOf, cfg.Witnesses}, {history.FollowerOf, cfg.Followers}, {history.ComparedOf, cfg.Compared}} {
		for _, n := range x.names {
			c := history.Column{Name: history.ColumnName(x.prefix, n), Digits: 1}
			if len(h.columns) < history.MaxColumns && !slices.Contains(h.columns, c) {
				h.names[x.prefix+n] = len(h.columns)
				h.columns = append(h.columns, c)
			}
		}
	}
	h.values = make([]float64, len(h.columns))
	var err error
	h.batch, err = history.NewBatch(h.columns)
	return h, err
}

// Published takes each snapshot that the engine publishes, so that no change of
// state is missed. It is for the engine's goroutine, and does not wait.
func (h *History) Published(s *status.Snapshot) {
	if p := &h.published; p.state != s.State || p.reason != s.Reason || p.epoch != s.Epoch {
		p.state, p.reason, p.epoch = s.State, s.Reason, s.Epoch
		select {
		case h.changes <- s.Mono:
		default: // the next second shows what has become of it
		}
	}
}

// String names the task in logs.
func (h *History) String() string { return "history" }

// Waiting returns why nothing can be written.
func (h *History) Waiting() error {
	if err := h.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Reloaded records that the configuration was read again. It does not wait.
func (h *History) Reloaded(err error) {
	select {
	case h.reloads <- err:
	default: // four reloads within a fifth of a second
	}
}

// counts returns how many minutes and events were written and lost.
func (h *History) counts() []Count {
	return []Count{{What: "written", N: h.written.Load()}, {What: "lost", N: h.lost.Load()}}
}

// Run records until ctx ends, and writes what is left.
func (h *History) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() { defer close(done); h.write(ctx) }()
	defer func() {
		select {
		case <-done:
		case <-time.After(lastWrites): // the disc hangs
		}
	}()
	defer close(h.queue)

	start := events.Event{Kind: events.Start, Text: h.cfg.Program + " started", Detail: "the run before ended properly"}
	if last, _, err := events.Read(h.cfg.Dir, events.Query{Limit: 1}); err != nil || len(last) == 0 {
		start.Detail = "" // the first one, as far as is known
	} else if last[0].Kind != events.Stop {
		start.Detail = "the run before did not end properly"
	}
	h.event(start)
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			if m := h.batch.Close(); m != nil {
				h.put(record{minute: m})
			}
			h.event(events.Event{Kind: events.Stop, Text: h.cfg.Program + " ended"})
			return ctx.Err()
		case err := <-h.reloads:
			e := events.Event{Kind: events.Reload, Text: "configuration was read again"}
			if err != nil {
				e.Text, e.Detail = "configuration could not be read again", err.Error()
			}
			h.event(e)
		case mono := <-h.changes:
			h.changed(mono)
		case <-t.C:
			t.Reset(h.sampled())
		}
	}
}

// changed waits for the report of a snapshot, which follows it at once.
func (h *History) changed(mono int64) {
	for range 20 {
		if r := h.cfg.Report(); r.Snapshot.Mono >= mono {
			h.look(r)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// look records what happened since the last report.
func (h *History) look(r *report.Report) {
	for _, e := range h.watcher.report(r) {
		h.event(e)
	}
}

// sampled records a second, and returns when the next one is to be.
func (h *History) sampled() time.Duration {
	ref := h.cfg.Read()
	h.look(ref.Report)
	at := h.clock(ref.Report)
	if ref.Report.Snapshot.Mono == 0 {
		return sampleAt // nothing is published yet: zeros are no values
	}
	if at.Unix() != h.second && at.Nanosecond() >= sampleFrom {
		h.second = at.Unix()
		if h.second%tasksEvery == 0 {
			for _, e := range h.watcher.troubled(h.cfg.Tasks()) {
				h.event(e)
			}
		}
		for _, e := range h.watcher.second(ref) {
			h.event(e)
		}
		h.sample(ref)
		if m := h.batch.Add(h.second, h.values); m != nil {
			h.put(record{minute: m})
		}
		return time.Second + sampleAt - time.Duration(at.Nanosecond())
	}
	return max(sampleAt-time.Duration(at.Nanosecond()), 10*time.Millisecond)
}

// clock is the present, UTC: by the clock that is disciplined once it is labelled.
func (h *History) clock(r *report.Report) time.Time {
	if s := &r.Snapshot; s.RefTime != 0 {
		c := s.ClockAt(h.cfg.Mono())
		return c.UTC(s.OffsetAt(c))
	}
	return h.cfg.Now().UTC()
}

// event queues an event with its time.
func (h *History) event(e events.Event) {
	e.Time = h.clock(h.cfg.Report())
	h.put(record{event: e})
}

// put queues what is to be written, without waiting.
func (h *History) put(r record) {
	select {
	case h.queue <- r:
	default:
		h.lost.Add(1)
	}
}

// write writes until the queue is closed. After ctx each record is tried once.
func (h *History) write(ctx context.Context) {
	opt := history.Options{Dir: h.cfg.Dir, Columns: h.columns, MaxSize: h.cfg.MaxSize}
	if h.cfg.Memory {
		opt.Days, opt.MaxSize = 1, memorySize
	}
	minutes, _ := history.NewWriter(opt) // NewBatch has checked the columns
	log := events.NewLog(h.cfg.Dir)
	defer minutes.Close() // Append and Sync report errors
	defer log.Close()
	for r := range h.queue {
		back := retry.Backoff{}
		for {
			written, err := h.writeOne(minutes, log, &r)
			h.note(err, &back)
			if written {
				h.written.Add(1)
				break
			}
			if ctx.Err() != nil {
				h.lost.Add(1)
				break
			}
			retry.Sleep(ctx, back.Next())
		}
	}
}

func (h *History) writeOne(minutes *history.Writer, log *events.Log, r *record) (written bool, err error) {
	if r.minute != nil {
		return minutes.Append(r.minute)
	}
	err = log.Append(r.event, time.Now())
	return err == nil, err
}

// note keeps and logs an error, and its end.
func (h *History) note(err error, back *retry.Backoff) {
	if err == nil {
		if h.failed.Swap(nil) != nil {
			h.cfg.Log.Info("history is written again")
		}
		return
	}
	h.failed.Store(&err)
	if n, log := back.Failed(); log {
		h.cfg.Log.Warn("history cannot be written", "dir", h.cfg.Dir, "error", err, "attempt", n)
	}
}

// sample takes the values of a second from the state.
func (h *History) sample(r *Reference) {
	for i := range h.values {
		h.values[i] = math.NaN()
	}
	s, d := &r.Report.Snapshot, &r.Report.Discipline
	set := func(column string, known bool, v float64) {
		if known {
			h.values[h.at[column]] = v
		}
	}
	named := func(prefix, name string, known bool, v float64) {
		if i, ok := h.names[prefix+name]; ok && known {
			h.values[i] = v
		}
	}
	pulse := s.PulseMono != 0 && r.Mono-s.PulseMono < 1e9
	bound := s.BoundAt(r.Mono)
	set(history.Offset, pulse, s.OffsetNS)
	set(history.Estimate, d.Tracked(), d.EstNS)
	set(history.Residual, pulse && d.Tracked(), s.OffsetNS-d.EstNS)
	set(history.Bound, bound < math.MaxInt64, float64(bound))
	set(history.Frequency, d.Tracked(), d.DriftPPB)
	set(history.Correction, true, s.FreqPPB)
	set(history.Temperature, d.TempMono != 0 && r.Mono-d.TempMono < 10e9, d.TempC)
	set(history.Noise, pulse, s.NoiseNS)
	set(history.Satellites, r.Report.Receiver.HasSats && r.Mono-s.MsgMono < messageAge, float64(r.Report.Receiver.Sats))
	set(history.CN0, r.Mono-s.MsgMono < messageAge, meanCN0(r.Report.Receiver.Sky.Satellites))
	if h.cfg.Serving != "" {
		h.served.look(r.Mono)
	}
	set(history.Requests, true, h.served.requests)
	set(history.Clients, true, h.served.clients)
	set(history.HWStamps, true, h.served.hardware)
	set(history.State, true, float64(s.State))
	set(history.Synced, true, one(s.Usable(r.Mono)))
	for _, w := range r.Witnesses {
		named(history.WitnessOf, w.Name, w.Verdict != 0, w.OffsetNS)
	}
	for i := range r.Followers {
		f := &r.Followers[i]
		named(history.FollowerOf, f.Name, f.Compared, f.OffsetNS)
	}
	for i := range r.Report.Compared {
		c := &r.Report.Compared[i]
		named(history.ComparedOf, c.Name, c.Mono != 0 && r.Mono-c.Mono < pulseAge, c.OffsetNS)
	}
}

// pulseAge is how long the offset of a compared pulse counts as one of now, ns.
const pulseAge = int64(1500 * time.Millisecond)

// messageAge is how long what a receiver reported counts as its state, ns. It
// reports each second.
const messageAge = int64(10 * time.Second)
