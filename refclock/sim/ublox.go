package sim

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
)

// UBlox is a u-blox receiver as seen from its serial port: it has a rate, takes
// CFG-VALSET, answers CFG-VALGET and MON-VER, acknowledges or refuses, and sends
// NMEA until it is configured otherwise. One of an Old generation takes a message for
// each thing instead. It is for one goroutine.
type UBlox struct {
	Baud  int                   // its rate: at any other it is deaf, and what it says is noise
	Lacks func(key uint32) bool // keys it does not have: the whole CFG-VALSET is refused
	Mute  int                   // so many frames are lost on their way to it
	Dead  bool                  // it understands no UBX, as an NMEA receiver
	Old   bool                  // it is of generation 8, an M8T: without CFG-VALSET
	Naks  uint32                // message (class in the high byte) that it refuses

	Keys   map[uint32]uint64 // what was set
	Set    map[uint32][]byte // what was set with a message of its own, the last of each; CFG-MSG also by message in the upper 16 bits
	Layers byte              // memories that were written, all together
	rest   []byte
	rng    *rand.Rand
}

// NewUBlox returns a receiver with factory settings at a rate.
func NewUBlox(baud int, seed uint64) *UBlox {
	return &UBlox{Baud: baud, Keys: map[uint32]uint64{}, Set: map[uint32][]byte{}, rng: rand.New(rand.NewPCG(seed, 0x75626c78))}
}

// Keys of the configuration database that the receiver itself obeys (u-blox
// F9 interface description): the rate of UART 1, NMEA and UBX out of it.
const (
	keyBaud    = 0x40520001
	keyOutUBX  = 0x10740001
	keyOutNMEA = 0x10740002
)

// sizes of values, by bits 28 to 30 of the key.
var valueSize = [8]int{1: 1, 2: 1, 3: 2, 4: 4, 5: 8}

// Host takes what the host sends at a rate and returns the receiver's answers,
// as the host reads them.
func (u *UBlox) Host(b []byte, baud int) []byte {
	if baud != u.Baud || u.Dead {
		u.rest = u.rest[:0]
		return nil
	}
	u.rest = append(u.rest, b...)
	r := &Receiver{}
	for len(u.rest) >= 8 {
		if u.rest[0] != 0xb5 || u.rest[1] != 0x62 {
			u.rest = u.rest[1:]
			continue
		}
		n := 8 + int(binary.LittleEndian.Uint16(u.rest[4:]))
		if n > 1024 {
			u.rest = u.rest[2:]
			continue
		}
		if len(u.rest) < n {
			break
		}
		f := u.rest[:n]
		u.rest = u.rest[n:]
		var ca, cb byte
		for _, x := range f[2 : n-2] {
			ca += x
			cb += ca
		}
		switch {
		case ca != f[n-2] || cb != f[n-1]:
		case u.Mute > 0:
			u.Mute--
		default:
			u.frame(r, f[2], f[3], f[6:n-2])
		}
	}
	return r.buf
}

func (u *UBlox) frame(r *Receiver, class, id byte, p []byte) {
	switch {
	case class == 0x0a && id == 0x04: // MON-VER
		hardware, version := "00190000", "PROTVER=27.31"
		if u.Old {
			hardware, version = "00080000", "PROTVER=22.00"
		}
		r.ubx(class, id, monVER("EXT CORE 1.00 (sim)", hardware, version))
	case u.Old:
		u.old(r, class, id, p)
	case class == 0x06 && id == 0x8a && len(p) >= 4: // CFG-VALSET
		set, ok := map[uint32]uint64{}, true
		for q := p[4:]; len(q) > 0 && ok; {
			if ok = len(q) >= 4; !ok {
				break
			}
			k := binary.LittleEndian.Uint32(q)
			n := valueSize[k>>28&7]
			if ok = n > 0 && len(q) >= 4+n && (u.Lacks == nil || !u.Lacks(k)); !ok {
				break
			}
			var v [8]byte
			copy(v[:], q[4:4+n])
			set[k] = binary.LittleEndian.Uint64(v[:])
			q = q[4+n:]
		}
		u.ack(r, ok, class, id)
		if !ok {
			return
		}
		u.Layers |= p[1]
		for k, v := range set {
			u.Keys[k] = v
			if k == keyBaud {
				u.Baud = int(v)
			}
		}
	case class == 0x06 && id == 0x8b && len(p) >= 4: // CFG-VALGET
		a := []byte{1, 0, 0, 0}
		for q := p[4:]; len(q) >= 4; q = q[4:] {
			k := binary.LittleEndian.Uint32(q)
			var v [8]byte
			binary.LittleEndian.PutUint64(v[:], u.Keys[k])
			a = binary.LittleEndian.AppendUint32(a, k)
			a = append(a, v[:valueSize[k>>28&7]]...)
		}
		r.ubx(class, id, a)
		u.ack(r, true, class, id)
	case class == 0x06:
		u.ack(r, false, class, id)
	}
}

// m8tSystems is the CFG-GNSS of an M8T as from the factory: GPS, SBAS, QZSS and
// GLONASS are on, Galileo, BeiDou and IMES off.
var m8tSystems = []byte{0, 32, 32, 7,
	0, 8, 16, 0, 1, 0, 1, 1, 1, 1, 3, 0, 1, 0, 1, 1, 2, 4, 8, 0, 0, 0, 1, 1, 3, 8, 16, 0, 0, 0, 1, 1,
	4, 0, 8, 0, 0, 0, 1, 1, 5, 0, 3, 0, 1, 0, 1, 1, 6, 8, 14, 0, 1, 0, 1, 1}

// Messages of class CFG before generation 9, and the lengths of their payloads.
const (
	cfgPort    = 0x0600
	cfgMessage = 0x0601
	cfgSave    = 0x0609
	cfgSystems = 0x063e
)

var oldLength = map[uint32]int{cfgPort: 20, cfgMessage: 3, 0x0608: 6, cfgSave: 13, 0x0624: 36, 0x0631: 32, 0x0639: 8, 0x063d: 28}

// old takes a message as a receiver before generation 9 does: one that it does
// not know, or of another length, is refused.
func (u *UBlox) old(r *Receiver, class, id byte, p []byte) {
	if class != 0x06 {
		return
	}
	m := uint32(class)<<8 | uint32(id)
	switch {
	case m == u.Naks:
		u.ack(r, false, class, id)
		return
	case m == cfgSystems && len(p) == 0:
		sys := m8tSystems
		if s, ok := u.Set[m]; ok {
			sys = s
		}
		r.ubx(class, id, sys)
		u.ack(r, true, class, id)
		return
	}
	ok := len(p) == oldLength[m] && len(p) > 0 || m == cfgSystems && len(p) >= 4 && len(p) == 4+8*int(p[3])
	ok = ok && (m != cfgPort || p[0] == 1)
	u.ack(r, ok, class, id)
	switch {
	case !ok:
		return
	case m == cfgPort: // the answer still goes out at the old rate
		u.Baud = int(binary.LittleEndian.Uint32(p[8:]))
	case m == cfgMessage:
		u.Set[m|uint32(p[0])<<24|uint32(p[1])<<16] = bytes.Clone(p)
	case m == cfgSave:
		u.Layers |= p[12] << 1 // battery-backed memory 1, flash 2
	}
	u.Set[m] = bytes.Clone(p)
}

func (u *UBlox) ack(r *Receiver, ok bool, class, id byte) {
	var n byte
	if ok {
		n = 1
	}
	r.ubx(0x05, n, []byte{class, id})
}

// Reset makes it lose its settings, as when its power fails.
func (u *UBlox) Reset(baud int) {
	u.Baud, u.Keys, u.Set, u.rest = baud, map[uint32]uint64{}, map[uint32][]byte{}, nil
}

// Speak returns what the host reads at a rate of one burst: sentences as from
// the factory, or UBX-NAV-TIMEGPS once it was asked for.
func (u *UBlox) Speak(baud int, sentences []byte) []byte {
	b := sentences
	quiet := len(u.Keys) > 2 && u.Keys[keyOutUBX] == 1 && u.Keys[keyOutNMEA] == 0
	if zda := u.Set[cfgMessage|0xf0<<24|0x08<<16]; u.Old {
		quiet = len(zda) == 3 && zda[2] == 0
	}
	if quiet {
		r := &Receiver{}
		r.ubx(0x01, 0x20, make([]byte, 16))
		b = r.buf
	}
	if baud == u.Baud {
		return b
	}
	noise := make([]byte, len(b))
	for i := range noise {
		noise[i] = byte(u.rng.Uint32()) | 0x80
	}
	return noise
}
