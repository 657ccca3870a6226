package ntske

import (
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"noonmark/server/nts"
)

// TestConformanceResponse looks at a response octet by octet: which records,
// with which critical bits (RFC 8915, section 4.1), and that close_notify ends
// it (section 4).
func TestConformanceResponse(t *testing.T) {
	a := newAuthority(t)
	req := []Record{
		{false, 0x4000, []byte{1, 2, 3}}, // nobody knows it, and it is not critical
		{true, RecordAEAD, []byte{0, 15, 0, 30}},
		{true, RecordNextProtocol, []byte{0, 1, 0, 0}},
		{false, RecordServer, []byte("another.test")},
		{false, RecordPort, []byte{0, 7}},
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, func(c *Config) { c.NTPServer, c.NTPPort = "ntp.test", 4123 })
		serve(t, s, func(l *pipes) {
			c, err := l.dial(tcp("192.0.2.1"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			tc := tls.Client(c, a.clientTLS())
			if _, err := tc.Write(appendMessage(nil, req...)); err != nil {
				t.Fatal(err)
			}
			recs, err := ReadMessage(tc, maxResponse)
			if err != nil {
				t.Fatal(err)
			}
			// Without close_notify crypto/tls says io.ErrUnexpectedEOF.
			if n, err := tc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("behind the response: %d octets, %v", n, err)
			}
			n := map[uint16]int{}
			for _, r := range recs {
				n[r.Type]++
				ok := false
				switch r.Type {
				case RecordNextProtocol:
					ok = r.Critical && string(r.Body) == "\x00\x00"
				case RecordAEAD:
					ok = string(r.Body) == "\x00\x0f"
				case RecordServer:
					ok = r.Critical && string(r.Body) == "ntp.test"
				case RecordPort:
					ok = r.Critical && string(r.Body) == "\x10\x1b"
				case RecordCookie:
					ok = !r.Critical && len(r.Body) == nts.CookieLen(15)
				}
				if !ok {
					t.Errorf("record %+v", r)
				}
			}
			for typ, want := range map[uint16]int{RecordNextProtocol: 1, RecordAEAD: 1, RecordServer: 1, RecordPort: 1, RecordCookie: 8} {
				if n[typ] != want {
					t.Errorf("%d records of type %d, want %d", n[typ], typ, want)
				}
			}
		})
	})
}
