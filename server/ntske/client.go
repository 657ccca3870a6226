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

// ClientConfig describes a key exchange. Only Host is required.
type ClientConfig struct {
	Host       string         // name or address of the NTS-KE server
	Port       int            // 0 = 4460
	ServerName string         // name in its certificate; empty = Host
	RootCAs    *x509.CertPool // nil = those of the system
	AEADs      []aead.ID      // in order of preference; nil = AES-SIV-CMAC-256, AES-128-GCM-SIV, AES-SIV-CMAC-512
	Timeout    time.Duration  // for the whole exchange; 0 = 5 s

	Time func() time.Time                                                     // for the validity of the certificate; nil = time.Now
	Dial func(ctx context.Context, network, address string) (net.Conn, error) // nil = that of net.Dialer
}

// Session is the result of a key exchange.
type Session struct {
	Keys    nts.SessionKeys
	Cookies [][]byte
	Server  string // NTP server: the negotiated address or full name (with its last dot), else the address of the NTS-KE server
	Port    int    // its UDP port: the negotiated one, else 123

	// AltKeys are for AES-128-GCM-SIV with a server that did not say how it exports
	// keys (see RecordCompliantGCMSIV): Keys are those of chrony before 4.6.1,
	// AltKeys those of RFC 8915. If Keys fail, try AltKeys. Nil if Keys are certain.
	AltKeys *nts.SessionKeys
}

// Limits on a server's message.
const (
	maxCookies   = 64
	maxCookieLen = 1024
)

// ErrResponse is wrapped by errors about an invalid response. An Error record of
// the server is a RemoteError instead.
var ErrResponse = errors.New("unusable nts-ke response")

// Exchange gets keys and cookies from a server.
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
		cfg.ServerName = withoutZone(cfg.Host)
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
	s, err := negotiate(ctx, c, cfg)
	if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
		return nil, context.Cause(ctx) // names the deadline or the cancellation
	}
	return s, err
}

// negotiate does the exchange on an open connection.
func negotiate(ctx context.Context, c net.Conn, cfg ClientConfig) (*Session, error) {
	t := tls.Client(c, secure(&tls.Config{RootCAs: cfg.RootCAs, ServerName: cfg.ServerName, Time: cfg.Time}))
	if err := t.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	state := t.ConnectionState()
	if state.NegotiatedProtocol != ALPN {
		return nil, fmt.Errorf("%w: the server does not support %s", ErrResponse, ALPN)
	}
	if _, err := t.Write(appendRequest(nil, cfg.AEADs)); err != nil {
		return nil, err
	}
	recs, err := ReadMessage(t, maxResponse)
	if err != nil {
		return nil, err
	}
	p, err := parseResponse(recs, cfg.AEADs)
	if err != nil {
		return nil, err
	}
	t.CloseWrite() // the response is complete: a failure has no consequence
	s, id := &p.Session, p.Session.Keys.AEAD
	if s.Keys, err = exportKeys(state.ExportKeyingMaterial, id, contextAEAD(id, p.compliant)); err != nil {
		return nil, fmt.Errorf("export session keys: %w", err)
	}
	if contextAEAD(id, p.compliant) != id {
		alt, err := exportKeys(state.ExportKeyingMaterial, id, id)
		if err != nil {
			return nil, fmt.Errorf("export session keys: %w", err)
		}
		s.AltKeys = &alt
	}
	if s.Server == "" {
		s.Server = cfg.Host // a pipe in a test has no address
		if host, _, err := net.SplitHostPort(c.RemoteAddr().String()); err == nil {
			s.Server = host
		}
	}
	return s, nil
}

// appendRequest appends the client's message.
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
