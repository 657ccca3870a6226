package main

import (
	"crypto/cipher"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	siv "github.com/secure-io/siv-go"
)

// session is the result of an NTS-KE handshake.
type session struct {
	aead     uint16
	c2s, s2c []byte
	cookies  [][]byte
}

func record(critical bool, typ uint16, body []byte) []byte {
	if critical {
		typ |= 0x8000
	}
	b := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint16(b, typ)
	binary.BigEndian.PutUint16(b[2:], uint16(len(body)))
	return append(b, body...)
}

// handshake runs one NTS-KE exchange (RFC 8915, section 4).
func handshake(addr string, aead uint16) (*session, error) {
	d := &net.Dialer{Timeout: 5 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", addr, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"ntske/1"},
		InsecureSkipVerify: true, ServerName: "bench.test",
	})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	req := record(true, 1, []byte{0, 0})
	req = append(req, record(false, 4, []byte{byte(aead >> 8), byte(aead)})...)
	if aead == 30 {
		req = append(req, record(false, 1024, nil)...) // requests the exporter context of the RFC
	}
	req = append(req, record(true, 0, nil)...)
	if _, err := c.Write(req); err != nil {
		return nil, err
	}
	s := &session{}
	compliant := aead != 30
	var hdr [4]byte
	for {
		if _, err := io.ReadFull(c, hdr[:]); err != nil {
			return nil, fmt.Errorf("reading record: %w", err)
		}
		typ := binary.BigEndian.Uint16(hdr[:]) & 0x7fff
		body := make([]byte, binary.BigEndian.Uint16(hdr[2:]))
		if _, err := io.ReadFull(c, body); err != nil {
			return nil, err
		}
		switch typ {
		case 0:
			if s.aead != aead {
				return nil, fmt.Errorf("the server chose AEAD %d instead of %d", s.aead, aead)
			}
			exp := aead
			n := 32
			if aead == 30 {
				n = 16
				if !compliant {
					exp = 15
				}
			}
			cs := c.ConnectionState()
			ctx := []byte{0, 0, byte(exp >> 8), byte(exp), 0}
			if s.c2s, err = cs.ExportKeyingMaterial("EXPORTER-network-time-security", ctx, n); err != nil {
				return nil, err
			}
			ctx[4] = 1
			if s.s2c, err = cs.ExportKeyingMaterial("EXPORTER-network-time-security", ctx, n); err != nil {
				return nil, err
			}
			if len(s.cookies) == 0 {
				return nil, fmt.Errorf("no cookies")
			}
			return s, nil
		case 2, 3:
			return nil, fmt.Errorf("NTS-KE error/warning record %d %x", typ, body)
		case 4:
			if len(body) == 2 {
				s.aead = binary.BigEndian.Uint16(body)
			}
		case 5:
			s.cookies = append(s.cookies, body)
		case 1024:
			compliant = true
		}
	}
}

func newAEAD(id uint16, key []byte) (cipher.AEAD, error) {
	if id == 30 {
		return siv.NewGCM(key)
	}
	return newSIV(key)
}
