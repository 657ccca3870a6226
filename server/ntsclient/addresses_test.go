package ntsclient

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// elsewhere is a fake whose name has several addresses; only the last is the server.
type elsewhere struct {
	*fake
	dialled []string
	lookups int
}

// gone is a connection to an address where nobody is: silent, or refused by err.
type gone struct {
	*fake
	err error
}

func (g gone) Send([]byte) (Stamp, error) { return Stamp{Real: g.now.UnixNano()}, nil }
func (g gone) Receive(_ []byte, deadline time.Time) (int, Stamp, error) {
	if g.err != nil {
		return 0, Stamp{}, g.err
	}
	g.now = deadline
	return 0, Stamp{}, os.ErrDeadlineExceeded
}

func (e *elsewhere) config(refused error) Config {
	cfg := e.fake.config(Config{})
	cfg.Lookup = func(context.Context, string, string) ([]netip.Addr, error) {
		e.lookups++
		return []netip.Addr{netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.1")}, nil
	}
	cfg.Dial = func(_ context.Context, _, address string) (Conn, error) {
		e.dialled = append(e.dialled, address)
		switch address {
		case "[2001:db8::1]:123":
			return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
		case "192.0.2.7:123":
			return gone{e.fake, refused}, nil
		}
		return e.fake, nil
	}
	if e.aead != 0 {
		cfg.Exchange = func(ctx context.Context) (*ntske.Session, error) {
			s, err := e.exchange(ctx)
			s.Server = "ntp.test" // the server that NTS-KE names
			return s, err
		}
	}
	return cfg
}

// A name whose first address is unreachable and whose second is silent or refuses.
func TestNextAddressAfterALoss(t *testing.T) {
	t.Parallel()
	for _, id := range []aead.ID{0, aead.AESSIVCMAC256} {
		for _, c := range []struct {
			name    string
			refused error
			lost    int
		}{
			{"silent", nil, 1},
			{"refused", &net.OpError{Op: "read", Err: syscall.ECONNREFUSED}, 0},
		} {
			e := &elsewhere{fake: newFake(t, id)}
			s, err := TakeSample(ctx, e.config(c.refused), 3, 0)
			if err != nil {
				t.Fatal(err)
			}
			if s.Err != nil || s.Readings != 3 || s.Lost != c.lost {
				t.Errorf("AEAD %d, %s: %d readings, %d lost, %v", id, c.name, s.Readings, s.Lost, s.Err)
			}
			if want := []string{"[2001:db8::1]:123", "192.0.2.7:123", "192.0.2.1:123"}; !slices.Equal(e.dialled, want) || e.lookups != 1 {
				t.Errorf("AEAD %d, %s: dialled %v after %d lookups", id, c.name, e.dialled, e.lookups)
			}
		}
	}
}

// When all addresses have failed, the name is resolved again.
func TestNameIsResolvedAgain(t *testing.T) {
	t.Parallel()
	e := &elsewhere{fake: newFake(t, 0)}
	cfg := e.config(nil)
	dial := cfg.Dial
	down := true
	cfg.Dial = func(ctx context.Context, network, address string) (Conn, error) {
		if down && address == "192.0.2.1:123" {
			return gone{e.fake, nil}, nil
		}
		return dial(ctx, network, address)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if down = i < 2; e.lookups != min(1, i)+i/3 {
			t.Errorf("query %d: %d lookups", i, e.lookups)
		}
		if _, err := c.Query(ctx); (err == nil) != (i == 3) {
			t.Errorf("query %d: %v", i, err)
		}
	}
}

func TestAddressWithZoneIsNotLookedUp(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"fe80::1%eth0", "192.0.2.1"} {
		var a addresses
		want := net.JoinHostPort(host, "123")
		err := a.resolve(ctx, want, "udp", func(context.Context, string, string) ([]netip.Addr, error) { return nil, errors.New("looked up") })
		if err != nil || !slices.Equal(a.list, []string{want}) {
			t.Errorf("%s: %v, %v", host, a.list, err)
		}
	}
}

// Without a network, nobody was asked: the next query tries again at once.
func TestNetworkThatWasDownAtTheFirstTry(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want error
	}{
		{"a server that refuses", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, ErrHoldOff},
		{"a name that does not exist", &net.DNSError{IsNotFound: true}, ErrHoldOff},
		{"no route", &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, nil},
		{"no resolver", &net.DNSError{IsTemporary: true}, nil},
	} {
		f := newFake(t, aead.AESSIVCMAC256)
		f.failKE = c.err
		cl := f.client(Config{})
		if _, err := cl.Query(ctx); !errors.Is(err, ErrKeyExchange) {
			t.Errorf("%s: %v", c.name, err)
		}
		f.failKE = nil
		if _, err := cl.Query(ctx); !errors.Is(err, c.want) {
			t.Errorf("%s: the second query: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestAnswersOfVersion3AreAccepted(t *testing.T) {
	t.Parallel()
	f := newFake(t, 0)
	f.h.Version = 3
	if r, err := f.client(Config{}).Query(ctx); err != nil || r.Version != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}
