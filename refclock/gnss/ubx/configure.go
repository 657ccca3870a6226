package ubx

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"noonmark/refclock/gnss"
)

// Waiting times and attempts of the Configurator.
const (
	// answerWait is how long an answer may take: at 9600 baud a whole burst of
	// other messages (about 0.7 s) can be in front of it.
	answerWait = 1500 * time.Millisecond
	// settleWait lets the last octets leave at the old rate before it changes.
	settleWait = 150 * time.Millisecond
	// restartWait is how long nothing is sent after a change of the satellite
	// systems, which restarts the reception.
	restartWait = 500 * time.Millisecond
	// maxAttempts is how often a frame is sent before its answer is given up.
	maxAttempts = 3
	// valsetProtocol is the first protocol version (hundredths) with CFG-VALSET.
	valsetProtocol = 2301
)

// Errors of a configuration.
var (
	// ErrSilent: there was no answer at any rate. The receiver is no u-blox, or its
	// input is not connected or does not take UBX.
	ErrSilent = errors.New("receiver does not answer at any rate")
	// ErrLost: the receiver answered before and no longer does.
	ErrLost = errors.New("receiver has stopped answering")
)

// command is one frame whose acknowledgement is awaited.
type command struct {
	what  string
	id    int
	frame []byte
	set   []setting // of a CFG-VALSET, to be sent one by one if it is refused

	restarts bool // the receiver needs restartWait after it acknowledged this
}

// phase is what the Configurator is doing.
type phase uint8

const (
	probing   phase = iota // MON-VER at one rate after another
	asking                 // which satellite systems it has (before generation 9)
	sending                // commands, one at a time
	checking               // CFG-VALGET of what was accepted
	settling               // the rate has been changed at the receiver
	verifying              // MON-VER at the new rate
	finished
)

// answer is the receiver's answer to the frame sent last.
type answer uint8

const (
	unanswered answer = iota
	accepted
	refused
)

// Configurator configures a u-blox receiver. It finds the rate, asks for the
// model, sends what suits its generation, checks every acknowledgement, repeats
// what is not answered, reads back what was set, and changes the rate last. It
// does no input or output and reads no clock: the owner of the port does what
// Next returns and passes on what a Decoder makes of the answers.
type Configurator struct {
	setup Setup
	bauds []int

	phase   phase
	baud    int // index into bauds
	queue   []command
	refused []string
	version *gnss.Message // MON-VER; nil before it has come
	err     error
	systems []byte // payload of the receiver's CFG-GNSS

	// The frame sent last.
	waiting  bool // for its answer
	deadline int64
	attempts int // so far
	answer   answer
	stale    int   // acknowledgements of earlier attempts that may still come
	pause    bool  // it needs restartWait
	resume   int64 // nothing is sent before

	// Reading back.
	accepted []setting
	checked  int // of accepted, read back so far
	asked    int // of accepted, being read back
	readBack []setting
}

// NewConfigurator returns a Configurator that looks for the receiver at these
// rates in turn, and at s.Baud, which an earlier run may have set. An empty list
// means the rate at which the port is; nothing could return to that rate, so it
// is not changed.
func NewConfigurator(s Setup, bauds []int) *Configurator {
	if s.Layers == 0 {
		s.Layers = LayerRAM
	}
	bauds = slices.Clone(bauds)
	switch {
	case len(bauds) == 0:
		bauds, s.Baud = []int{0}, 0
	case s.Baud != 0 && !slices.Contains(bauds, s.Baud):
		bauds = append(bauds, s.Baud)
	}
	return &Configurator{setup: s, bauds: bauds}
}

// Done reports whether there is nothing more to do.
func (c *Configurator) Done() bool { return c.phase == finished }

// Result returns the outcome once Done. Err wraps ErrSilent or ErrLost.
func (c *Configurator) Result() gnss.Configured {
	r := gnss.Configured{Protocol: Protocol{}.Name(), Baud: c.rate(), Refused: c.refused, Err: c.err}
	if c.version != nil {
		r.Software = c.version.Text
	}
	return r
}

// rate returns the rate at which the receiver was found or was set to.
func (c *Configurator) rate() int { return c.bauds[c.baud] }

// Message takes each message of the receiver.
func (c *Configurator) Message(m *gnss.Message) {
	switch m.Source {
	case "MON-VER":
		if c.phase == probing || c.phase == verifying {
			c.version, c.answer = m, accepted
		}
	case "ACK-ACK":
		c.acknowledged(int(m.AckClass)<<8|int(m.AckID), accepted)
	case "ACK-NAK":
		c.acknowledged(int(m.AckClass)<<8|int(m.AckID), refused)
	case "CFG-GNSS":
		if c.phase == asking && c.waiting {
			c.systems, c.answer = m.Payload, accepted
		}
	case "CFG-VALGET":
		if c.phase == checking && c.waiting {
			if set, ok := parseSettings(m.Payload); ok {
				c.readBack, c.answer = set, accepted
			}
		}
	}
}

// acknowledged takes an acknowledgement of the message id.
func (c *Configurator) acknowledged(id int, a answer) {
	switch {
	case !c.waiting:
	case c.phase == sending && id == c.queue[0].id:
		if c.stale > 0 {
			c.stale-- // of a frame that was sent twice
			return
		}
		c.answer = a
	case a == refused && (c.phase == checking && id == cfgVALGET || c.phase == asking && id == cfgGNSS):
		c.answer = refused
	}
}

// Next returns what to do at mono (ns). It returns false while there is nothing
// to do before the Deadline or the next message.
func (c *Configurator) Next(mono int64) (s gnss.Step, ok bool) {
	for c.phase != finished {
		if c.pause {
			c.pause, c.resume = false, mono+int64(restartWait)
		}
		if !c.waiting && mono < c.resume {
			return gnss.Step{Deadline: c.resume}, false
		}
		if !c.waiting {
			return c.send(mono), true
		}
		if c.answer == unanswered && mono < c.deadline {
			return gnss.Step{Deadline: c.deadline}, false
		}
		c.waiting = false
		if c.answer == unanswered {
			c.timedOut()
		} else {
			c.wasAnswered()
		}
	}
	return gnss.Step{}, false
}

// send makes the frame of the present phase.
func (c *Configurator) send(mono int64) gnss.Step {
	s := gnss.Step{Deadline: mono + int64(answerWait)}
	switch c.phase {
	case probing, verifying:
		if c.attempts == 0 {
			s.Baud = c.bauds[c.baud]
		}
		s.Send = Append(nil, monVER, nil)
	case asking:
		s.Send = Append(nil, cfgGNSS, nil)
	case sending:
		s.Send = c.queue[0].frame
	case checking:
		c.asked = min(maxSettings, len(c.accepted)-c.checked)
		keys := make([]uint32, c.asked)
		for i := range keys {
			keys[i] = c.accepted[c.checked+i].Key
		}
		s.Send = appendValGet(nil, keys)
	case settling:
		s.Send = appendPort(nil, c.setup.Baud, c.setup.NMEA)
		if c.gen9() {
			s.Send = appendValSet(nil, c.setup.Layers, []setting{{keyBaudUART1, uint64(c.setup.Baud)}})
		}
		s.Deadline = mono + int64(settleWait)
	}
	c.waiting, c.answer, c.deadline = true, unanswered, s.Deadline
	c.attempts++
	return s
}

// enter begins a phase.
func (c *Configurator) enter(p phase) {
	c.phase, c.attempts = p, 0
	if p == sending && len(c.queue) == 0 {
		c.phase = checking
	}
	if c.phase == checking && c.checked == len(c.accepted) {
		c.phase = finished
		if b := c.setup.Baud; b != 0 && b != c.rate() && !c.setup.USB {
			c.phase = settling
		}
	}
}

// gen9 reports whether the receiver has CFG-VALSET.
func (c *Configurator) gen9() bool { return protocolVersion(c.version) >= valsetProtocol }

// wasAnswered continues after an answer.
func (c *Configurator) wasAnswered() {
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
		c.pause = q.restarts && c.answer == accepted
		c.stale = c.attempts - 1
		switch {
		case c.answer == accepted:
			c.accepted = append(c.accepted, q.set...)
		case len(q.set) > 1:
			// One unknown key refuses a whole group: send its settings one by one.
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
		if c.answer == accepted {
			c.compare(want)
		} else {
			c.refused = append(c.refused, "read back of settings")
		}
		c.readBack = nil
		c.enter(checking)
	case verifying:
		c.phase = finished
	}
}

// compare notes settings that were acknowledged and read back otherwise.
func (c *Configurator) compare(want []setting) {
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

// timedOut continues after a deadline without an answer.
func (c *Configurator) timedOut() {
	if c.phase == settling {
		// It is undefined whether the acknowledgement comes at the old rate, at the
		// new one, or garbled. What counts is that the new rate works.
		c.bauds = append(c.bauds, c.setup.Baud)
		old := c.baud
		c.baud = len(c.bauds) - 1
		c.bauds = append(c.bauds, c.bauds[old])
		c.enter(verifying)
		return
	}
	c.stale = 0
	if c.attempts < maxAttempts {
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
	case verifying:
		if c.baud+1 < len(c.bauds) {
			// Return to the rate that worked.
			c.baud++
			c.refused = append(c.refused, fmt.Sprintf("rate %d", c.setup.Baud))
			c.enter(verifying)
			return
		}
		c.fail(fmt.Errorf("configure receiver: %w after a change of rate to %d", ErrLost, c.setup.Baud))
	case asking: // before generation 7 CFG-GNSS is unknown and not even refused
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
			var lacks []gnss.System
			if systems, lacks = chooseSystems(c.systems, c.setup.Systems); systems == nil {
				c.refused = append(c.refused, "satellite systems")
			}
			for _, sys := range lacks {
				c.refused = append(c.refused, "satellite system "+sys.String())
			}
			if slices.Contains(c.setup.Systems, gnss.Galileo) && !enabled(c.systems, gnss.Galileo) && enabled(systems, gnss.Galileo) {
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

// valset makes the command of one CFG-VALSET.
func (c *Configurator) valset(set ...setting) command {
	what := fmt.Sprintf("CFG-VALSET of %d settings", len(set))
	if len(set) == 1 {
		what = fmt.Sprintf("key %#08x", set[0].Key)
	}
	cmd := command{what: what, id: cfgVALSET, frame: appendValSet(nil, c.setup.Layers, set), set: set}
	cmd.restarts = slices.ContainsFunc(set, func(s setting) bool { return s.Key>>16 == signalGroup })
	return cmd
}
