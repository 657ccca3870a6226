package recording

import (
	"crypto/rand"
	"sync"
	"time"

	"noonmark/phc"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/witness"
)

const (
	// frameOctets is the size from which a frame is closed, before compression.
	frameOctets = 32 << 10
	// frameFor is how long a frame is open at most, ns: what a loss of power costs.
	frameFor = 5e9
)

// Recorder collects what reaches an engine, in the order of arrival, and gives it
// to a Store. An engine's own methods are called by the engine's goroutine; the
// others are for any goroutine. None waits for the disc.
type Recorder struct {
	store *Store

	mu     sync.Mutex // guards all below but step
	enc    encoder
	number uint64 // of the open frame
	began  int64  // mono of its first record; 0: it has none
	state  State
	real   int64 // CLOCK_REALTIME less CLOCK_MONOTONIC_RAW, ns; 0: unknown
	first  Header

	step   Step // under construction; the engine's goroutine
	inStep bool
	begun  bool // step.Mono is set
	called bool // the last call waits for its end
}

// NewRecorder returns a Recorder for one run of a program, which is named with its
// version.
func NewRecorder(store *Store, program string) *Recorder {
	return &Recorder{store: store, first: Header{Version: FormatVersion, Program: program, Run: rand.Text()}}
}

// Attach begins a run: it makes the functions of an engine that is about to be made
// pass through the Recorder, and sets its Recorder. site is how the whole site is set
// up, as JSON.
func (r *Recorder) Attach(cfg *refclock.Config, site []byte) {
	r.begin(cfg, site)
	mono, open := cfg.Mono, cfg.Open
	cfg.Mono = func() int64 {
		if !r.inStep {
			return r.first.Mono // while the engine is made
		}
		v := mono()
		r.instant(v)
		return v
	}
	cfg.Open = func() (clock.Device, error) {
		d, err := open()
		c := r.call(CallOpen, err)
		if err != nil {
			return nil, err
		}
		c.Clock = Clock{MaxFreqPPB: d.MaxFreq(), Index: clock.Index(d)}
		return &device{d, r}, nil
	}
	if slept := cfg.Slept; slept != nil {
		cfg.Slept = func() time.Duration {
			if !r.inStep {
				return r.first.SleptFirst
			}
			r.step.Slept = slept()
			return r.step.Slept
		}
	}
	if is := cfg.SystemDisciplined; is != nil {
		cfg.SystemDisciplined = func() bool {
			if !r.inStep {
				return false
			}
			r.step.Disciplined = is()
			return r.step.Disciplined
		}
	}
	if celsius := cfg.Temperature; celsius != nil {
		cfg.Temperature = func() (float64, int64) {
			v, at := celsius()
			r.step.Celsius, r.step.CelsiusMono = v, at
			return v, at
		}
	}
	cfg.Recorder = r
}

// begin begins the run. site is how the site is set up, as JSON.
func (r *Recorder) begin(cfg *refclock.Config, site []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &r.first
	h.Site, h.Mono, h.Slept, h.Temperature = site, cfg.Mono(), cfg.Slept != nil, cfg.Temperature != nil
	if h.Slept {
		h.SleptFirst = cfg.Slept()
	}
	r.state = State{Mono: h.Mono, Slept: h.SleptFirst}
	r.step.Slept = h.SleptFirst
	r.store.begin(*h, r.Flush)
	r.open()
}

// Flush closes the open frame.
func (r *Recorder) Flush() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.began != 0 {
		r.cut()
	}
}

// open begins a frame.
func (r *Recorder) open() {
	r.enc = encoder{b: make([]byte, 0, frameOctets+4096)}
	r.began = 0
	if r.real != 0 {
		r.state.Real = r.state.Mono + r.real
	}
	r.enc.record(&r.state)
}

// cut closes the frame and begins the next.
func (r *Recorder) cut() {
	r.store.put(frame{r.number, r.enc.b})
	r.number++
	r.open()
}

// add appends a record at an instant.
func (r *Recorder) add(mono int64, rec Record) {
	r.enc.record(rec)
	if r.began == 0 {
		r.began = mono
	}
	r.state.Mono = max(r.state.Mono, mono)
	if len(r.enc.b) >= frameOctets || mono-r.began >= frameFor {
		r.cut()
	}
}

// Start records that the receiver's port was opened (receiver.Tap).
func (r *Recorder) Start(settable bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Port = &settable
	r.add(r.state.Mono, &PortStarted{settable})
}

// Read records octets (receiver.Tap).
func (r *Recorder) Read(b []byte, mono int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(mono, &Octets{mono, b})
}

// Enabled records that a card stamps pulses (pps.Tap).
func (r *Recorder) Enabled(g phc.ExtTSGrant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Grant = &g
	r.add(r.state.Mono, &PulseEnabled{g})
}

// Stamp records a card's timestamp (pps.Tap).
func (r *Recorder) Stamp(ev phc.ExtTSEvent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(ev.Mono, &Stamp{ev})
}

// Edge records an edge that needs no filter.
func (r *Recorder) Edge(x pps.Edge) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(x.Mono, &Edge{x})
}

// Dropped records that the engine was too slow for a message, or an edge.
func (r *Recorder) Dropped(edge bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.add(r.state.Mono, &Dropped{edge})
}

// Reading records what is learned of the witnesses (witness.Tap).
func (r *Recorder) Reading(x *witness.Reading) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if x.Kind == witness.Concluded {
		r.state.Witnesses, r.state.Confirmed = nil, x.Confirmed
		for _, s := range x.Status {
			r.state.Witnesses = append(r.state.Witnesses, integrity.WitnessVerdict{Name: s.Name, Verdict: s.Verdict})
		}
	}
	r.add(x.Mono, x)
}

// Begin begins an input (refclock.Recorder).
func (r *Recorder) Begin(in *refclock.Input) {
	s := &r.step
	*s = Step{Input: *in, Slept: s.Slept, Disciplined: s.Disciplined, Celsius: s.Celsius, CelsiusMono: s.CelsiusMono, Calls: s.Calls[:0]}
	switch {
	case in.Message != nil:
		s.TakesMessage, s.Of, s.Input.Message = true, in.Message.Mono, nil
	case in.Edge != nil:
		s.TakesEdge, s.Of, s.Input.Edge = true, in.Edge.Mono, nil
	}
	r.inStep, r.begun, r.called = true, false, false
}

// End ends the input (refclock.Recorder).
func (r *Recorder) End() {
	r.inStep = false
	r.mu.Lock()
	defer r.mu.Unlock()
	s := &r.step
	st := &r.state
	// Before the record: it may close the frame, and the state is behind it.
	st.Slept, st.Disciplined, st.Celsius, st.CelsiusMono = s.Slept, s.Disciplined, s.Celsius, s.CelsiusMono
	for i := range s.Calls {
		r.follow(&s.Calls[i])
	}
	r.add(s.Mono, s)
}

// follow keeps the state of the clock.
func (r *Recorder) follow(c *Call) {
	st := &r.state
	switch {
	case c.Err != nil:
		if clock.Gone(c.Err) {
			st.Clock = nil
		}
	case c.Kind == CallOpen:
		x := c.Clock
		st.Clock = &x
	case c.Kind == CallCross:
		r.real = c.Cross.Real - c.Cross.Mono
	case st.Clock != nil && (c.Kind == CallAdjFreq || c.Kind == CallFreqPPB):
		st.Clock.FreqPPB = c.PPB
	}
}

// instant takes a reading of CLOCK_MONOTONIC_RAW by the engine.
func (r *Recorder) instant(v int64) {
	switch {
	case !r.begun:
		r.begun, r.step.Mono = true, v
	case r.called:
		r.called = false
		r.step.Calls[len(r.step.Calls)-1].After = v
	}
}

// call notes a call to the clock. Without a step nobody sees it.
func (r *Recorder) call(k CallKind, err error) *Call {
	if !r.inStep {
		return new(Call)
	}
	r.step.Calls = append(r.step.Calls, Call{Kind: k, Err: err})
	r.called = true
	return &r.step.Calls[len(r.step.Calls)-1]
}

// device is a clock whose calls are recorded.
type device struct {
	clock.Device
	r *Recorder
}

// Cross reads the clock.
func (d *device) Cross() (phc.Cross, error) {
	x, err := d.Device.Cross()
	d.r.call(CallCross, err).Cross = x
	return x, err
}

// Step adds delta to the clock.
func (d *device) Step(delta time.Duration) error {
	err := d.Device.Step(delta)
	d.r.call(CallStep, err).By = delta
	return err
}

// AdjFreq sets the correction.
func (d *device) AdjFreq(ppb float64) error {
	err := d.Device.AdjFreq(ppb)
	d.r.call(CallAdjFreq, err).PPB = ppb
	return err
}

// FreqPPB returns the correction in force.
func (d *device) FreqPPB() (float64, error) {
	ppb, err := d.Device.FreqPPB()
	d.r.call(CallFreqPPB, err).PPB = ppb
	return ppb, err
}

// Index returns N of /dev/ptpN, or -1.
func (d *device) Index() int { return clock.Index(d.Device) }

// Close closes the clock.
func (d *device) Close() error { return clock.Close(d.Device) }
