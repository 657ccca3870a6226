package ntske

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

// Which records, with which critical bits (RFC 8915, section 4.1), and that
// close_notify ends the response (section 4).
func TestResponseOctets(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	req := []Record{
		{false, 0x4000, []byte{1, 2, 3}}, // unknown and not critical
		{true, RecordAEAD, []byte{0, 15, 0, 30}},
		{true, RecordNextProtocol, []byte{0, 1, 0, 0}},
		{false, RecordServer, []byte("another.test")}, // the server may ignore it
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
			// Without close_notify, crypto/tls returns io.ErrUnexpectedEOF.
			if n, err := tc.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Errorf("after the response: %d octets, %v", n, err)
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

// A client that requests this host as its NTP server gets its record back (RFC
// 8915, section 4.1.7); others get none.
func TestRequestedServerIsConfirmedIfItIsThisHost(t *testing.T) {
	t.Parallel()
	s := newServer(t, newAuthority(t), nil)
	export := func(string, []byte, int) ([]byte, error) { return make([]byte, 32), nil }
	here := func(name string) bool { return sameHost("time.test", name) || sameHost("192.0.2.7", name) }
	for requested, want := range map[string]string{
		"": "", "other.test": "", "192.0.2.8": "", "2001:db8::7": "",
		"time.test": "time.test", "Time.Test.": "Time.Test.", "192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "::ffff:192.0.2.7",
	} {
		req := []Record{{true, RecordNextProtocol, []byte{0, 0}}, {true, RecordAEAD, []byte{0, 15}}}
		if requested != "" {
			req = append(req, Record{false, RecordServer, []byte(requested)})
		}
		b, r, err := s.answer(req, Served, export, here, new(nts.Scratch))
		if r != Served || err != nil {
			t.Fatalf("%q: %v, %v", requested, r, err)
		}
		recs, err := ReadMessage(bytes.NewReader(b), maxResponse)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, rec := range recs {
			if rec.Type == RecordServer {
				got += string(rec.Body)
			}
		}
		if got != want {
			t.Errorf("%q: the answer names %q, want %q", requested, got, want)
		}
	}
}

// A server accepts requests of 1024 octets, a client responses of 65536 (RFC 8915,
// section 4).
func TestLongMessagesAreAccepted(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	pad := func(n int) Record { return Record{Type: 0x4000, Body: make([]byte, n)} }
	np, ae := Record{true, RecordNextProtocol, []byte{0, 0}}, Record{true, RecordAEAD, []byte{0, 15}}
	req := appendMessage(nil, np, ae, pad(1024-len(appendMessage(nil, np, ae, pad(0)))))
	if len(req) != 1024 {
		t.Fatal(len(req))
	}
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			if recs, _, err := ask(t, l, a.clientTLS(), req); err != nil || len(recs) < 10 {
				t.Errorf("a request of 1024 octets: %v, %v", recs, err)
			}
		})
	})
	cookie := Record{Type: RecordCookie, Body: make([]byte, 100)}
	answer := appendMessage(nil, np, ae, cookie, pad(65536-len(appendMessage(nil, np, ae, cookie, pad(0)))))
	recs, err := ReadMessage(bytes.NewReader(answer), maxResponse)
	if err != nil {
		t.Fatalf("an answer of %d octets: %v", len(answer), err)
	}
	if _, err := parseResponse(recs, []aead.ID{15}); err != nil {
		t.Error(err)
	}
}

// RFC 8915, section 4.1.7; addresses stay as they are.
func TestServerNameIsFullyQualified(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "bad", ".": "bad", "a b": "bad", "fe80::1%lo": "bad", "1.2.3": "bad", "-a": "bad", "a-.b": "bad", "ntp.test": "ntp.test.",
		"ntp.test.": "ntp.test.", "xn--bcher-kva.example": "xn--bcher-kva.example.", "192.0.2.1": "192.0.2.1", "2001:db8::1": "2001:db8::1"} {
		got := "bad"
		recs := []Record{{true, RecordNextProtocol, []byte{0, 0}}, {true, RecordAEAD, []byte{0, 15}}, {false, RecordCookie, make([]byte, 100)}, {true, RecordServer, []byte(in)}}
		if s, err := parseResponse(recs, []aead.ID{15}); err == nil {
			got = s.Server
		}
		if got != want {
			t.Errorf("%q is read as %q, want %q", in, got, want)
		}
	}
}

// Whatever the client offers (RFC 8915, section 3, BCP 195).
func TestNoResumptionAndNoEarlyData(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			cfg := a.clientTLS()
			cfg.ClientSessionCache = tls.NewLRUClientSessionCache(8)
			for i := range 3 {
				recs, tc, err := ask(t, l, cfg, appendRequest(nil, []aead.ID{15}))
				if err != nil || len(recs) < 10 {
					t.Fatalf("%v, %v", recs, err)
				}
				if st := tc.ConnectionState(); st.DidResume || st.Version != tls.VersionTLS13 || st.NegotiatedProtocol != ALPN {
					t.Errorf("connection %d: resumed %v, version %x, protocol %q", i, st.DidResume, st.Version, st.NegotiatedProtocol)
				}
			}
		})
	})
}
