// Package ptp encodes and decodes messages of the Precision Time Protocol
// (IEEE 1588-2019) and manages a PTP instance over its management socket.
package ptp

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type is a message type (IEEE 1588-2019, table 36).
type Type uint8

// TypeManagement is the type of a management message.
const TypeManagement Type = 0xD

// version is versionPTP of the messages encoded here.
const version = 2

// HeaderSize is the size of the common header in octets.
const HeaderSize = 34

// PortIdentity names a port of a PTP instance (IEEE 1588-2019, 5.3.5).
type PortIdentity struct {
	Clock [8]byte
	Port  uint16
}

// allPorts is the target of a management message to every instance and port.
var allPorts = PortIdentity{[8]byte{0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}, 0xFFFF}

// Header is the common message header (IEEE 1588-2019, 13.3).
type Header struct {
	Type        Type
	SdoID       uint8 // majorSdoId, 4 bits: transportSpecific of IEEE 1588-2008; 1 for gPTP (IEEE 802.1AS)
	Domain      uint8
	Flags       uint16
	Correction  int64 // ns times 2^16
	Source      PortIdentity
	Sequence    uint16
	Control     uint8 // 4 for management, kept for PTP version 1
	LogInterval int8  // log2 of the interval in s; 0x7F in messages without one
}

// Errors of the parsers.
var (
	ErrShort   = errors.New("message is cut off")
	ErrVersion = errors.New("message has another PTP version")
	ErrType    = errors.New("message is of another type")
)

// append encodes the header of a message of total octets.
func (h *Header) append(b []byte, total int) []byte {
	be := binary.BigEndian
	b = append(b, h.SdoID<<4|byte(h.Type)&0x0F, version)
	b = be.AppendUint16(b, uint16(total))
	b = append(b, h.Domain, 0)
	b = be.AppendUint16(b, h.Flags)
	b = be.AppendUint64(b, uint64(h.Correction))
	b = append(b, 0, 0, 0, 0) // type specific
	b = h.Source.append(b)
	b = be.AppendUint16(b, h.Sequence)
	return append(b, h.Control, byte(h.LogInterval))
}

// parse decodes the header of b. It returns the message without octets beyond
// its length.
func (h *Header) parse(b []byte) ([]byte, error) {
	be := binary.BigEndian
	if len(b) < HeaderSize {
		return nil, ErrShort
	}
	if v := b[1] & 0x0F; v != version {
		return nil, fmt.Errorf("%w: %d", ErrVersion, v)
	}
	total := int(be.Uint16(b[2:]))
	if total < HeaderSize || total > len(b) {
		return nil, ErrShort
	}
	*h = Header{
		Type: Type(b[0] & 0x0F), SdoID: b[0] >> 4, Domain: b[4], Flags: be.Uint16(b[6:]), Correction: int64(be.Uint64(b[8:])),
		Source: parsePort(b[20:]), Sequence: be.Uint16(b[30:]), Control: b[32], LogInterval: int8(b[33]),
	}
	return b[:total], nil
}

func (p *PortIdentity) append(b []byte) []byte {
	return binary.BigEndian.AppendUint16(append(b, p.Clock[:]...), p.Port)
}

func parsePort(b []byte) (p PortIdentity) {
	copy(p.Clock[:], b)
	p.Port = binary.BigEndian.Uint16(b[8:])
	return p
}
