package ntske

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
)

func TestInvalidServerConfigIsRefused(t *testing.T) {
	a := newAuthority(t)
	good := Config{TLS: a.serverTLS(t), Ring: newRing(t)}
	for name, edit := range map[string]func(*Config){
		"no ring":             func(c *Config) { c.Ring = nil },
		"no TLS":              func(c *Config) { c.TLS = nil },
		"no certificate":      func(c *Config) { c.TLS = &tls.Config{} },
		"invalid server name": func(c *Config) { c.NTPServer = "a b" },
		"port too high":       func(c *Config) { c.NTPPort = 65536 },
		"negative port":       func(c *Config) { c.NTPPort = -1 },
		"nine cookies":        func(c *Config) { c.Cookies = 9 },
		"negative timeout":    func(c *Config) { c.Timeout = -1 },
		"negative rate":       func(c *Config) { c.RatePerIP = -1 },
		"unsupported AEAD":    func(c *Config) { c.AEADs = []aead.ID{15, 16} },
		"negative MaxConns":   func(c *Config) { c.MaxConns = -1 },
	} {
		c := good
		edit(&c)
		if _, err := NewServer(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := NewServer(good); err != nil {
		t.Error(err)
	}
}

// serve runs s on pipes for f and then stops it: no goroutine may be left in a
// synctest bubble.
func serve(t *testing.T, s *Server, f func(l *pipes)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := newPipes()
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	f(l)
	l.hangUp()
	synctest.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("serve: %v", err)
	}
	if n := s.Counters().Open(); n != 0 {
		t.Errorf("%d connections left open", n)
	}
}

// ask sends octets in pieces over TLS and returns the records of the answer.
func ask(t *testing.T, l *pipes, cfg *tls.Config, pieces ...[]byte) ([]Record, *tls.Conn, error) {
	t.Helper()
	c, err := l.dial(tcp("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tc := tls.Client(c, cfg)
	if err := tc.Handshake(); err != nil {
		return nil, tc, err
	}
	for _, p := range pieces {
		if _, err := tc.Write(p); err != nil {
			return nil, tc, err
		}
	}
	recs, err := ReadMessage(tc, maxResponse)
	return recs, tc, err
}

func TestExchangeForEachAEAD(t *testing.T) {
	a := newAuthority(t)
	for _, id := range []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512, aead.AES128GCMSIV} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, a, func(c *Config) { c.NTPServer, c.NTPPort = "ntp.test", 4123 })
			serve(t, s, func(l *pipes) {
				got, err := Exchange(t.Context(), ClientConfig{
					Host: "time.test", RootCAs: a.pool, AEADs: []aead.ID{id},
					Dial: func(_ context.Context, network, address string) (net.Conn, error) {
						if network != "tcp" || address != "time.test:4460" {
							t.Errorf("dials %s %s", network, address)
						}
						return l.dial(tcp("192.0.2.1"))
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				if got.Server != "ntp.test." || got.Port != 4123 || got.Keys.AEAD != id || got.AltKeys != nil || len(got.Cookies) != 8 {
					t.Errorf("%+v", got)
				}
				checkCookies(t, s, got)
			})
			if n := s.Counters().Get(Served); n != 1 {
				t.Errorf("counted %v", s.Counters().Snapshot())
			}
		})
	}
}

// checkCookies opens the cookies with the server's ring: they contain the client's
// keys.
func checkCookies(t *testing.T, s *Server, got *Session) {
	t.Helper()
	if got.Keys.C2S == got.Keys.S2C || got.Keys.C2S == [64]byte{} {
		t.Error("the keys are equal or zero")
	}
	var scratch nts.Scratch
	for i, c := range got.Cookies {
		var keys nts.SessionKeys
		if err := s.cfg.Ring.Load().OpenCookie(c, &keys, &scratch); err != nil {
			t.Errorf("cookie %d: %v", i, err)
		} else if keys != got.Keys {
			t.Errorf("cookie %d contains other keys", i)
		}
		if len(c) != nts.CookieLen(got.Keys.AEAD) {
			t.Errorf("cookie %d has %d octets", i, len(c))
		}
		for j := range i {
			if bytes.Equal(c, got.Cookies[j]) {
				t.Errorf("cookies %d and %d are the same", i, j)
			}
		}
	}
}

// chrony's record 1024: keys are exported with AEAD 30 in the context if the client
// sends it, else with 15.
func TestExporterContextOfAES128GCMSIV(t *testing.T) {
	a := newAuthority(t)
	for _, compliant := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, a, nil)
			serve(t, s, func(l *pipes) {
				req := []Record{{true, RecordNextProtocol, []byte{0, 0}}, {true, RecordAEAD, []byte{0, 30, 0, 15}}}
				if compliant {
					req = append(req, Record{Type: RecordCompliantGCMSIV})
				}
				recs, tc, err := ask(t, l, a.clientTLS(), appendMessage(nil, req...))
				if err != nil {
					t.Fatal(err)
				}
				p, err := parseResponse(recs, []aead.ID{30})
				if err != nil || p.compliant != compliant {
					t.Fatalf("%+v, want record 1024: %v; %v", p, compliant, err)
				}
				got := &p.Session
				cs := tc.ConnectionState()
				context := []byte{0, 0, 0, 15, 0}
				if compliant {
					context[3] = 30
				}
				for i, dst := range [][]byte{got.Keys.C2S[:], got.Keys.S2C[:]} {
					context[4] = byte(i)
					k, err := cs.ExportKeyingMaterial("EXPORTER-network-time-security", context, 16)
					if err != nil {
						t.Fatal(err)
					}
					copy(dst, k)
				}
				checkCookies(t, s, got)
			})
		})
	}
}

// A server that does not echo record 1024 may export either keys: the client keeps
// both.
func TestClientKeepsBothKeysWithOldChrony(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		c, sc := net.Pipe()
		var want [2][]byte
		done := make(chan error)
		go func() {
			tc := tls.Server(sc, secure(a.serverTLS(t)))
			defer tc.Close()
			if _, err := ReadMessage(tc, maxOctets); err != nil {
				done <- err
				return
			}
			cs := tc.ConnectionState()
			for i, named := range []byte{15, 30} {
				want[i], _ = cs.ExportKeyingMaterial(exporterLabel, []byte{0, 0, 0, named, 1}, 16)
			}
			_, err := tc.Write(appendMessage(nil, Record{true, RecordNextProtocol, []byte{0, 0}},
				Record{true, RecordAEAD, []byte{0, 30}}, Record{false, RecordCookie, make([]byte, 68)}))
			io.Copy(io.Discard, tc)
			done <- err
		}()
		got, err := Exchange(t.Context(), ClientConfig{Host: "time.test", RootCAs: a.pool,
			Dial: func(context.Context, string, string) (net.Conn, error) { return c, nil }})
		if err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got.AltKeys == nil || !bytes.Equal(got.Keys.S2C[:16], want[0]) || !bytes.Equal(got.AltKeys.S2C[:16], want[1]) {
			t.Error("one of the two pairs of keys is missing or wrong")
		}
		if got.Server != "time.test" || got.Port != 123 {
			t.Errorf("server %s port %d", got.Server, got.Port)
		}
	})
}

func TestEachRefusedRequestHasItsAnswer(t *testing.T) {
	a := newAuthority(t)
	np := Record{true, RecordNextProtocol, []byte{0, 0}}
	errRec := func(code byte) []Record { return []Record{{true, RecordError, []byte{0, code}}} }
	for _, c := range []struct {
		name string
		req  []byte
		want Reason
		recs []Record
	}{
		{"empty", end.Append(nil), BadRequest, errRec(1)},
		{"no AEAD", appendMessage(nil, np), BadRequest, errRec(1)},
		{"protocol twice", appendMessage(nil, np, np), BadRequest, errRec(1)},
		{"bad end", Record{Type: RecordEnd}.Append(nil), BadRequest, errRec(1)},
		{"unknown critical", appendMessage(nil, Record{true, 1000, nil}), UnknownCritical, errRec(0)},
		{"too long", Record{false, 1000, make([]byte, maxOctets)}.Append(nil), MessageTooLong, errRec(1)},
		{"33 records", appendMessage(nil, slices.Repeat([]Record{{false, 1000, nil}}, 33)...), MessageTooLong, errRec(1)},
		{"32 records, none of them needed", appendMessage(nil, slices.Repeat([]Record{{false, 1000, nil}}, 32)...), BadRequest, errRec(1)},
		{"other protocol", appendMessage(nil, Record{true, RecordNextProtocol, []byte{0, 9}}), NoCommonProtocol,
			[]Record{{true, RecordNextProtocol, nil}}},
		{"other AEAD", appendMessage(nil, np, Record{true, RecordAEAD, []byte{0, 1, 0, 16}}), NoCommonAEAD,
			[]Record{np, {true, RecordAEAD, nil}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, a, nil)
				serve(t, s, func(l *pipes) {
					recs, _, err := ask(t, l, a.clientTLS(), c.req[:min(len(c.req), 8)], c.req[min(len(c.req), 8):])
					if err != nil || fmt.Sprint(recs) != fmt.Sprint(c.recs) {
						t.Errorf("%v, %v, want %v", recs, err, c.recs)
					}
				})
				if n := s.Counters().Get(c.want); n != 1 {
					t.Errorf("counted %v", s.Counters().Snapshot())
				}
			})
		})
	}
}

func TestFailedExportIsAnInternalError(t *testing.T) {
	s := newServer(t, newAuthority(t), nil)
	recs := []Record{{true, RecordNextProtocol, []byte{0, 0}}, {true, RecordAEAD, []byte{0, 15}}}
	boom := errors.New("boom")
	answer, r, err := s.answer(recs, Served, func(string, []byte, int) ([]byte, error) { return nil, boom }, func(string) bool { return false }, new(nts.Scratch))
	want := appendMessage(nil, Record{true, RecordError, []byte{0, 2}})
	if r != InternalError || !errors.Is(err, boom) || !bytes.Equal(answer, want) {
		t.Errorf("%x, %v, %v", answer, r, err)
	}
}

// A request is split at every octet, and sent octet by octet, each piece in its own
// TLS record.
func TestRequestInPieces(t *testing.T) {
	a := newAuthority(t)
	req := appendRequest(nil, []aead.ID{15, 30})
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, a, nil)
		serve(t, s, func(l *pipes) {
			for cut := range len(req) {
				pieces := [][]byte{req[:cut], req[cut:]}
				if cut == 0 {
					pieces = nil
					for i := range req {
						pieces = append(pieces, req[i:i+1])
					}
				}
				recs, _, err := ask(t, l, a.clientTLS(), pieces...)
				if err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
				if _, err := parseResponse(recs, []aead.ID{15, 30}); err != nil {
					t.Fatalf("cut at %d: %v", cut, err)
				}
			}
		})
	})
}

func TestOnlyTLS13WithALPNIsServed(t *testing.T) {
	a := newAuthority(t)
	for _, c := range []struct {
		name string
		edit func(*tls.Config)
		want Reason
	}{
		{"TLS 1.2", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, HandshakeFailed},
		{"no ALPN", func(c *tls.Config) { c.NextProtos = nil }, NoALPN},
		{"another ALPN", func(c *tls.Config) { c.NextProtos = []string{"h2", "ntske/2"} }, HandshakeFailed},
		{"several ALPN", func(c *tls.Config) { c.NextProtos = []string{"h2", ALPN} }, Served},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, a, nil)
				serve(t, s, func(l *pipes) {
					cfg := a.clientTLS()
					c.edit(cfg)
					_, _, err := ask(t, l, cfg, appendRequest(nil, []aead.ID{15}))
					if (err == nil) != (c.want == Served) {
						t.Errorf("client sees %v", err)
					}
				})
				if n := s.Counters().Get(c.want); n != 1 {
					t.Errorf("counted %v", s.Counters().Snapshot())
				}
			})
		})
	}
	t.Run("TLS 1.2 in GetConfigForClient", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, a, func(c *Config) {
				lax := a.serverTLS(t)
				lax.MinVersion, lax.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
				c.TLS = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return lax, nil }}
			})
			serve(t, s, func(l *pipes) {
				cfg := a.clientTLS()
				cfg.MaxVersion = tls.VersionTLS12
				if _, _, err := ask(t, l, cfg, appendRequest(nil, []aead.ID{15})); err == nil {
					t.Error("TLS 1.2 is served")
				}
				if _, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil {
					t.Error(err)
				}
			})
		})
	})
	t.Run("garbage", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, a, nil)
			serve(t, s, func(l *pipes) {
				c, err := l.dial(tcp("192.0.2.1"))
				if err != nil {
					t.Fatal(err)
				}
				go io.Copy(io.Discard, c)
				c.Write(bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), 100))
				c.Close()
			})
			if n := s.Counters().Get(HandshakeFailed); n != 1 {
				t.Errorf("counted %v", s.Counters().Snapshot())
			}
		})
	})
}

func TestDoneGetsEachExchange(t *testing.T) {
	a := newAuthority(t)
	synctest.Test(t, func(t *testing.T) {
		var done []string
		s := newServer(t, a, func(c *Config) {
			c.Done = func(remote netip.AddrPort, r Reason, err error) { done = append(done, remote.String()+" "+r.String()) }
		})
		serve(t, s, func(l *pipes) {
			if _, _, err := ask(t, l, a.clientTLS(), appendRequest(nil, []aead.ID{15})); err != nil {
				t.Error(err)
			}
		})
		if got := strings.Join(done, ","); got != "192.0.2.1:1234 served" {
			t.Errorf("Done got %q", got)
		}
	})
}
