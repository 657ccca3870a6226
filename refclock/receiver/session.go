package receiver

import (
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/reason"
)

// settingsLostAfter is the time, ns, without a frame of its own protocol but
// with frames of others after which a configured receiver is taken for one that
// lost its settings. They are in RAM, which a power failure clears.
const settingsLostAfter = 60e9

// Config describes a Session.
type Config struct {
	Name   string      // for logs
	Decode gnss.Config // how labels are read; the leap table also comes from SetLeaps
	// Protocol names the only protocol whose messages are handed on; empty: all are.
	Protocol string
	// Rates are the baud rates at which the receiver may be, the first being that of
	// a port just opened. If there are two or more, they are tried in turn until
	// valid frames arrive. None: the port has no rate.
	Rates []int

	// Configure, if set, returns what configures the receiver, which may be at one
	// of these rates. It is called each time the port is opened.
	Configure func(rates []int) Configurator `json:"-"`
	Message   func(*gnss.Message)            `json:"-"` // takes each message
	Count     func(reason.Code)              `json:"-"` // called once for each failure
	// Conditions, if set, takes all conditions of the port and of the receiver that
	// hold, whenever they change, the one that explains most first.
	Conditions func([]reason.Condition) `json:"-"`
	Tap        Tap                      `json:"-"` // may be nil
	Log        *slog.Logger             `json:"-"`
}

// Tap sees what a session takes, before the session does. Its methods do not wait.
type Tap interface {
	Start(settable bool)
	Read(b []byte, mono int64)
}

// Configurator configures a receiver, such as *ubx.Configurator. It does no
// input or output: the session does the steps and passes on the messages.
type Configurator interface {
	// Message takes each message of the receiver.
	Message(m *gnss.Message)
	// Next returns the next step at mono (ns), and false if there is nothing to do
	// before its Deadline or the next message.
	Next(mono int64) (step gnss.Step, ok bool)
	// Done reports whether the configuration is finished.
	Done() bool
	// Result returns the outcome once Done.
	Result() gnss.Configured
}

// Session turns the octets of a receiver into messages. It configures the
// receiver if asked to, finds the baud rate, and measures the load of the port.
// It touches no device and reads no clock: Port is what moves octets and carries
// out its orders. Apart from the methods that say so it is for one goroutine.
type Session struct {
	cfg    Config
	dec    *gnss.Decoder
	orders []Order

	scan  *baudScan // nil: the rate is given
	load  portLoad
	watch *watch

	conf        Configurator // nil: nothing to configure, or finished
	protocol    string       // of the messages of a configured receiver; "": not configured
	own, others uint64       // frames of that protocol and of others, at ownAt
	ownAt       int64        // mono of the last new frame of that protocol; 0: to be taken anew
	settable    bool         // the port can be written to and change its rate

	table    atomic.Pointer[tai.Table]     // for the decoder, from the next octets on
	counters atomic.Pointer[gnss.Counters] // as of the last octets
	baud     atomic.Int64
}

// Order is something that the port is to do, in this sequence.
type Order struct {
	Baud     int    // the rate to change to; 0: none
	Send     []byte // then octets to send
	Optional bool   // a failure does not mean that the port is lost
}

// NewSession returns a session of a port that is not open yet.
func NewSession(cfg Config) *Session {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Decode.NewLeaps = true
	if cfg.Conditions == nil {
		cfg.Conditions = func([]reason.Condition) {}
	}
	return &Session{cfg: cfg, dec: registry.NewDecoder(cfg.Decode), watch: newWatch(cfg.Protocol)}
}

// SetLeaps replaces the leap table with which dates are read. It is for any
// goroutine.
func (s *Session) SetLeaps(t *tai.Table) { s.table.Store(t) }

// Counters returns the decoder's counters; nil before the first read. It is for
// any goroutine.
func (s *Session) Counters() *gnss.Counters { return s.counters.Load() }

// Baud returns the rate that was found or set; 0 if it was not changed. It is for
// any goroutine.
func (s *Session) Baud() int { return int(s.baud.Load()) }

// Start begins anew with a port just opened. settable: it can be written to and
// change its rate.
func (s *Session) Start(settable bool) {
	if s.cfg.Tap != nil {
		s.cfg.Tap.Start(settable)
	}
	s.dec.Reset()
	s.orders, s.scan, s.load, s.conf, s.protocol, s.ownAt = nil, nil, portLoad{}, nil, "", 0
	s.settable = settable
	s.watch.reset()
	s.report()
	if s.cfg.Configure != nil {
		s.configure()
	}
	s.startScan(0)
}

// Read takes the octets of one read, of which the first came at mono
// (CLOCK_MONOTONIC_RAW, ns). A read that timed out has none. Orders are to
// be carried out before the next read.
func (s *Session) Read(b []byte, mono int64) {
	if s.cfg.Tap != nil {
		s.cfg.Tap.Read(b, mono)
	}
	if len(b) > 0 {
		if t := s.table.Swap(nil); t != nil {
			s.dec.SetLeaps(t)
		}
	}
	before := s.dec.Counters()
	s.watch.start(&before, mono)
	s.dec.Feed(b, mono, s.message)
	c := s.dec.Counters()
	s.counters.Store(&c)
	s.watchOctets(b, &c, mono)
	s.advance(mono)
	s.report()
}

// report reports the conditions that hold if they changed.
func (s *Session) report() {
	if now, changed := s.watch.report(); changed {
		s.cfg.Conditions(now)
	}
}

// watchOctets judges what comes, except while the receiver is being configured.
func (s *Session) watchOctets(b []byte, c *gnss.Counters, now int64) {
	countAll(s.cfg.Count, s.watch.read(b, c, s.rate(), now)...)
	switch {
	case s.conf != nil:
		s.watch.restart(c, now)
	case s.watch.due(now):
		s.judge(c, now)
	}
	countAll(s.cfg.Count, s.watch.judgeMessages(now)...)
}

// judge judges what came at the present rate.
func (s *Session) judge(c *gnss.Counters, now int64) {
	rates := 1
	if s.scan != nil && !s.scan.Found() {
		rates = len(s.cfg.Rates)
	}
	countAll(s.cfg.Count, s.watch.judge(c, s.rate(), rates, now))
}

// rate returns the port's rate, 0 if it has none.
func (s *Session) rate() int {
	if baud := s.Baud(); baud != 0 || len(s.cfg.Rates) == 0 {
		return baud
	}
	return s.cfg.Rates[0]
}

// Orders returns what the port is to do since the last call.
func (s *Session) Orders() []Order {
	o := s.orders
	s.orders = nil
	return o
}

// configure starts the configuration.
func (s *Session) configure() {
	if !s.settable {
		s.configureFailed(errNotSettable)
		return
	}
	s.conf, s.protocol = s.cfg.Configure(s.cfg.Rates), ""
}

// startScan starts the search for the rate at baud, if that is not 0.
func (s *Session) startScan(baud int) {
	if len(s.cfg.Rates) < 2 {
		return
	}
	rates := slices.Clone(s.cfg.Rates)
	if baud != 0 {
		rates = append([]int{baud}, slices.DeleteFunc(rates, func(r int) bool { return r == baud })...)
	}
	s.scan = newBaudScan(rates)
}

// message takes each message of the receiver.
func (s *Session) message(m *gnss.Message) {
	s.watch.message(m)
	if s.conf != nil {
		s.conf.Message(m)
	}
	if s.cfg.Protocol == "" || s.cfg.Protocol == m.Protocol {
		s.cfg.Message(m)
	}
}

// advance does what is due after a read.
func (s *Session) advance(now int64) {
	if s.conf != nil {
		s.continueConfiguration(now)
		return
	}
	c := s.dec.Counters()
	s.measureLoad(&c, now)
	s.watchSettings(&c, now)
	if s.scan == nil || !s.scan.Next(&c, now) {
		return
	}
	s.cfg.Count(reason.PortBaud)
	s.judge(&c, now)
	s.dec.Reset()
	s.setBaud(Order{Baud: s.scan.Rate()})
}

// watchSettings configures a receiver again that has lost its settings.
func (s *Session) watchSettings(c *gnss.Counters, now int64) {
	if s.protocol == "" {
		return
	}
	own := c.FramesOf(s.protocol)
	others := c.AllFrames() - own
	switch {
	case own != s.own || s.ownAt == 0:
		s.own, s.others, s.ownAt = own, others, now
	case now-s.ownAt > settingsLostAfter && others > s.others:
		s.cfg.Log.Info("receiver has lost its settings", "port", s.cfg.Name)
		s.ownAt = 0
		s.configure()
	}
}

// measureLoad finds out whether the rate is too low for what the receiver sends.
func (s *Session) measureLoad(c *gnss.Counters, now int64) {
	used, ok := s.load.Next(c, s.rate(), now)
	switch {
	case !ok:
	case used >= loadFull:
		s.cfg.Count(reason.PortSlow)
		s.watch.set(reason.PortSlow, fmt.Sprintf("%d %% of the capacity%s is used; messages come late or are lost", int(used*100), at(s.rate())))
	default:
		s.watch.clear(reason.PortSlow)
	}
}

// continueConfiguration does what the configurator asks for.
func (s *Session) continueConfiguration(now int64) {
	for {
		step, ok := s.conf.Next(now)
		if s.conf.Done() {
			s.configurationDone()
			return
		}
		if !ok {
			return
		}
		s.setBaud(Order{Baud: step.Baud, Send: step.Send})
	}
}

// configurationDone reports how the configuration ended.
func (s *Session) configurationDone() {
	end := s.conf.Result()
	s.conf = nil
	for range end.Refused {
		s.cfg.Count(reason.SetupRefused)
	}
	if end.Err != nil {
		s.configureFailed(end.Err)
		s.startScan(0)
		if s.scan != nil {
			s.setBaud(Order{Baud: s.scan.Rate(), Optional: true})
		}
		return
	}
	s.protocol, s.ownAt = end.Protocol, 0
	s.baud.Store(int64(end.Baud))
	s.cfg.Log.Info("receiver configured", "port", s.cfg.Name, "baud", end.Baud, "software", end.Software, "refused", end.Refused)
	s.startScan(end.Baud)
}

// configureFailed reports that the receiver keeps its present settings.
func (s *Session) configureFailed(err error) {
	s.cfg.Count(reason.SetupFailed)
	s.cfg.Log.Warn("receiver not configured; it keeps its settings", "reason", reason.SetupFailed.String(), "port", s.cfg.Name, "error", err)
}

// setBaud orders a change of the port's rate, if there is one.
func (s *Session) setBaud(o Order) {
	if o.Baud != 0 {
		s.baud.Store(int64(o.Baud))
	}
	s.orders = append(s.orders, o)
}
