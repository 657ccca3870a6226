package sim

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"noonmark/phc"
	"noonmark/phc/phctest"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/recording"
)

// Config describes a virtual appliance.
type Config struct {
	Clock    phctest.Config // Truth is the start; set it to a full second
	Pulse    PulseConfig
	Receiver ReceiverConfig
	Script   []Chunk             // what the receiver sends, in order of time, instead of Receiver's bursts
	Talker   Talker              // makes what the receiver sends, instead of Script and Receiver; nil: they do
	Rates    []int               // baud rates that the program tries, the first being that of the port when it is opened; none: it has the receiver's
	Decode   gnss.Config         // how the program reads dates; NotBefore defaults to a year before the start
	Series   *Series             // if set, its oscillator and pulses are used
	Sensor   *Sensor             // of the temperature near the oscillator; nil = none
	Recorder *recording.Recorder // of what the program sees; may be nil
	// Witnesses are those that the program asks beside the loop, for Recorder.
	Witnesses []integrity.WitnessConfig
}

// Appliance makes the events of a virtual receiver and its pulses in the order
// of true time. Its Clock is the one to be disciplined and knows the truth.
// Apart from the Clock it is for one goroutine.
type Appliance struct {
	Clock *phctest.Clock

	cfg    Config
	start  tai.Time
	pulses pulses
	recv   Talker
	table  *tai.Table // the true leap seconds
	rng    *rand.Rand
	sec    int // next second whose events are made
	queue  []Event
	seq    uint32
	es     []edge
}

// Program is what a virtual card and kernel give edges to, such as *site.Site.
type Program interface {
	Stamp(phc.ExtTSEvent) // a card's timestamp
	Edge(pps.Edge)        // the kernel's, by CLOCK_REALTIME
}

// Talker is where an appliance takes what the receiver sends from: a model or a
// script.
type Talker interface {
	// Burst returns what is sent about a full second, in order. It is called for
	// each second in turn.
	Burst(sec tai.Time) []Chunk
}

// script sends what it was given.
type script []Chunk

// Burst returns what is sent before the second ends.
func (s *script) Burst(sec tai.Time) []Chunk {
	n := 0
	for n < len(*s) && (*s)[n].At < sec+tai.Second {
		n++
	}
	now := (*s)[:n]
	*s = (*s)[n:]
	return now
}

// Event is something that reaches the program: bytes, or an edge.
type Event struct {
	Mono int64 // when, on the mono source
	Data []byte
	baud int // at which Data are sent; 0: at what the port has
	edge edge
}

// IsEdge reports whether the event is an edge; else it is bytes.
func (e *Event) IsEdge() bool { return e.Data == nil }

// New returns an appliance whose clock runs on the given mono source. Events
// start at the clock's Mono0.
func New(mono func() int64, cfg Config) (*Appliance, error) {
	if cfg.Clock.Truth != cfg.Clock.Truth.Floor() {
		return nil, fmt.Errorf("simulation must start at a full second, not %d ns after one", cfg.Clock.Truth-cfg.Clock.Truth.Floor())
	}
	if cfg.Pulse.Width == 0 {
		cfg.Pulse.Width = 100 * time.Millisecond
	}
	if cfg.Pulse.Delay == 0 {
		cfg.Pulse.Delay = 50 * time.Microsecond
	}
	a := &Appliance{cfg: cfg, start: cfg.Clock.Truth, rng: rand.New(rand.NewPCG(cfg.Pulse.Seed, 0x657667))}
	if s := cfg.Series; s != nil {
		cfg.Clock.Osc = phctest.Series(s.OscPPB)
		a.pulses = s
		for _, q := range s.QErrNS {
			cfg.Receiver.TIMTP = cfg.Receiver.TIMTP || !math.IsNaN(q)
		}
	} else {
		a.pulses = newModel(cfg.Pulse)
	}
	recv := NewReceiver(cfg.Receiver, a.start)
	recv.qerr = func(sec tai.Time) (float64, bool) {
		p := a.pulses.at(int((sec - a.start) / tai.Second))
		return p.qerrNS, p.hasQ
	}
	a.recv, a.table = recv, recv.cfg.Table
	if cfg.Script != nil {
		lines := script(cfg.Script)
		a.recv = &lines
	}
	if cfg.Talker != nil {
		a.recv = cfg.Talker
	}
	a.Clock = phctest.New(mono, cfg.Clock)
	return a, nil
}

// Pulse is how a program is configured for the appliance's pulses.
func (a *Appliance) Pulse() pps.ExtTSOptions {
	if a.cfg.Pulse.Unknown {
		return pps.ExtTSOptions{}
	}
	return pps.ExtTSOptions{Width: a.cfg.Pulse.Width}
}

// Grant is what the card grants a program that wants rising edges: it stamps every
// edge, and says for certain which ones or, as i225 and i226, does not.
func (a *Appliance) Grant() phc.ExtTSGrant {
	return phc.ExtTSGrant{Version: 2, Edges: phc.Rising, Certain: !a.cfg.Pulse.AnyEdge}
}

// Next returns the next event. There is always one; silence lasts.
func (a *Appliance) Next() Event {
	// A burst may be 2 s late: keep three seconds of events in the queue.
	for len(a.queue) == 0 || a.Clock.MonoAt(a.start+tai.Time(a.sec-3)*tai.Second) <= a.queue[0].Mono {
		a.fill()
	}
	e := a.queue[0]
	a.queue = a.queue[1:]
	return e
}

// fill makes the events of one more second and sorts them in.
func (a *Appliance) fill() {
	a.es = a.edges(a.sec, a.es[:0])
	for _, e := range a.es {
		a.insert(Event{Mono: a.Clock.MonoAt(e.read), edge: e})
	}
	for _, c := range a.recv.Burst(a.start + tai.Time(a.sec)*tai.Second) {
		a.insert(Event{Mono: a.Clock.MonoAt(c.At), Data: c.Data, baud: c.Baud})
	}
	a.sec++
	if len(a.queue) == 0 { // a silent second: keep the loop in Next moving
		a.insert(Event{Mono: a.Clock.MonoAt(a.start + tai.Time(a.sec)*tai.Second), Data: []byte{}})
	}
}

func (a *Appliance) insert(e Event) {
	i := len(a.queue)
	for i > 0 && a.queue[i-1].Mono > e.Mono {
		i--
	}
	a.queue = append(a.queue, Event{})
	copy(a.queue[i+1:], a.queue[i:])
	a.queue[i] = e
}

// Deliver gives a program the edge of an event of IsEdge: stamped by CLOCK_REALTIME
// for a kernel pulse, else by the clock. now is the reading of the mono source.
func (a *Appliance) Deliver(e Event, now int64, to Program) {
	m := a.Clock.MonoAt(e.edge.at)
	if !a.cfg.Pulse.System {
		to.Stamp(phc.ExtTSEvent{Clock: a.Clock.At(m), Mono: now})
		return
	}
	a.seq++
	to.Edge(pps.Edge{Scale: pps.System, Stamp: a.Clock.RealAt(m), Mono: now, Seq: a.seq, Rising: e.edge.rising})
}

// Play runs the appliance in real time: it writes the receiver's bytes to w
// and hands each edge to its Source, until ctx ends. mono must be the source
// given to New. Bytes that nobody takes are lost, as on a wire.
func (a *Appliance) Play(ctx context.Context, mono func() int64, w io.Writer, src *Source) error {
	t := time.NewTimer(0)
	defer t.Stop()
	filtered := &filtered{pps.NewFilter(a.Pulse(), a.Grant()), src}
	for {
		e := a.Next()
		for {
			d := time.Duration(e.Mono - mono())
			if d <= 0 {
				break
			}
			t.Reset(d)
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
			}
		}
		if !e.IsEdge() {
			if len(e.Data) > 0 {
				w.Write(e.Data)
			}
			continue
		}
		a.Deliver(e, mono(), filtered)
	}
}

// filtered is a Program that gives the wanted edges to a Source.
type filtered struct {
	*pps.Filter
	src *Source
}

// Stamp takes a card's timestamp.
func (f *filtered) Stamp(ev phc.ExtTSEvent) {
	if x, ok, _ := f.Push(ev); ok {
		f.Edge(x)
	}
}

// Edge takes an edge that needs no filter. One that nobody reads is lost: the kernel
// would overwrite it, too.
func (f *filtered) Edge(x pps.Edge) {
	select {
	case f.src.c <- x:
	default:
	}
}

// Source is the virtual pulse as the program takes it.
type Source struct {
	c chan pps.Edge
}

// NewSource returns a pulse source for Play.
func NewSource() *Source { return &Source{make(chan pps.Edge, 4)} }

// Next waits for an edge.
func (s *Source) Next(ctx context.Context) (pps.Edge, error) {
	select {
	case <-ctx.Done():
		return pps.Edge{}, ctx.Err()
	case e := <-s.c:
		return e, nil
	}
}

// Close does nothing: the appliance plays on, whether anybody listens or not.
func (s *Source) Close() error { return nil }

// String returns "sim".
func (s *Source) String() string { return "sim" }
