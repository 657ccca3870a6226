package ptp

import (
	"encoding/binary"
	"fmt"
)

// Action is what a management message asks for (IEEE 1588-2019, table 57).
type Action uint8

// The actions.
const (
	Get         Action = 0
	Set         Action = 1
	Response    Action = 2
	Command     Action = 3
	Acknowledge Action = 4
)

// ManagementID names what a management message is about (IEEE 1588-2019, table
// 59; from 0xC000 on, the implementation's own).
type ManagementID uint16

// IDGrandmasterSettings is GRANDMASTER_SETTINGS_NP of linuxptp (tlv.h).
const IDGrandmasterSettings ManagementID = 0xC001

// TLV types (IEEE 1588-2019, table 52).
const (
	tlvManagement = 0x0001
	tlvError      = 0x0002 // MANAGEMENT_ERROR_STATUS
)

// managementSize is the size of a management message before its TLV, octets.
const managementSize = HeaderSize + 14

// ManagementMessage is a management message with one TLV (IEEE 1588-2019,
// 15.4). The TLV is MANAGEMENT with Data, or, if Error is not 0,
// MANAGEMENT_ERROR_STATUS without.
type ManagementMessage struct {
	Header
	Target PortIdentity
	Start  uint8 // boundary hops at the beginning
	Hops   uint8 // boundary hops left
	Action Action
	ID     ManagementID
	Error  uint16 // managementErrorId (IEEE 1588-2019, table 110)
	Data   []byte // dataField; aliases the input of ParseManagement
}

// Append appends the encoded message to b.
func (m *ManagementMessage) Append(b []byte) []byte {
	be := binary.BigEndian
	size := 2 + len(m.Data)
	if m.Error != 0 {
		size = 8
	}
	size += size & 1 // TLVs have an even length
	h := m.Header
	h.Type, h.Control, h.LogInterval = TypeManagement, 4, 0x7F
	b = h.append(b, managementSize+4+size)
	b = m.Target.append(b)
	b = append(b, m.Start, m.Hops, byte(m.Action)&0x0F, 0)
	if m.Error != 0 {
		b = be.AppendUint16(b, tlvError)
		b = be.AppendUint16(b, uint16(size))
		b = be.AppendUint16(b, m.Error)
		b = be.AppendUint16(b, uint16(m.ID))
		return append(b, 0, 0, 0, 0)
	}
	b = be.AppendUint16(b, tlvManagement)
	b = be.AppendUint16(b, uint16(size))
	b = be.AppendUint16(b, uint16(m.ID))
	b = append(b, m.Data...)
	if len(m.Data)&1 != 0 {
		b = append(b, 0)
	}
	return b
}

// ParseManagement decodes a management message and its first TLV.
func ParseManagement(b []byte) (m ManagementMessage, err error) {
	be := binary.BigEndian
	if b, err = m.Header.parse(b); err != nil {
		return m, err
	}
	if m.Type != TypeManagement {
		return m, fmt.Errorf("%w: %#x", ErrType, uint8(m.Type))
	}
	if len(b) < managementSize+4 {
		return m, ErrShort
	}
	m.Target = parsePort(b[HeaderSize:])
	m.Start, m.Hops, m.Action = b[HeaderSize+10], b[HeaderSize+11], Action(b[HeaderSize+12]&0x0F)
	kind, size, v := be.Uint16(b[managementSize:]), int(be.Uint16(b[managementSize+2:])), b[managementSize+4:]
	if size > len(v) {
		return m, ErrShort
	}
	v = v[:size]
	switch {
	case kind == tlvManagement && size >= 2:
		m.ID, m.Data = ManagementID(be.Uint16(v)), v[2:]
	case kind == tlvError && size >= 4:
		m.Error, m.ID = be.Uint16(v), ManagementID(be.Uint16(v[2:]))
		if m.Error == 0 {
			return m, fmt.Errorf("%w: an error status without an error", ErrType)
		}
	case kind == tlvManagement || kind == tlvError:
		return m, ErrShort
	default:
		return m, fmt.Errorf("%w: TLV %#04x", ErrType, kind)
	}
	return m, nil
}

// GrandmasterSettings is the data of IDGrandmasterSettings: what a grandmaster
// announces of its clock (IEEE 1588-2019, 7.6.2 and 8.2.4).
type GrandmasterSettings struct {
	Class      uint8  // clockClass: 6 locked, 7 holdover within specification, 52 holdover out of it, 248 default
	Accuracy   uint8  // clockAccuracy (table 5)
	Variance   uint16 // offsetScaledLogVariance
	UTCOffset  int16  // TAI - UTC in seconds
	Leap61     bool   // the last minute of this UTC day has 61 seconds
	Leap59     bool   // it has 59
	UTCValid   bool   // UTCOffset is known to be right
	PTPScale   bool   // the clock carries TAI, not an arbitrary time
	TimeTrace  bool   // the time is traceable to a primary reference
	FreqTrace  bool   // the frequency is
	TimeSource uint8  // table 6: 0x20 GNSS, 0xA0 internal oscillator
}

// settingsSize is the size of encoded GrandmasterSettings, octets.
const settingsSize = 8

// flags are the flags in the order of their bits (IEEE 1588-2019, table 37, low
// octet).
func (g *GrandmasterSettings) flags() [6]*bool {
	return [...]*bool{&g.Leap61, &g.Leap59, &g.UTCValid, &g.PTPScale, &g.TimeTrace, &g.FreqTrace}
}

// Append appends the encoded settings to b.
func (g GrandmasterSettings) Append(b []byte) []byte {
	b = append(b, g.Class, g.Accuracy)
	b = binary.BigEndian.AppendUint16(b, g.Variance)
	b = binary.BigEndian.AppendUint16(b, uint16(g.UTCOffset))
	var f byte
	for i, on := range g.flags() {
		if *on {
			f |= 1 << i
		}
	}
	return append(b, f, g.TimeSource)
}

// ParseGrandmasterSettings decodes the data of IDGrandmasterSettings.
func ParseGrandmasterSettings(b []byte) (g GrandmasterSettings, err error) {
	if len(b) < settingsSize {
		return g, ErrShort
	}
	g = GrandmasterSettings{
		Class: b[0], Accuracy: b[1], Variance: binary.BigEndian.Uint16(b[2:]),
		UTCOffset: int16(binary.BigEndian.Uint16(b[4:])), TimeSource: b[7],
	}
	for i, on := range g.flags() {
		*on = b[6]&(1<<i) != 0
	}
	return g, nil
}
