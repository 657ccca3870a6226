package receiver

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// rateSetter is a port whose rate can be changed while it is open, as that of
// OpenSerial can.
type rateSetter interface{ SetBaud(baud int) error }

// settingsLostAfter is the time, ns, without a frame of its own protocol but
// with frames of others after which a configured receiver is taken for one that
// lost its settings. They are in RAM, which a power failure clears.
const settingsLostAfter = 60e9

// session is the use of an open port: it configures the receiver if asked to,
// finds the baud rate, and measures the load of the port. It belongs to the
// goroutine that reads the port.
type session struct {
	port *Port
	rc   io.ReadCloser
	scan *baudScan // nil: the rate is given
	load portLoad
	full bool // the port is full, and that was logged

	conf        Configurator // nil: nothing to configure, or finished
	protocol    string       // of the messages of a configured receiver; "": not configured
	own, others uint64       // frames of that protocol and of others, at ownAt
	ownAt       int64        // mono of the last new frame of that protocol; 0: to be taken anew
}

func newSession(p *Port, rc io.ReadCloser) *session {
	s := &session{port: p, rc: rc}
	if p.Configure != nil {
		s.configure()
	}
	s.startScan(0)
	return s
}

// configure starts the configuration.
func (s *session) configure() {
	_, w := s.rc.(io.Writer)
	if _, r := s.rc.(rateSetter); !w || !r {
		s.configureFailed(errors.New("this port cannot be written to or change its rate"))
		return
	}
	s.conf, s.protocol = s.port.Configure(s.port.Rates), ""
}

// startScan starts the search for the rate at baud, if that is not 0.
func (s *session) startScan(baud int) {
	if len(s.port.Rates) < 2 {
		return
	}
	rates := slices.Clone(s.port.Rates)
	if baud != 0 {
		rates = append([]int{baud}, slices.DeleteFunc(rates, func(r int) bool { return r == baud })...)
	}
	s.scan = newBaudScan(rates)
}

// message takes each message of the receiver.
func (s *session) message(m *gnss.Message) {
	if s.conf != nil {
		s.conf.Message(m)
	}
	s.port.hand(m)
}

// afterRead is called after each read, also after one that returned nothing.
func (s *session) afterRead(dec *gnss.Decoder, now int64) error {
	c := dec.Counters()
	if s.conf != nil {
		return s.continueConfiguration(now)
	}
	s.measureLoad(&c, now)
	s.watchSettings(&c, now)
	if s.scan == nil || !s.scan.Next(&c, now) {
		return nil
	}
	s.port.Count(reason.PortBaud)
	dec.Reset()
	return s.setBaud(s.scan.Rate())
}

// watchSettings configures a receiver again that has lost its settings.
func (s *session) watchSettings(c *gnss.Counters, now int64) {
	if s.protocol == "" {
		return
	}
	own := c.FramesOf(s.protocol)
	others := c.AllFrames() - own
	switch {
	case own != s.own || s.ownAt == 0:
		s.own, s.others, s.ownAt = own, others, now
	case now-s.ownAt > settingsLostAfter && others > s.others:
		s.port.Log.Info("receiver has lost its settings", "port", s.port.Name)
		s.ownAt = 0
		s.configure()
	}
}

// measureLoad warns when the rate is too low for what the receiver sends.
func (s *session) measureLoad(c *gnss.Counters, now int64) {
	baud := s.port.Baud()
	if baud == 0 && len(s.port.Rates) > 0 {
		baud = s.port.Rates[0]
	}
	used, ok := s.load.Next(c, baud, now)
	if !ok {
		return
	}
	full := used >= loadFull
	if full {
		s.port.Count(reason.PortSlow)
		if !s.full {
			s.port.Log.Warn("receiver's port is full; messages come late or are lost: raise the receiver's baud rate, or switch off messages that are not needed",
				"reason", reason.PortSlow.String(), "port", s.port.Name, "baud", baud, "used_percent", int(used*100))
		}
	}
	s.full = full
}

// continueConfiguration does what the configurator asks for.
func (s *session) continueConfiguration(now int64) error {
	for {
		step, ok := s.conf.Next(now)
		if s.conf.Done() {
			s.configurationDone()
			return nil
		}
		if !ok {
			return nil
		}
		if step.Baud != 0 {
			if err := s.setBaud(step.Baud); err != nil {
				return err
			}
		}
		if _, err := s.rc.(io.Writer).Write(step.Send); err != nil {
			return fmt.Errorf("write receiver %s: %w", s.port.Name, err)
		}
	}
}

// configurationDone reports how the configuration ended.
func (s *session) configurationDone() {
	end, p := s.conf.Result(), s.port
	s.conf = nil
	for range end.Refused {
		p.Count(reason.SetupRefused)
	}
	if end.Err != nil {
		s.configureFailed(end.Err)
		s.startScan(0)
		if s.scan != nil {
			if err := s.setBaud(s.scan.Rate()); err != nil {
				p.Log.Warn("baud rate cannot be changed", "reason", reason.PortBaud.String(), "port", p.Name, "error", err)
			}
		}
		return
	}
	s.protocol, s.ownAt = end.Protocol, 0
	p.baud.Store(int64(end.Baud))
	p.Log.Info("receiver configured", "port", p.Name, "baud", end.Baud, "software", end.Software, "refused", end.Refused)
	s.startScan(end.Baud)
}

// configureFailed reports that the receiver keeps its present settings.
func (s *session) configureFailed(err error) {
	s.port.Count(reason.SetupFailed)
	s.port.Log.Warn("receiver not configured; it keeps its settings", "reason", reason.SetupFailed.String(), "port", s.port.Name, "error", err)
}

// setBaud changes the port's rate.
func (s *session) setBaud(baud int) error {
	r, ok := s.rc.(rateSetter)
	if !ok {
		return fmt.Errorf("set receiver %s to %d baud: this port has no rate", s.port.Name, baud)
	}
	if err := r.SetBaud(baud); err != nil {
		return fmt.Errorf("set receiver %s to %d baud: %w", s.port.Name, baud, err)
	}
	s.port.baud.Store(int64(baud))
	return nil
}
