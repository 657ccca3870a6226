package ntp

import (
	"encoding/binary"
	"errors"
)

// Extension field types (RFC 8915, section 7.6).
const (
	ExtUniqueID      = 0x0104
	ExtCookie        = 0x0204
	ExtPlaceholder   = 0x0304
	ExtAuthenticator = 0x0404
)

// Lengths of extension fields and of the legacy MAC (RFC 7822, section 3).
const (
	fieldHeader  = 4
	minField     = 16 // any field, its header included
	minLastField = 28 // the last field of a packet without a MAC
	// A MAC is a key identifier and a digest of 16 or 20 octets, or a key identifier
	// alone (crypto-NAK). The last 24 octets of a packet can therefore not be a
	// field.
	macNAK   = 4
	macMD5   = 20
	macSHA1  = 24
	maxField = 0xfffc // the largest multiple of four in the length's 16 bits
)

// ErrField is returned for octets that are neither an extension field nor a MAC.
var ErrField = errors.New("malformed extension field")

// Field is one extension field of a packet.
type Field struct {
	Type       uint16
	Start, End int    // position in the packet, with header and padding
	Body       []byte // content with padding, without header; part of the packet's memory
}

// NextField returns the extension field that begins at off of an NTPv4 packet;
// the first one begins at HeaderLen, each other at its predecessor's End. It
// returns ok = false without an error at the end of the packet and where the rest
// is a legacy MAC (see IsMAC). The rules are those of RFC 7822, section 3: lengths
// are multiples of 4 and at least 16, at least 28 for a last field without MAC.
func NextField(pkt []byte, off int) (f Field, ok bool, err error) {
	if off < 0 || off > len(pkt) {
		return Field{}, false, ErrField
	}
	if rest := len(pkt) - off; rest == 0 || isMACLen(rest) {
		return Field{}, false, nil
	} else if rest < minLastField {
		return Field{}, false, ErrField
	}
	return field(pkt, off, minField)
}

// NextInner returns the field that begins at off of the plaintext of an NTS
// authenticator (RFC 8915, section 5.6). No MAC can follow, so the least length is
// that of a field's header.
func NextInner(plain []byte, off int) (f Field, ok bool, err error) {
	if off < 0 || off > len(plain) {
		return Field{}, false, ErrField
	}
	if off == len(plain) {
		return Field{}, false, nil
	}
	return field(plain, off, fieldHeader)
}

// IsMAC reports whether the rest of a packet from off has the length of a legacy
// MAC (RFC 7822, section 3.1).
func IsMAC(pkt []byte, off int) bool { return off >= 0 && off <= len(pkt) && isMACLen(len(pkt)-off) }

func isMACLen(n int) bool { return n == macNAK || n == macMD5 || n == macSHA1 }

func field(b []byte, off, least int) (Field, bool, error) {
	if len(b)-off < fieldHeader {
		return Field{}, false, ErrField
	}
	n := int(binary.BigEndian.Uint16(b[off+2:]))
	if n < least || n%4 != 0 || n > len(b)-off {
		return Field{}, false, ErrField
	}
	return Field{
		Type:  binary.BigEndian.Uint16(b[off:]),
		Start: off, End: off + n,
		Body: b[off+fieldHeader : off+n : off+n],
	}, true, nil
}

// FieldLen returns the length of the field that AppendField makes of a body of n
// octets.
func FieldLen(n int) int { return max(minField, (fieldHeader+n+3)&^3) }

// AppendField appends a field to dst, the body padded with zeros to a multiple
// of 4 octets and to the least length of 16. It truncates a body that is too long
// for the 16-bit length.
func AppendField(dst []byte, typ uint16, body []byte) []byte {
	body = body[:min(len(body), maxField-fieldHeader)]
	n := FieldLen(len(body))
	dst = append(dst, byte(typ>>8), byte(typ), byte(n>>8), byte(n))
	dst = append(dst, body...)
	for pad := n - fieldHeader - len(body); pad > 0; pad-- {
		dst = append(dst, 0)
	}
	return dst
}
