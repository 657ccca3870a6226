package export

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"

	"noonmark/internal/ptp"
	"noonmark/refclock/status"
)

// grandmaster returns what ptp4l is to announce of the snapshot's clock at an
// instant of CLOCK_MONOTONIC_RAW.
func grandmaster(s *status.Snapshot, mono int64) ptp.GrandmasterSettings {
	t := s.ClockAt(mono)
	g := ptp.GrandmasterSettings{Class: 248, Accuracy: 0xFE, Variance: 0xFFFF, UTCOffset: int16(s.OffsetAt(t)), PTPScale: true, TimeSource: 0xA0}
	if s.RefTime == 0 || s.Kind == status.NoClock {
		return g
	}
	b := s.BoundAt(mono)
	g.Accuracy = accuracy(b)
	g.Variance = variance(s.NoiseNS)
	switch {
	case s.Usable(mono) && s.State == status.Locked:
		g.Class, g.TimeSource = 6, 0x20
	case s.Usable(mono):
		g.Class = 7
	case s.State == status.Holdover || s.State == status.Locked:
		g.Class = 52
	default:
		return g
	}
	g.UTCValid, g.TimeTrace, g.FreqTrace = g.Class <= 7, g.Class <= 7, g.Class <= 7
	switch s.LeapIndicator(t) {
	case 1:
		g.Leap61 = true
	case 2:
		g.Leap59 = true
	}
	return g
}

// accuracy maps a bound to clockAccuracy (IEEE 1588-2019, table 5): the
// smallest class that contains it.
func accuracy(b time.Duration) uint8 {
	for i, lim := range [...]float64{ // ns, from 0x20 on
		25, 100, 250, 1e3, 2.5e3, 10e3, 25e3, 100e3, 250e3, 1e6, 2.5e6, 10e6, 25e6, 100e6, 250e6, 1e9, 10e9,
	} {
		if float64(b) <= lim {
			return 0x20 + uint8(i)
		}
	}
	return 0x31
}

// variance returns offsetScaledLogVariance (IEEE 1588-2019, 7.6.3.3) of white
// phase noise with a standard deviation in ns: its PTP variance is the square of
// that.
func variance(sigmaNS float64) uint16 {
	if !(sigmaNS > 0) {
		return 0xFFFF
	}
	v := math.Ceil(math.Log2(sigmaNS*1e-9*sigmaNS*1e-9)*256) + 0x8000
	return uint16(min(max(v, 0), 0xFFFF))
}

// PTP4L sets ptp4l's grandmaster settings over its management socket.
type PTP4L struct {
	path   string // ptp4l's socket, /var/run/ptp4l
	client *ptp.Client
	last   ptp.GrandmasterSettings // the settings that ptp4l acknowledged last
	acked  bool                    // last is still in force
	ever   bool                    // ptp4l has acknowledged any
}

// answerWithin is how long ptp4l may take to answer.
const answerWithin = 2 * time.Second

// NewPTP4L returns an exporter to ptp4l's socket at path. The socket for its
// answers is made in dir.
func NewPTP4L(path, dir string, domain uint8) *PTP4L {
	local := filepath.Join(dir, fmt.Sprintf("ptp4l-client.%d", os.Getpid()))
	// linuxptp's tools use their process ID as port number, too.
	return &PTP4L{path: path, client: ptp.NewClient(path, local, domain, uint16(os.Getpid()))}
}

// Set sends the settings and waits for ptp4l's answer, at most two seconds.
// Settings that ptp4l acknowledged last are not sent again.
func (p *PTP4L) Set(g ptp.GrandmasterSettings) error {
	if p.acked && g == p.last {
		return nil
	}
	if _, err := p.client.Do(ptp.Set, ptp.IDGrandmasterSettings, g.Append(nil), time.Now().Add(answerWithin)); err != nil {
		p.acked = false
		return errors.Join(wrap("ptp4l", p.path, "check that ptp4l runs and that this user may write to its uds_address", err), p.client.Close())
	}
	p.last, p.acked, p.ever = g, true, true
	return nil
}

// Close ends the connection and removes the socket for answers.
func (p *PTP4L) Close() error { return p.client.Close() }

func (p *PTP4L) export(src *Source, n int) outcome {
	if n%resendEvery == 0 {
		p.acked = false
	}
	s, now := src.Snapshot(), src.Mono()
	return outcome{unusable: !s.Usable(now), tried: true, err: p.Set(grandmaster(s, now))}
}

// end announces a clock that is out of specification, if any other was
// announced, and closes.
func (p *PTP4L) end(src *Source) (o outcome, err error) {
	if p.ever {
		s := *src.Snapshot()
		s.Limit = 0 // no bound is within it
		o = outcome{tried: true, err: p.Set(grandmaster(&s, src.Mono()))}
	}
	return o, p.Close()
}
