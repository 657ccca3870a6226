package gnss

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Waiting times and tries of the Configurator.
const (
	// answerWait is how long an answer may take: at 9600 baud a whole burst of
	// other messages (about 0.7 s) can be in front of it.
	answerWait = 1500 * time.Millisecond
	// settleWait lets the last bytes leave at the old rate before it changes.
	settleWait = 150 * time.Millisecond
	// restartWait is how long a receiver is let alone after a change of its
	// satellite systems, which restarts its reception.
	restartWait = 500 * time.Millisecond
	// tries is how often a frame is sent before its answer is given up.
	tries = 3
	// valsetProtocol is the first protocol version (hundredths) with CFG-VALSET.
	valsetProtocol = 2301
)

var (
	// ErrSilent: no rate brought an answer. The receiver is no u-blox, or its
	// input is not connected or not listening to UBX.
	ErrSilent = errors.New("receiver does not answer at any rate")
	// ErrLost: the receiver answered before and no longer does.
	ErrLost = errors.New("receiver has stopped answering")
)

// Step is what the owner of the port is to do next: change to Baud unless it
// is 0, then write Send, then call Next again when a message has come or at
// Deadline (CLOCK_MONOTONIC_RAW, ns), whichever is first.
type Step struct {
	Baud     int
	Send     []byte
	Deadline int64
}

// command is one frame whose acknowledgement is awaited.
type command struct {
	what  string
	id    int
	frame []byte
	set   []Setting // what a CFG-VALSET holds, to send singly if it is refused

	restarts bool // the receiver takes restartWait after it acknowledged this
}

type phase uint8

const (
	probing  phase = iota // MON-VER at one rate after another
	asking                // which satellite systems it has (before generation 9)
	sending               // commands, one at a time
	checking              // CFG-VALGET of what was accepted
	settling              // the rate has been changed at the receiver
	proving               // MON-VER at the new rate
	finished
)

// Configurator sets up a u-blox receiver: it finds the rate, asks what the
// receiver is, sends what suits its generation, checks every acknowledgement,
// repeats what is not answered, reads back what was set, and changes the rate
// last. It does no input or output and reads no clock: the owner of the port
// does what Next says and passes on what a Decoder makes of the answers.
type Configurator struct {
	setup Setup
	bauds []int

	phase    phase
	baud     int // index into bauds
	queue    []command
	accepted []Setting
	refused  []string
	version  *Message
	err      error

	waiting  bool
	deadline int64
	pause    bool  // the frame just answered needs restartWait
	resume   int64 // nothing is sent before
	systems  []byte
	tried    int
	answered int // 0 not yet, 1 yes, -1 refused
	stale    int // acknowledgements of earlier sendings that may still come
	readBack []Setting
	asked    int // settings of accepted that are being read back
	checked  int // settings of accepted that have been
}

// NewConfigurator returns a Configurator that will look for the receiver at
// these rates in turn. An empty list means the rate at which the port is; that
// rate cannot be gone back to, so it is not changed either.
func NewConfigurator(s Setup, bauds []int) *Configurator {
	if s.Layers == 0 {
		s.Layers = LayerRAM
	}
	if len(bauds) == 0 {
		bauds, s.Baud = []int{0}, 0
	}
	return &Configurator{setup: s, bauds: slices.Clone(bauds)}
}

// Done reports whether there is nothing more to do; then Err tells how it ended.
func (c *Configurator) Done() bool { return c.phase == finished }

// Err returns nil, or an error that wraps ErrSilent or ErrLost.
func (c *Configurator) Err() error { return c.err }

// Baud returns the rate at which the receiver was found or was set to; 0 if
// the port's own rate was not touched.
func (c *Configurator) Baud() int { return c.bauds[c.baud] }

// Refused names what the receiver would not take. That is no error: models
// differ in what they have.
func (c *Configurator) Refused() []string { return c.refused }

// Version returns the receiver's MON-VER, nil before it has come.
func (c *Configurator) Version() *Message { return c.version }

// Message passes on a message of the receiver.
func (c *Configurator) Message(m *Message) {
	switch m.Source {
	case "MON-VER":
		if c.phase == probing || c.phase == proving {
			c.version, c.answered = m, 1
		}
	case "ACK-ACK", "ACK-NAK":
		id := int(m.AckClass)<<8 | int(m.AckID)
		switch {
		case !c.waiting:
		case c.phase == sending && id == c.queue[0].id:
			if c.stale > 0 {
				c.stale-- // of a frame that was sent twice
				return
			}
			c.answered = 1
			if m.Source == "ACK-NAK" {
				c.answered = -1
			}
		case m.Source == "ACK-NAK" && (c.phase == checking && id == cfgVALGET || c.phase == asking && id == cfgGNSS):
			c.answered = -1
		}
	case "CFG-GNSS":
		if c.phase == asking && c.waiting {
			c.systems, c.answered = m.Payload, 1
		}
	case "CFG-VALGET":
		if c.phase == checking && c.waiting {
			if set, ok := ParseSettings(m.Payload); ok {
				c.readBack, c.answered = set, 1
			}
		}
	}
}

// Next returns what to do at mono; ok is false when it is to wait further.
func (c *Configurator) Next(mono int64) (s Step, ok bool) {
	for c.phase != finished {
		if c.pause {
			c.pause, c.resume = false, mono+int64(restartWait)
		}
		if !c.waiting && mono < c.resume {
			return Step{Deadline: c.resume}, false
		}
		if !c.waiting {
			return c.send(mono), true
		}
		if c.answered == 0 && mono < c.deadline {
			return Step{Deadline: c.deadline}, false
		}
		c.waiting = false
		if c.answered == 0 {
			c.silence()
		} else {
			c.answer()
		}
	}
	return Step{}, false
}

// send makes the frame of the present phase.
func (c *Configurator) send(mono int64) Step {
	s := Step{Deadline: mono + int64(answerWait)}
	switch c.phase {
	case probing, proving:
		if c.tried == 0 {
			s.Baud = c.bauds[c.baud]
		}
		s.Send = AppendUBX(nil, monVER, nil)
	case asking:
		s.Send = AppendUBX(nil, cfgGNSS, nil)
	case sending:
		s.Send = c.queue[0].frame
	case checking:
		c.asked = min(maxSettings, len(c.accepted)-c.checked)
		keys := make([]uint32, c.asked)
		for i := range keys {
			keys[i] = c.accepted[c.checked+i].Key
		}
		s.Send = AppendValGet(nil, keys)
	case settling:
		s.Send = AppendPort(nil, c.setup.Baud, c.setup.NMEA)
		if c.gen9() {
			s.Send = AppendValSet(nil, c.setup.Layers, []Setting{{keyBaudUART1, uint64(c.setup.Baud)}})
		}
		s.Deadline = mono + int64(settleWait)
	}
	c.waiting, c.answered, c.deadline = true, 0, s.Deadline
	c.tried++
	return s
}

// enter begins a phase.
func (c *Configurator) enter(p phase) {
	c.phase, c.tried = p, 0
	if p == sending && len(c.queue) == 0 {
		c.phase = checking
	}
	if c.phase == checking && c.checked == len(c.accepted) {
		c.phase = finished
		if b := c.setup.Baud; b != 0 && b != c.Baud() && !c.setup.USB {
			c.phase = settling
		}
	}
}

func (c *Configurator) gen9() bool { return protocolVersion(c.version) >= valsetProtocol }

// answer deals with an answer of the present phase.
func (c *Configurator) answer() {
	switch c.phase {
	case probing:
		if !c.gen9() && c.setup.Systems != nil {
			c.enter(asking)
			return
		}
		c.plan()
		c.enter(sending)
	case asking:
		c.plan()
		c.enter(sending)
	case sending:
		q := c.queue[0]
		c.queue = c.queue[1:]
		c.pause = q.restarts && c.answered > 0
		c.stale = c.tried - 1
		switch {
		case c.answered > 0:
			c.accepted = append(c.accepted, q.set...)
		case len(q.set) > 1:
			// One unknown key refuses a whole group: send its settings singly.
			single := make([]command, 0, len(q.set)+len(c.queue))
			for _, s := range q.set {
				single = append(single, c.valset(s))
			}
			c.queue = append(single, c.queue...)
		default:
			c.refused = append(c.refused, q.what)
		}
		c.enter(sending)
	case checking:
		want := c.accepted[c.checked : c.checked+c.asked]
		c.checked += c.asked
		if c.answered > 0 {
			c.compare(want)
		} else {
			c.refused = append(c.refused, "read back of settings")
		}
		c.readBack = nil
		c.enter(checking)
	case proving:
		c.phase = finished
	}
}

// compare notes what was acknowledged and yet is not so.
func (c *Configurator) compare(want []Setting) {
	got := make(map[uint32]uint64, len(c.readBack))
	for _, s := range c.readBack {
		got[s.Key] = s.Value
	}
	for _, s := range want {
		if v, ok := got[s.Key]; !ok || v != s.Value {
			c.refused = append(c.refused, fmt.Sprintf("key %#08x: set to %d, reads %d", s.Key, s.Value, v))
		}
	}
}

// silence deals with a deadline that passed.
func (c *Configurator) silence() {
	if c.phase == settling {
		// Whether the acknowledgement comes at the old or the new rate, or
		// garbled, is not defined; what counts is that the new rate works.
		c.bauds = append(c.bauds, c.setup.Baud)
		old := c.baud
		c.baud = len(c.bauds) - 1
		c.bauds = append(c.bauds, c.bauds[old])
		c.enter(proving)
		return
	}
	c.stale = 0
	if c.tried < tries {
		return
	}
	switch c.phase {
	case probing:
		if c.baud+1 < len(c.bauds) {
			c.baud++
			c.enter(probing)
			return
		}
		c.fail(fmt.Errorf("configure receiver: %w (tried %v)", ErrSilent, c.bauds))
	case proving:
		if c.baud+1 < len(c.bauds) {
			// Back to the rate that worked.
			c.baud++
			c.refused = append(c.refused, fmt.Sprintf("rate %d", c.setup.Baud))
			c.enter(proving)
			return
		}
		c.fail(fmt.Errorf("configure receiver: %w after a change of rate to %d", ErrLost, c.setup.Baud))
	case asking: // before generation 7 there is no CFG-GNSS, nor a refusal of it
		c.plan()
		c.enter(sending)
	case sending:
		c.fail(fmt.Errorf("configure receiver: %w to %s", ErrLost, c.queue[0].what))
	case checking:
		c.refused = append(c.refused, "read back of settings")
		c.checked += c.asked
		c.enter(checking)
	}
}

func (c *Configurator) fail(err error) { c.err, c.phase = err, finished }

// plan fills the queue with what suits the receiver.
func (c *Configurator) plan() {
	if !c.gen9() {
		var systems []byte
		if c.setup.Systems != nil {
			var lacks []System
			if systems, lacks = chooseSystems(c.systems, c.setup.Systems); systems == nil {
				c.refused = append(c.refused, "satellite systems")
			}
			for _, sys := range lacks {
				c.refused = append(c.refused, "satellite system "+sys.String())
			}
			if has(c.setup.Systems, Galileo) && !enabled(c.systems, Galileo) && enabled(systems, Galileo) {
				// UBX-CFG-GNSS of the M8: it takes a save and a hardware reset.
				c.refused = append(c.refused, "Galileo, before the settings are saved and the receiver is restarted")
			}
		}
		c.queue = c.setup.legacy(systems)
		return
	}
	for _, g := range c.setup.settings() {
		for len(g) > 0 {
			n := min(len(g), maxSettings)
			c.queue = append(c.queue, c.valset(g[:n]...))
			g = g[n:]
		}
	}
}

func (c *Configurator) valset(set ...Setting) command {
	what := fmt.Sprintf("CFG-VALSET of %d settings", len(set))
	if len(set) == 1 {
		what = fmt.Sprintf("key %#08x", set[0].Key)
	}
	cmd := command{what: what, id: cfgVALSET, frame: AppendValSet(nil, c.setup.Layers, set), set: set}
	cmd.restarts = slices.ContainsFunc(set, func(s Setting) bool { return s.Key>>16 == signalGroup })
	return cmd
}
