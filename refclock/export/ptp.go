package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"time"

	"noonmark/refclock/status"
)

// Grandmaster is what ptp4l tells the network of this clock (IEEE 1588-2019,
// 7.6.2 and 8.2.4).
type Grandmaster struct {
	Class      uint8  // 6 locked, 7 holdover within specification, 52 holdover out of it, 248 default
	Accuracy   uint8  // enumeration of table 5
	Variance   uint16 // offsetScaledLogVariance
	UTCOffset  int16  // TAI - UTC in seconds
	Leap61     bool
	Leap59     bool
	UTCValid   bool
	TimeTrace  bool
	FreqTrace  bool
	TimeSource uint8 // 0x20 GNSS, 0xA0 internal oscillator
}

// GrandmasterOf derives the settings from the snapshot at an instant of
// CLOCK_MONOTONIC_RAW.
func GrandmasterOf(s *status.Snapshot, mono int64) Grandmaster {
	t := s.ClockAt(mono)
	g := Grandmaster{Class: 248, Accuracy: 0xFE, Variance: 0xFFFF, UTCOffset: int16(s.OffsetAt(t)), TimeSource: 0xA0}
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
// smallest class that still contains it.
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

// variance returns offsetScaledLogVariance (IEEE 1588-2019, 7.6.3.3) for a
// white phase noise of the given standard deviation in ns: for white phase
// noise the PTP variance equals the square of it.
func variance(sigmaNS float64) uint16 {
	if !(sigmaNS > 0) {
		return 0xFFFF
	}
	v := math.Ceil(math.Log2(sigmaNS*1e-9*sigmaNS*1e-9)*256) + 0x8000
	return uint16(min(max(v, 0), 0xFFFF))
}

// PTP sets ptp4l's grandmaster settings over its management socket
// (linuxptp's GRANDMASTER_SETTINGS_NP).
type PTP struct {
	path   string // ptp4l's socket, /var/run/ptp4l
	local  string
	domain uint8
	conn   *net.UnixConn
	seq    uint16
	last   Grandmaster
	sent   bool
}

// ErrPTP is wrapped when ptp4l answers a request with a refusal.
var ErrPTP = errors.New("ptp4l refused the settings")

// NewPTP returns an exporter to ptp4l's socket. dir is where our own end of
// the socket is made; it must be writable.
func NewPTP(path, dir string, domain uint8) *PTP {
	return &PTP{path: path, local: filepath.Join(dir, fmt.Sprintf("ptp4l-client.%d", os.Getpid())), domain: domain}
}

func (p *PTP) String() string { return "ptp4l " + p.path }

// Close ends the connection and removes our end of the socket.
func (p *PTP) Close() error {
	if p.conn == nil {
		return nil
	}
	err := p.conn.Close()
	p.conn = nil
	if e := os.Remove(p.local); !errors.Is(e, os.ErrNotExist) {
		err = errors.Join(err, e)
	}
	return err
}

// Set sends the settings and waits for ptp4l's answer, at most two seconds.
// Settings that ptp4l has already acknowledged are not sent again.
func (p *PTP) Set(g Grandmaster) error {
	if p.sent && g == p.last {
		return nil
	}
	if err := p.exchange(g); err != nil {
		p.sent = false
		return errors.Join(wrap("ptp4l", p.path, "is ptp4l running, and may this user write its uds_address?", err), p.Close())
	}
	p.last, p.sent = g, true
	return nil
}

// Forget makes the next Set send even if nothing changed: ptp4l may have been
// restarted meanwhile.
func (p *PTP) Forget() { p.sent = false }

func (p *PTP) exchange(g Grandmaster) error {
	if p.conn == nil {
		if err := os.Remove(p.local); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: p.local, Net: "unixgram"})
		if err != nil {
			return err
		}
		p.conn = c
		// ptp4l answers to our path and may run as another user
		if err := os.Chmod(p.local, 0o666); err != nil {
			return err
		}
	}
	p.seq++
	if err := p.conn.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		return err
	}
	if _, err := p.conn.WriteToUnix(appendSettings(nil, p.domain, p.seq, g), &net.UnixAddr{Name: p.path, Net: "unixgram"}); err != nil {
		return err
	}
	var buf [1500]byte
	for {
		n, err := p.conn.Read(buf[:])
		if err != nil {
			return err
		}
		if done, err := checkResponse(buf[:n], p.seq); done || err != nil {
			return err
		}
	}
}

const (
	ptpHeader     = 34
	mgmtHeader    = 14 // target port identity, hops, action, reserved
	ptpManagement = 0x0D
	tlvManagement = 0x0001
	tlvError      = 0x0002
	actionSet     = 1
	actionAnswer  = 2
	idGMSettings  = 0xC001 // GRANDMASTER_SETTINGS_NP, linuxptp's tlv.h
)

// appendSettings encodes the management message (IEEE 1588-2019, 15.4.1).
func appendSettings(b []byte, domain uint8, seq uint16, g Grandmaster) []byte {
	const total = ptpHeader + mgmtHeader + 4 + 2 + 8
	be := binary.BigEndian
	b = append(b, ptpManagement, 0x02)
	b = be.AppendUint16(b, total)
	b = append(b, domain, 0)
	b = append(b, make([]byte, 2+8+4)...)              // flags, correction, type specific
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0)              // source clock identity
	b = be.AppendUint16(b, uint16(os.Getpid()&0xFFFF)) // source port: linuxptp's own tools do the same
	b = be.AppendUint16(b, seq)
	b = append(b, 4, 0x7F) // control: management; log message interval
	b = append(b, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)
	b = append(b, 0, 0, actionSet, 0)
	b = be.AppendUint16(b, tlvManagement)
	b = be.AppendUint16(b, 2+8)
	b = be.AppendUint16(b, idGMSettings)
	b = append(b, g.Class, g.Accuracy)
	b = be.AppendUint16(b, g.Variance)
	b = be.AppendUint16(b, uint16(g.UTCOffset))
	var f byte // IEEE 1588-2019, table 37, low octet
	for i, on := range [...]bool{g.Leap61, g.Leap59, g.UTCValid, true /* PTP timescale */, g.TimeTrace, g.FreqTrace} {
		if on {
			f |= 1 << i
		}
	}
	return append(b, f, g.TimeSource)
}

// checkResponse reports whether b is the answer to our request seq.
func checkResponse(b []byte, seq uint16) (bool, error) {
	be := binary.BigEndian
	if len(b) < ptpHeader+mgmtHeader+6 || b[0]&0x0F != ptpManagement || be.Uint16(b[30:]) != seq {
		return false, nil
	}
	if b[ptpHeader+12]&0x0F != actionAnswer {
		return false, nil
	}
	tlv := b[ptpHeader+mgmtHeader:]
	switch be.Uint16(tlv) {
	case tlvManagement:
		if be.Uint16(tlv[4:]) == idGMSettings {
			return true, nil
		}
	case tlvError:
		if len(tlv) >= 8 && be.Uint16(tlv[6:]) == idGMSettings {
			return true, fmt.Errorf("%w: management error %#04x", ErrPTP, be.Uint16(tlv[4:]))
		}
	}
	return false, nil
}
