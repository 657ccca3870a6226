package ubx

import "encoding/binary"

// Layer is a set of memories of the receiver that a setting goes to (CFG-VALSET).
type Layer byte

// The memories.
const (
	LayerRAM   Layer = 1 // until the next reset
	LayerBBR   Layer = 2 // while the backup battery lasts
	LayerFlash Layer = 4 // permanently
)

// setting is one configuration item of generation 9 and later. The key contains
// the length of the value.
type setting struct {
	Key   uint32
	Value uint64
}

// size returns the length of the value in octets: bits 28 to 30 of the key.
func (s setting) size() int {
	switch s.Key >> 28 & 7 {
	case 1, 2:
		return 1
	case 3:
		return 2
	case 4:
		return 4
	case 5:
		return 8
	}
	return 0
}

// maxSettings is how many items one CFG-VALSET or CFG-VALGET may carry.
const maxSettings = 64

// appendValSet appends a CFG-VALSET with at most 64 settings.
func appendValSet(dst []byte, layers Layer, set []setting) []byte {
	p := []byte{0, byte(layers), 0, 0}
	for _, s := range set {
		p = binary.LittleEndian.AppendUint32(p, s.Key)
		for i := 0; i < s.size(); i++ {
			p = append(p, byte(s.Value>>(8*i)))
		}
	}
	return Append(dst, cfgVALSET, p)
}

// appendValGet appends a CFG-VALGET that asks for the values in force (layer 0,
// RAM) of at most 64 keys.
func appendValGet(dst []byte, keys []uint32) []byte {
	p := []byte{0, 0, 0, 0}
	for _, k := range keys {
		p = binary.LittleEndian.AppendUint32(p, k)
	}
	return Append(dst, cfgVALGET, p)
}

// parseSettings reads the items of a CFG-VALGET answer or of a CFG-VALSET, from
// the first octet of the payload. It returns false if the items do not fill it.
func parseSettings(p []byte) ([]setting, bool) {
	if len(p) < 4 {
		return nil, false
	}
	var set []setting
	for p = p[4:]; len(p) > 0; {
		if len(p) < 4 {
			return nil, false
		}
		s := setting{Key: binary.LittleEndian.Uint32(p)}
		n := s.size()
		if p = p[4:]; n == 0 || len(p) < n {
			return nil, false
		}
		for i := 0; i < n; i++ {
			s.Value |= uint64(p[i]) << (8 * i)
		}
		p = p[n:]
		set = append(set, s)
	}
	return set, true
}

// appendMsgRate appends a CFG-MSG of generation 8 and before: message id (class
// in the high byte) once in rate navigation epochs on the port in use; 0 is off.
func appendMsgRate(dst []byte, id, rate int) []byte {
	return Append(dst, cfgMSG, []byte{byte(id >> 8), byte(id), byte(rate)})
}

// Pulse describes the time pulse to configure.
type Pulse struct {
	LengthUS   uint32 // duration in µs
	CableNS    int16  // antenna cable delay, ns, which the receiver subtracts
	UserNS     int32  // further delay, ns, + = later pulse
	WithoutFix bool   // pulse also without a fix; such a pulse marks no second
}

// appendTP5 appends a CFG-TP5 of generation 6 to 8: one rising edge a second on
// TIMEPULSE, aligned to the top of the second of the GPS grid.
func appendTP5(dst []byte, q Pulse) []byte {
	const (
		active, lockGNSS, lockedOther, isLength, alignTOW, rising = 1, 2, 4, 16, 32, 64
		gridGPS                                                   = 1 << 7
	)
	le := binary.LittleEndian
	p := make([]byte, 0, 32)
	p = append(p, 0, 1, 0, 0) // time pulse 0, version 1
	p = le.AppendUint16(p, uint16(q.CableNS))
	p = le.AppendUint16(p, 0) // RF group delay
	p = le.AppendUint32(p, 1e6)
	p = le.AppendUint32(p, 1e6) // period in µs, unlocked and locked
	unlocked := uint32(0)
	if q.WithoutFix {
		unlocked = q.LengthUS
	}
	p = le.AppendUint32(p, unlocked)
	p = le.AppendUint32(p, q.LengthUS)
	p = le.AppendUint32(p, uint32(q.UserNS))
	p = le.AppendUint32(p, active|lockGNSS|lockedOther|isLength|alignTOW|rising|gridGPS)
	return Append(dst, cfgTP5, p)
}
