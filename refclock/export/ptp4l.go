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
// instant of CLOCK_MONOTONIC_RAW. late is the clock class of a holdover that is out
// of specification.
func grandmaster(s *status.Snapshot, mono int64, late uint8) ptp.GrandmasterSettings {
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
		g.Class = late
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
	cfg    PTP4LConfig
	client *ptp.Client
	sdoID  uint8                   // that ptp4l answered to, or to try first
	last   ptp.GrandmasterSettings // the settings that ptp4l acknowledged last
	acked  bool                    // last is still in force
	ever   bool                    // ptp4l has acknowledged any
}

// PTP4LConfig says how to reach ptp4l, and what to tell it.
type PTP4LConfig struct {
	// Path is ptp4l's socket (uds_address), or the directory with it. PTP4LAuto
	// searches where versions of ptp4l have it.
	Path   string
	Dir    string // where the socket for its answers is made
	Domain uint8
	// TransportSpecific is that of ptp4l's configuration: 1 with the profiles gPTP
	// and automotive. -1: found out.
	TransportSpecific int
	// HoldoverClass is the clock class of a holdover out of specification: 52 in the
	// default profile (IEEE 1588-2019, table 4), 140, 150 or 160 in the telecom
	// profiles (ITU-T G.8275.1, table 2). 0: 52.
	HoldoverClass uint8
}

// PTP4LAuto is the path of a socket that is searched.
const PTP4LAuto = "auto"

// ptp4lSockets are where versions of ptp4l have their socket.
func ptp4lSockets() []string {
	return []string{"/var/run/ptp4l", "/run/ptp4l", "/var/run/ptp/ptp4l", "/run/ptp/ptp4l"}
}

// answerWithin is how long ptp4l may take to answer.
const answerWithin = 2 * time.Second

// NewPTP4L returns an exporter to ptp4l.
func NewPTP4L(cfg PTP4LConfig) *PTP4L {
	if cfg.HoldoverClass == 0 {
		cfg.HoldoverClass = 52
	}
	p := &PTP4L{cfg: cfg, sdoID: uint8(max(0, cfg.TransportSpecific))}
	local := filepath.Join(cfg.Dir, fmt.Sprintf("ptp4l-client.%d", os.Getpid()))
	// linuxptp's tools use their process ID as port number, too.
	p.client = ptp.NewClient(FindPTP4L(cfg.Path), local, cfg.Domain, uint16(os.Getpid()))
	return p
}

// FindPTP4L returns the path of the socket that a configured path means.
func FindPTP4L(path string) string { return findPTP4L(path, ptp4lSockets()) }

// findPTP4L is FindPTP4L with the sockets to search, the first one that exists wins.
func findPTP4L(path string, sockets []string) string {
	if path == PTP4LAuto {
		path = sockets[0]
		for _, p := range sockets {
			if fi, err := os.Stat(p); err == nil && !fi.IsDir() {
				path = p
				break
			}
		}
	}
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		return filepath.Join(path, "ptp4l")
	}
	return path
}

// Set sends the settings and waits for ptp4l's answer, at most two seconds.
// Settings that ptp4l acknowledged last are not sent again.
func (p *PTP4L) Set(g ptp.GrandmasterSettings) error {
	if p.acked && g == p.last {
		return nil
	}
	path := FindPTP4L(p.cfg.Path)
	if err := p.set(path, g.Append(nil)); err != nil {
		p.acked = false
		return errors.Join(wrap("ptp4l", path, "check that ptp4l runs, that this user may write to its uds_address, and that its domain and transportSpecific are those of refclockd.toml", err), p.client.Close())
	}
	p.last, p.acked, p.ever = g, true, true
	return nil
}

// set sends the settings, also with the other value of transportSpecific if that is
// to be found out: ptp4l is silent to a wrong one.
func (p *PTP4L) set(path string, data []byte) error {
	tries := []uint8{p.sdoID}
	if p.cfg.TransportSpecific < 0 {
		tries = append(tries, 1-p.sdoID)
	}
	var err error
	for _, id := range tries {
		p.client.Use(path, id)
		_, err = p.client.Do(ptp.Set, ptp.IDGrandmasterSettings, data, time.Now().Add(answerWithin/time.Duration(len(tries))))
		if err == nil {
			p.sdoID = id
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return err
}

// Close ends the connection and removes the socket for answers.
func (p *PTP4L) Close() error { return p.client.Close() }

func (p *PTP4L) export(src *Source, n int) outcome {
	if n%resendEvery == 0 {
		p.acked = false
	}
	s, now := src.Snapshot(), src.Mono()
	return outcome{unusable: !s.Usable(now), tried: true, err: p.Set(grandmaster(s, now, p.cfg.HoldoverClass))}
}

// end announces a clock that is out of specification, if any other was
// announced, and closes.
func (p *PTP4L) end(src *Source) (o outcome, err error) {
	if p.ever {
		s := *src.Snapshot()
		s.Limit = 0 // no bound is within it
		o = outcome{tried: true, err: p.Set(grandmaster(&s, src.Mono(), p.cfg.HoldoverClass))}
	}
	return o, p.Close()
}
