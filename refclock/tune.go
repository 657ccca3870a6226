package refclock

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// settable is a port whose rate can be changed while it is open, as that of
// OpenSerial can.
type settable interface{ SetBaud(baud int) error }

// lapse is how long a configured receiver may send no UBX, while it sends
// something else, before it is taken for one that lost its settings: they are
// in its memory only as long as it has power.
const lapse = 60e9 // ns

// tuner brings port and receiver together: it configures the receiver where
// that was asked for, and finds the rate at which it speaks. It is part of the
// goroutine that reads the port.
type tuner struct {
	p     *Port
	rc    io.ReadCloser
	conf  *gnss.Configurator // nil: nothing to configure, or over
	hunt  *gnss.Hunt         // nil: the rate is given
	setup bool               // the receiver was configured
	ubx   uint64             // frames at ubxAt
	nmea  uint64             // sentences at ubxAt
	ubxAt int64
	load  gnss.Load
	full  bool // the port is, and it was said
}

func (p *Port) tune(rc io.ReadCloser) *tuner {
	t := &tuner{p: p, rc: rc}
	if p.Setup != nil {
		t.configure()
	}
	t.listen(0)
	return t
}

// configure begins to configure.
func (t *tuner) configure() {
	_, w := t.rc.(io.Writer)
	if _, s := t.rc.(settable); !w || !s {
		t.fail(errors.New("this port cannot be written to or change its rate"))
		return
	}
	rates := slices.Clone(t.p.Rates)
	if b := t.p.Setup.Baud; b != 0 && len(rates) > 0 && !slices.Contains(rates, b) {
		rates = append(rates, b) // it may still be as we left it
	}
	t.conf, t.setup = gnss.NewConfigurator(*t.p.Setup, rates), false
}

// listen begins to look for the rate, from the one that is set.
func (t *tuner) listen(baud int) {
	if len(t.p.Rates) < 2 {
		return
	}
	rates := slices.Clone(t.p.Rates)
	if baud != 0 {
		rates = append([]int{baud}, slices.DeleteFunc(rates, func(r int) bool { return r == baud })...)
	}
	t.hunt = gnss.NewHunt(rates)
}

// message passes on what the receiver says.
func (t *tuner) message(m *gnss.Message) {
	if t.conf != nil {
		t.conf.Message(m)
	}
	t.p.hand(m)
}

// next does what is due after a read, also after one that gave nothing.
func (t *tuner) next(dec *gnss.Decoder, now int64) error {
	c := dec.Counters()
	if t.conf != nil {
		return t.converse(now)
	}
	t.weigh(&c, now)
	if t.setup {
		switch {
		case c.UBX != t.ubx || t.ubxAt == 0:
			t.ubx, t.nmea, t.ubxAt = c.UBX, c.NMEA, now
		case now-t.ubxAt > lapse && c.NMEA > t.nmea:
			t.p.Log.Info("receiver has lost its settings", "port", t.p.Name)
			t.ubxAt = 0
			t.configure()
		}
	}
	if t.hunt == nil || !t.hunt.Next(&c, now) {
		return nil
	}
	t.p.Count(reason.PortBaud)
	dec.Reset()
	return t.set(t.hunt.Rate())
}

// weigh says when the port has become too slow for what the receiver sends.
func (t *tuner) weigh(c *gnss.Counters, now int64) {
	baud := t.p.Baud()
	if baud == 0 && len(t.p.Rates) > 0 {
		baud = t.p.Rates[0]
	}
	part, ok := t.load.Next(c, baud, now)
	if !ok {
		return
	}
	if part >= gnss.LoadFull {
		t.p.Count(reason.PortSlow)
		if !t.full {
			t.p.Log.Warn("receiver's port is full; messages come late or are lost: raise the rate of the receiver, or switch off messages that are not needed",
				"reason", reason.PortSlow.String(), "port", t.p.Name, "baud", baud, "used_percent", int(part*100))
		}
	}
	t.full = part >= gnss.LoadFull
}

// converse carries the configuration on.
func (t *tuner) converse(now int64) error {
	for {
		s, ok := t.conf.Next(now)
		if t.conf.Done() {
			t.done()
			return nil
		}
		if !ok {
			return nil
		}
		if s.Baud != 0 {
			if err := t.set(s.Baud); err != nil {
				return err
			}
		}
		if _, err := t.rc.(io.Writer).Write(s.Send); err != nil {
			return fmt.Errorf("write receiver %s: %w", t.p.Name, err)
		}
	}
}

// done says how the configuration ended.
func (t *tuner) done() {
	conf := t.conf
	t.conf = nil
	for range conf.Refused() {
		t.p.Count(reason.SetupRefused)
	}
	if err := conf.Err(); err != nil {
		t.fail(err)
		t.listen(0)
		if t.hunt != nil {
			t.report(t.set(t.hunt.Rate()))
		}
		return
	}
	model := ""
	if v := conf.Version(); v != nil {
		model = v.Text
	}
	t.setup, t.ubxAt = true, 0
	t.p.baud.Store(int64(conf.Baud()))
	t.p.Log.Info("receiver configured", "port", t.p.Name, "baud", conf.Baud(), "software", model, "refused", conf.Refused())
	t.listen(conf.Baud())
}

// fail says that the receiver stays as it is.
func (t *tuner) fail(err error) {
	t.p.Count(reason.SetupFailed)
	t.p.Log.Warn("receiver stays as it is", "reason", reason.SetupFailed.String(), "port", t.p.Name, "error", err)
}

func (t *tuner) report(err error) {
	if err != nil {
		t.p.Log.Warn("baud rate cannot be changed", "reason", reason.PortBaud.String(), "port", t.p.Name, "error", err)
	}
}

// set changes the port's rate.
func (t *tuner) set(baud int) error {
	s, ok := t.rc.(settable)
	if !ok {
		return fmt.Errorf("set receiver %s to %d baud: this port has no rate", t.p.Name, baud)
	}
	if err := s.SetBaud(baud); err != nil {
		return fmt.Errorf("set receiver %s to %d baud: %w", t.p.Name, baud, err)
	}
	t.p.baud.Store(int64(baud))
	return nil
}
