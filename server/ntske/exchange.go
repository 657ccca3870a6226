package ntske

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// exchange serves one connection from handshake to close.
func (s *Server) exchange(x *session) (Reason, error) {
	t := tls.Server(x, x.tls)
	if err := t.Handshake(); err != nil {
		return lost(err, HandshakeFailed), err
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		return NoALPN, nil
	}
	recs, err := readMessage(t, maxOctets, maxRequestRecords)
	r := Served
	switch {
	case err == nil:
	case errors.Is(err, ErrTooLong):
		r = MessageTooLong
	case errors.Is(err, ErrEnd):
		r = BadRequest
	default:
		// A request that is incomplete or late is a bad request (RFC 8915, section
		// 4.1.3). A client that still listens gets an answer.
		if _, werr := t.Write(refusal(BadRequest)); werr == nil {
			t.CloseWrite()
		}
		return lost(err, ConnectionLost), err
	}
	answer, r, err := s.answer(recs, r, state.ExportKeyingMaterial, func(name string) bool {
		return sameHost(state.ServerName, name) || sameHost(x.c.link.local().Addr().String(), name)
	}, x.scratch)
	if _, werr := t.Write(answer); werr != nil {
		return ConnectionLost, werr
	}
	t.CloseWrite()
	return r, err
}

// lost returns the reason for an error of the connection, otherwise the other one.
func lost(err error, otherwise Reason) Reason {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return TimedOut
	case errors.Is(err, ErrTooLong):
		return MessageTooLong
	}
	return otherwise
}

// answer makes the message for a request whose reading ended with r. self reports
// whether a name is one of this host that the client knows.
func (s *Server) answer(recs []Record, r Reason, export exporter, self func(name string) bool, scratch *nts.Scratch) ([]byte, Reason, error) {
	var q request
	var id aead.ID
	if r == Served {
		q, r = parseRequest(recs)
	}
	if r == Served {
		id, r = q.choose(s.cfg.AEADs, s.cfg.ServerOrder)
	}
	var err error
	if r == Served {
		var cookies []Record
		if cookies, err = s.cookies(id, q.compliant, export, scratch); err == nil {
			server := s.cfg.NTPServer
			if server == "" && q.server != "" && self(q.server) {
				server = q.server // the server that the client wants is this one (section 4.1.7)
			}
			return s.success(id, q.compliant, server, cookies), Served, nil
		}
		r = InternalError
	}
	return refusal(r), r, err
}

// cookies makes the cookie records.
func (s *Server) cookies(id aead.ID, compliant bool, export exporter, scratch *nts.Scratch) ([]Record, error) {
	keys, err := exportKeys(export, id, contextAEAD(id, compliant))
	if err != nil {
		return nil, fmt.Errorf("export session keys: %w", err)
	}
	ring := s.cfg.Ring.Load()
	recs := make([]Record, s.cfg.Cookies)
	for i := range recs {
		recs[i].Type = RecordCookie
		if recs[i].Body, err = ring.SealCookie(nil, &keys, scratch); err != nil {
			return nil, fmt.Errorf("seal cookie: %w", err)
		}
	}
	return recs, nil
}

// success returns the answer with cookies. It has chrony's record if the client
// sent it and the AEAD is AES-128-GCM-SIV, and server and port if they differ from
// what a client assumes.
func (s *Server) success(id aead.ID, compliant bool, server string, cookies []Record) []byte {
	recs := []Record{
		{Critical: true, Type: RecordNextProtocol, Body: put16(protocolNTPv4)},
		{Critical: true, Type: RecordAEAD, Body: put16(uint16(id))},
	}
	if compliant && id == aead.AES128GCMSIV {
		recs = append(recs, Record{Type: RecordCompliantGCMSIV})
	}
	// Critical: a client that ignores these would ask the wrong server.
	if server != "" {
		recs = append(recs, Record{Critical: true, Type: RecordServer, Body: []byte(server)})
	}
	if s.cfg.NTPPort != 0 && s.cfg.NTPPort != ntpPort {
		recs = append(recs, Record{Critical: true, Type: RecordPort, Body: put16(uint16(s.cfg.NTPPort))})
	}
	return appendMessage(nil, append(recs, cookies...)...)
}

// refusal returns the answer without cookies for a reason.
func refusal(r Reason) []byte {
	switch r {
	case NoCommonProtocol: // section 4.1.2: an empty list
		return appendMessage(nil, Record{Critical: true, Type: RecordNextProtocol})
	case NoCommonAEAD: // section 4.1.5: an empty list
		return appendMessage(nil,
			Record{Critical: true, Type: RecordNextProtocol, Body: put16(protocolNTPv4)},
			Record{Critical: true, Type: RecordAEAD})
	}
	code := CodeBadRequest
	switch r {
	case UnknownCritical:
		code = CodeUnrecognizedCritical
	case InternalError:
		code = CodeInternal
	}
	return appendMessage(nil, Record{Critical: true, Type: RecordError, Body: put16(code)})
}
