package ntske

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// ClientConfig says whom to ask for keys. Only Host is required.
type ClientConfig struct {
	Host       string         // name or address of the NTS-KE server
	Port       int            // 0 = 4460
	ServerName string         // name in its certificate; empty = Host
	RootCAs    *x509.CertPool // nil = the system's
	AEADs      []aead.ID      // in order of preference; nil = AES-SIV-CMAC-256, AES-128-GCM-SIV, AES-SIV-CMAC-512
	Timeout    time.Duration  // for the whole exchange; 0 = 5 s; ctx may end it earlier

	Time func() time.Time                                                     // for the certificate's validity; nil = time.Now
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil = net.Dialer's
}

// Session is what an exchange gave.
type Session struct {
	Keys    nts.SessionKeys
	Cookies [][]byte
	Server  string // the NTP server: the address or full name (with its last dot) negotiated, else the address that gave the keys
	Port    int    // its UDP port: negotiated, else 123

	// AltKeys are for AES-128-GCM-SIV from a server that did not say how it
	// exports keys (see RecordCompliantGCMSIV): Keys are as chrony before 4.6.1
	// has them, AltKeys as RFC 8915 has them. Try these when those fail. Nil
	// when there is no doubt.
	AltKeys *nts.SessionKeys
}

// Limits on what a client believes.
const (
	maxCookies   = 64
	maxCookieLen = 1024
)

// ErrResponse is wrapped by the errors about what a server answered. Its own
// Error records are a RemoteError.
var ErrResponse = errors.New("unusable nts-ke response")

// Exchange asks a server for keys and cookies.
func Exchange(ctx context.Context, cfg ClientConfig) (*Session, error) {
	s, err := exchange(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("nts-ke with %s: %w", cfg.Host, err)
	}
	return s, nil
}

func exchange(ctx context.Context, cfg ClientConfig) (*Session, error) {
	if cfg.AEADs == nil {
		cfg.AEADs = []aead.ID{aead.AESSIVCMAC256, aead.AES128GCMSIV, aead.AESSIVCMAC512}
	}
	for _, id := range cfg.AEADs {
		if !id.Supported() {
			return nil, fmt.Errorf("%v is not supported", id)
		}
	}
	if cfg.ServerName == "" {
		cfg.ServerName = cfg.Host
	}
	if cfg.Dial == nil {
		cfg.Dial = (&net.Dialer{}).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, orElse(cfg.Timeout, defaultTimeout))
	defer cancel()
	c, err := cfg.Dial(ctx, "tcp", net.JoinHostPort(cfg.Host, strconv.Itoa(orElse(cfg.Port, DefaultPort))))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	s, err := talk(ctx, c, cfg)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return nil, context.Cause(ctx) // says whose deadline, or that it was cancelled
	}
	return s, err
}

// talk does the exchange on an open connection.
func talk(ctx context.Context, c net.Conn, cfg ClientConfig) (*Session, error) {
	t := tls.Client(c, secure(&tls.Config{RootCAs: cfg.RootCAs, ServerName: cfg.ServerName, Time: cfg.Time}))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		return nil, fmt.Errorf("%w: the server does not speak %s", ErrResponse, ALPN)
	}
	if _, err := t.Write(appendRequest(nil, cfg.AEADs)); err != nil {
		return nil, err
	}
	recs, err := ReadMessage(t, maxResponse)
	if err != nil {
		return nil, err
	}
	s, compliant, err := parseResponse(recs, cfg.AEADs)
	if err != nil {
		return nil, err
	}
	t.CloseWrite() // the answer is complete; if this fails nobody is harmed
	id := s.Keys.AEAD
	if s.Keys, err = exportKeys(state.ExportKeyingMaterial, id, contextAEAD(id, compliant)); err != nil {
		return nil, fmt.Errorf("export session keys: %w", err)
	}
	if contextAEAD(id, compliant) != id {
		alt, err := exportKeys(state.ExportKeyingMaterial, id, id)
		if err != nil {
			return nil, fmt.Errorf("export session keys: %w", err)
		}
		s.AltKeys = &alt
	}
	if s.Server == "" {
		s.Server = cfg.Host // a pipe has no address
		if host, _, err := net.SplitHostPort(c.RemoteAddr().String()); err == nil {
			s.Server = host
		}
	}
	return s, nil
}

// appendRequest appends a client's message.
func appendRequest(dst []byte, ids []aead.ID) []byte {
	var list []byte
	for _, id := range ids {
		list = binary.BigEndian.AppendUint16(list, uint16(id))
	}
	recs := []Record{
		{Critical: true, Type: RecordNextProtocol, Body: put16(protocolNTPv4)},
		{Critical: true, Type: RecordAEAD, Body: list},
	}
	if slices.Contains(ids, aead.AES128GCMSIV) {
		recs = append(recs, Record{Type: RecordCompliantGCMSIV})
	}
	return appendMessage(dst, recs...)
}

// parseResponse checks a server's records (RFC 8915 section 4.1). Of Keys only
// AEAD is set.
func parseResponse(recs []Record, offered []aead.ID) (s *Session, compliant bool, err error) {
	bad := func(why string) (*Session, bool, error) {
		return nil, false, fmt.Errorf("%w: %s", ErrResponse, why)
	}
	s = &Session{Port: ntpPort}
	var seen [RecordPort + 1]bool
	for _, r := range recs {
		if int(r.Type) < len(seen) && r.Type != RecordCookie {
			if seen[r.Type] {
				return bad("a record comes twice")
			}
			seen[r.Type] = true
		}
		switch r.Type {
		case RecordNextProtocol:
			p, ok := uint16s(r.Body)
			switch {
			case !ok || !r.Critical || len(p) > 1:
				return bad("malformed protocol record")
			case len(p) == 0:
				return bad("the server has no NTPv4")
			case p[0] != protocolNTPv4:
				return bad("a protocol that was not asked for")
			}
		case RecordError:
			if len(r.Body) != 2 {
				return bad("malformed error record")
			}
			return nil, false, RemoteError(binary.BigEndian.Uint16(r.Body))
		case RecordWarning: // no code is assigned that a client could understand
			return bad("a warning without known meaning")
		case RecordAEAD:
			a, ok := uint16s(r.Body)
			switch {
			case !ok || len(a) > 1:
				return bad("malformed AEAD record")
			case len(a) == 0:
				return bad("no AEAD in common")
			case !slices.Contains(offered, aead.ID(a[0])):
				return bad("an AEAD that was not offered")
			}
			s.Keys.AEAD = aead.ID(a[0])
		case RecordCookie:
			// A cookie travels in an extension field of whole words.
			if n := len(r.Body); n == 0 || n > maxCookieLen || n%4 != 0 {
				return bad("a cookie of impossible length")
			}
			if len(s.Cookies) < maxCookies {
				s.Cookies = append(s.Cookies, r.Body)
			}
		case RecordServer:
			if !ValidServer(string(r.Body)) {
				return bad("a server name that is none")
			}
			s.Server = fqdn(string(r.Body))
		case RecordPort:
			if len(r.Body) != 2 || binary.BigEndian.Uint16(r.Body) == 0 {
				return bad("a port that is none")
			}
			s.Port = int(binary.BigEndian.Uint16(r.Body))
		case RecordCompliantGCMSIV:
			if len(r.Body) != 0 {
				return bad("malformed record 1024")
			}
			compliant = true
		default:
			if r.Critical {
				return bad(fmt.Sprintf("unknown critical record %d", r.Type))
			}
		}
	}
	switch {
	case !seen[RecordNextProtocol]:
		return bad("no protocol record")
	case !seen[RecordAEAD]:
		return bad("no AEAD record")
	case len(s.Cookies) == 0:
		return bad("no cookie")
	}
	return s, compliant, nil
}
