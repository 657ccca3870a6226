package sim

import (
	"encoding/binary"
	"math/rand/v2"
)

// UBlox is a u-blox receiver of generation 9 as seen from its serial port: it
// has a rate, takes CFG-VALSET, answers CFG-VALGET and MON-VER, acknowledges or
// refuses, and speaks NMEA until it is told otherwise. It is for one goroutine.
type UBlox struct {
	Baud  int                   // its rate: at any other it is deaf, and what it says is noise
	Lacks func(key uint32) bool // keys it does not have: the whole CFG-VALSET is refused
	Mute  int                   // so many frames are lost on their way to it
	Dead  bool                  // it understands no UBX, as an NMEA receiver

	Keys   map[uint32]uint64 // what was set
	Layers byte              // memories that were written, all together
	rest   []byte
	rng    *rand.Rand
}

// NewUBlox returns a receiver with factory settings at a rate.
func NewUBlox(baud int, seed uint64) *UBlox {
	return &UBlox{Baud: baud, Keys: map[uint32]uint64{}, rng: rand.New(rand.NewPCG(seed, 0x75626c78))}
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
		v := make([]byte, 70)
		copy(v, "EXT CORE 1.00 (sim)")
		copy(v[30:], "00190000")
		copy(v[40:], "PROTVER=27.31")
		r.ubx(class, id, v)
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

func (u *UBlox) ack(r *Receiver, ok bool, class, id byte) {
	var n byte
	if ok {
		n = 1
	}
	r.ubx(0x05, n, []byte{class, id})
}

// Reset makes it lose its settings, as when its power fails.
func (u *UBlox) Reset(baud int) {
	u.Baud, u.Keys, u.rest = baud, map[uint32]uint64{}, nil
}

// Speak returns what the host reads at a rate of one burst: sentences as from
// the factory, or UBX-NAV-TIMEGPS once it was asked for.
func (u *UBlox) Speak(baud int, sentences []byte) []byte {
	b := sentences
	if u.Keys[keyOutUBX] == 1 && u.Keys[keyOutNMEA] == 0 && len(u.Keys) > 2 {
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
