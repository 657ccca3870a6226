// Package ntske is NTS Key Establishment (RFC 8915, section 4), client and server:
// they agree over TLS 1.3 on an AEAD and its keys, and the server gives the client
// cookies.
package ntske

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Record types (RFC 8915, section 7.6, and the IANA registry).
const (
	RecordEnd          uint16 = 0
	RecordNextProtocol uint16 = 1
	RecordError        uint16 = 2
	RecordWarning      uint16 = 3
	RecordAEAD         uint16 = 4
	RecordCookie       uint16 = 5
	RecordServer       uint16 = 6
	RecordPort         uint16 = 7
	// RecordCompliantGCMSIV (of chrony, registered with IANA) has an empty body. It
	// says that keys for AES-128-GCM-SIV are exported with that AEAD's number in the
	// context, as RFC 8915, section 5.1 specifies. Without it, chrony uses the
	// number of AES-SIV-CMAC-256.
	RecordCompliantGCMSIV uint16 = 1024
)

// Error codes of an Error record (RFC 8915, section 4.1.3).
const (
	CodeUnrecognizedCritical uint16 = 0
	CodeBadRequest           uint16 = 1
	CodeInternal             uint16 = 2
)

// Names and numbers of RFC 8915, sections 4, 5.1, 7.1 and 7.7.
const (
	ALPN          = "ntske/1"
	DefaultPort   = 4460
	protocolNTPv4 = 0
	exporterLabel = "EXPORTER-network-time-security"
	ntpPort       = 123
)

const (
	recordHeader = 4
	criticalBit  = 0x8000
	// An answer with eight cookies has about 1000 octets.
	maxResponse = 64 << 10
	// maxRecords is how many records a message may have before End of Message. An
	// answer with as many cookies as a client keeps has fewer.
	maxRecords = 72
	// maxRequestRecords is the same for a request, which needs four.
	maxRequestRecords = 32
)

// Record is one record of a message.
type Record struct {
	Critical bool
	Type     uint16 // 15 bits
	Body     []byte // at most 65535 octets
}

// Append appends the record in wire format. It truncates a body that is too
// long.
func (r Record) Append(dst []byte) []byte {
	t := r.Type &^ criticalBit
	if r.Critical {
		t |= criticalBit
	}
	body := r.Body[:min(len(r.Body), 0xffff)]
	dst = binary.BigEndian.AppendUint16(dst, t)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(body)))
	return append(dst, body...)
}

// Errors of ReadMessage.
var (
	ErrTooLong = errors.New("message is too long")
	ErrEnd     = errors.New("end-of-message record with a body or without its critical bit")
)

// ReadMessage reads records up to End of Message, which it does not return, and
// not more than limit octets. The records may arrive in pieces of any size. It
// returns ErrTooLong, also for too many records, ErrEnd, errors of r, and
// io.ErrUnexpectedEOF for a stream that ends early.
func ReadMessage(r io.Reader, limit int) ([]Record, error) {
	return readMessage(r, limit, maxRecords)
}

// readMessage is ReadMessage with a limit of records.
func readMessage(r io.Reader, limit, records int) ([]Record, error) {
	var recs []Record
	for used := 0; ; {
		var h [recordHeader]byte
		if used += recordHeader; used > limit {
			return nil, ErrTooLong
		}
		if _, err := io.ReadFull(r, h[:]); err != nil {
			return nil, unexpectedEOF(err)
		}
		t, n := binary.BigEndian.Uint16(h[:]), int(binary.BigEndian.Uint16(h[2:]))
		rec := Record{Critical: t&criticalBit != 0, Type: t &^ criticalBit}
		if used += n; used > limit {
			return nil, ErrTooLong
		}
		if n > 0 {
			rec.Body = make([]byte, n)
			if _, err := io.ReadFull(r, rec.Body); err != nil {
				return nil, unexpectedEOF(err)
			}
		}
		if rec.Type == RecordEnd {
			if n != 0 || !rec.Critical {
				return nil, ErrEnd
			}
			return recs, nil
		}
		if len(recs) == records {
			return nil, ErrTooLong
		}
		recs = append(recs, rec)
	}
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendMessage appends the records and End of Message.
func appendMessage(dst []byte, recs ...Record) []byte {
	for _, r := range recs {
		dst = r.Append(dst)
	}
	return Record{Critical: true, Type: RecordEnd}.Append(dst)
}

// uint16s splits a body into 16-bit numbers; ok is false for an odd length.
func uint16s(b []byte) (v []uint16, ok bool) {
	if len(b)%2 != 0 {
		return nil, false
	}
	for ; len(b) > 0; b = b[2:] {
		v = append(v, binary.BigEndian.Uint16(b))
	}
	return v, true
}

func put16(v ...uint16) []byte {
	var b []byte
	for _, x := range v {
		b = binary.BigEndian.AppendUint16(b, x)
	}
	return b
}

// RemoteError is an Error record received from a server.
type RemoteError uint16

// Error names the code.
func (e RemoteError) Error() string {
	switch uint16(e) {
	case CodeUnrecognizedCritical:
		return "server answers: unrecognized critical record"
	case CodeBadRequest:
		return "server answers: bad request"
	case CodeInternal:
		return "server answers: internal server error"
	}
	return fmt.Sprintf("server answers: error %d", uint16(e))
}
