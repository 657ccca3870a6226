package witnesses

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/refclock/integrity"
	"noonmark/refclock/reason"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
	"noonmark/refclock/witness"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
	"noonmark/server/transport/sockets"
)

// witnessName is a name of the servers here.
const witnessName = "ntp.noonmark.test"

// ownServer is our own server on the loopback, with or without NTS. It serves the
// system clock plus an offset.
type ownServer struct {
	port      int    // of NTP
	ke        int    // of NTS-KE; 0: none
	ca        []byte // its authority, PEM
	sys       *phc.SystemClock
	published *status.Writer
	client    *ntsclient.Client
	close     func()
}

func newOwnServer(t *testing.T, secure bool, ahead time.Duration) *ownServer {
	t.Helper()
	return newOwnServerAt(t, "127.0.0.1:0", secure, ahead)
}

func newOwnServerAt(t *testing.T, at string, secure bool, ahead time.Duration) *ownServer {
	t.Helper()
	s := &ownServer{}
	var err error
	if s.sys, err = phc.OpenSystem(func(int64) int { return 37 }); err != nil {
		t.Skip("needs the system clock: ", err)
	}
	path := filepath.Join(t.TempDir(), "status")
	if s.published, err = status.Create(path); err != nil {
		t.Fatal(err)
	}
	s.publish(t, ahead)
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	srv, err := server.New(server.Config{Snapshot: path, Ring: ring, Endpoints: []server.Endpoint{
		{Socket: sockets.Config{Addr: netip.MustParseAddrPort(at), Sockets: 1}, Policy: policyOf(secure)}}})
	if err != nil {
		t.Skip("needs a socket on the loopback: ", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- srv.Run(ctx) }()
	<-srv.Ready()
	s.port = int(srv.Addrs()[0].Port())
	cfg := ntsclient.Config{Host: "127.0.0.1", Port: s.port, Plain: !secure, Timeout: 10 * time.Second}
	if secure {
		s.ke, s.ca = keyServer(t, ctx, ring, s.port, done)
		cfg.Port, cfg.RootCAs = s.ke, x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(s.ca)
	} else {
		done <- nil
	}
	if s.client, err = ntsclient.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.close = sync.OnceFunc(func() {
		s.client.Close()
		cancel()
		<-done
		<-done
		s.published.Close()
	})
	t.Cleanup(s.close)
	return s
}

// policyOf refuses the other kind of request, so that a test cannot confuse the
// two.
func policyOf(secure bool) server.Policy {
	if secure {
		return server.NoPlain
	}
	return server.NoNTS
}

// keyServer serves keys under a certificate of an authority of its own.
func keyServer(t *testing.T, ctx context.Context, ring *nts.Ring, ntp int, done chan<- error) (port int, ca []byte) {
	t.Helper()
	authority, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := authority.Issue([]string{"127.0.0.1", witnessName}, time.Hour, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := leaf.Save(dir); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, certs.ServerCert), filepath.Join(dir, certs.ServerKey))
	if err != nil {
		t.Fatal(err)
	}
	ke, err := ntske.NewServer(ntske.Config{TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Ring: ring, NTPPort: ntp})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Skip("needs a socket on the loopback: ", err)
	}
	go func() { done <- ke.Serve(ctx, l) }()
	return l.Addr().(*net.TCPAddr).Port, authority.CertPEM()
}

// publish makes the server serve the system clock plus d.
func (s *ownServer) publish(t *testing.T, d time.Duration) {
	t.Helper()
	x, err := s.sys.Cross()
	if err != nil {
		t.Fatal(err)
	}
	s.published.Write(&status.Snapshot{State: status.Locked, Kind: status.PHCClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, Mono: x.Mono, Clock: x.Clock.Add(d),
		RefTime: x.Clock.Add(d - time.Second), TAIOffset: 37, Bound: 200, BoundRate: 10, Limit: time.Second})
}

// ask asks the server, and carries its answer over into virtual time: there it
// differs from the truth as it differs here from the system clock.
func (s *ownServer) ask(ctx context.Context, l *sim.Loop) (integrity.Answer, error) {
	got, err := ask(ctx, s.client, s.sys.Cross)
	if err != nil {
		return got, err
	}
	x, err := s.sys.Cross()
	if err != nil {
		return got, err
	}
	off := got.UTC - (x.Real - (x.Mono - got.Mono))
	got.Mono = l.Mono()
	got.UTC = int64(l.App.Clock.True(got.Mono)) - 37e9 + off
	return got, nil
}

// There is no lock on a receiver that is constantly one second late while a
// required witness disagrees, and a witness that disagrees after the lock ends it:
// with our own server and client, with NTS and without, over real sockets. The
// engine's time is virtual.
func TestWitnessesOfOurOwn(t *testing.T) {
	for _, secure := range []bool{false, true} {
		name := map[bool]string{false: "plain", true: "NTS"}[secure]
		t.Run(name, func(t *testing.T) {
			right, fast, slow := newOwnServer(t, secure, 0), newOwnServer(t, secure, time.Second), newOwnServer(t, secure, -time.Second)
			own := right // is asked
			var log bytes.Buffer
			run := func(required bool, faults ...sim.Fault) (*sim.Loop, func(time.Duration)) {
				sc, err := sim.Find("timehat-f9t")
				if err != nil {
					t.Fatal(err)
				}
				log.Reset()
				sc.Engine.Log = slog.New(slog.NewTextHandler(&log, nil))
				sc.Config.Receiver.Faults = faults
				if required {
					sc.Engine.Integrity.Outside.Code = reason.WitnessAwaited
				}
				l, err := sc.Loop(1)
				if err != nil {
					t.Fatal(err)
				}
				w := witness.New(witness.Config{Engine: l.Engine, Mono: l.Mono, Slept: func() time.Duration { return 0 }, Log: sc.Engine.Log}, []witness.Server{{
					WitnessConfig: integrity.WitnessConfig{Name: name, MaxOffset: 100 * time.Millisecond, Required: required},
					Ask:           func(ctx context.Context) (integrity.Answer, error) { return own.ask(ctx, l) },
				}})
				return l, func(until time.Duration) {
					for l.Since() < until {
						l.Run(l.Since() + time.Second)
						w.Tick(t.Context())
					}
					if v := w.Status()[0]; v.Silent != 0 || v.Asked == 0 {
						t.Errorf("asked %d times, %d without an answer\n%s", v.Asked, v.Silent, &log)
					}
				}
			}
			want := func(l *sim.Loop, state status.State, reason string) {
				t.Helper()
				if s := &l.Snap; s.State != state || s.Reason != reason || s.Usable(l.Mono()) != (state != status.Unlocked) {
					t.Errorf("at %v: %v (%s), want %v (%s)\n%s", l.Since(), s.State, s.Reason, state, reason, &log)
				}
			}
			disagrees := "doubted: " + reason.WitnessDisagrees.String() + " " + name

			l, until := run(true, sim.Fault{Kind: sim.LateSecond})
			until(time.Minute)
			want(l, status.Unlocked, disagrees)
			if l.Snap.RefTime != 0 || l.Engine.Report().Counts[reason.WitnessDisagrees] == 0 || !strings.Contains(log.String(), "witness disagrees") {
				t.Errorf("reference time %v, no alarm:\n%s", l.Snap.RefTime, &log)
			}

			l, until = run(true)
			own = fast
			until(30 * time.Second)
			want(l, status.Unlocked, disagrees)
			own = right
			until(5 * time.Minute)
			want(l, status.Locked, "disciplined")
			own = fast
			until(7 * time.Minute)
			want(l, status.Holdover, disagrees)
			own = right
			until(10 * time.Minute)
			want(l, status.Locked, "disciplined")

			l, until = run(false)
			own = slow
			until(2 * time.Minute)
			want(l, status.Locked, "disciplined") // alarm only
			if l.Engine.Report().Counts[reason.WitnessDisagrees] == 0 || !strings.Contains(log.String(), "witness disagrees") {
				t.Errorf("no alarm:\n%s", &log)
			}
		})
	}
}

// The answer of a server of which the offset is known.
func TestAnswerIsExpressedOnTheMonotonicClock(t *testing.T) {
	t.Parallel()
	const ahead = 3 * time.Second
	own := newOwnServer(t, false, ahead)
	got, err := ask(t.Context(), own.client, own.sys.Cross)
	if err != nil {
		t.Fatal(err)
	}
	x, err := own.sys.Cross()
	if err != nil {
		t.Fatal(err)
	}
	offset := time.Duration(got.UTC - (x.Real - (x.Mono - got.Mono)))
	if (offset-ahead).Abs() > got.Error+time.Millisecond || got.Error > time.Second {
		t.Errorf("the server is %v ahead by its answer, %v in truth, with an error of %v", offset, ahead, got.Error)
	}
}

func TestAnswerIsRefusedIfTheSystemClockWasSteppedMeanwhile(t *testing.T) {
	t.Parallel()
	own := newOwnServer(t, false, 0)
	readings := 0
	stepped := func() (phc.Cross, error) {
		x, err := own.sys.Cross()
		x.Real += int64(readings) * 1e9
		readings++
		return x, err
	}
	if _, err := ask(t.Context(), own.client, stepped); !errors.Is(err, errStepped) {
		t.Errorf("got %v", err)
	}
}
