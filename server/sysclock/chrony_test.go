package sysclock

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/facebook/time/ntp/chrony"

	"noonmark/refclock/status"
)

// fakeChronyd speaks chrony's command protocol, version 6, over a socket: it
// answers every datagram with what reply returns for it.
func fakeChronyd(t *testing.T, network, addr string, reply func(req []byte) []byte) net.Addr {
	t.Helper()
	c, err := net.ListenPacket(network, addr)
	if err != nil {
		t.Skipf("no socket: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		b := [2048]byte{}
		for {
			n, from, err := c.ReadFrom(b[:])
			if err != nil {
				return
			}
			if r := reply(b[:n]); r != nil {
				c.WriteTo(r, from)
			}
		}
	}()
	return c.LocalAddr()
}

// float encodes a number as chrony does: 7 bits of exponent, 25 of coefficient.
func float(x float64) uint32 {
	if x == 0 {
		return 0
	}
	exp := 0
	for math.Abs(x)*math.Ldexp(1, -exp) >= 1 {
		exp++
	}
	for math.Abs(x)*math.Ldexp(1, -exp) < 0.5 {
		exp--
	}
	coef := int32(math.Round(math.Ldexp(x, 24-exp)))
	return uint32(exp+1)<<25 | uint32(coef)&(1<<25-1)
}

// tracking returns the answer of chronyd 4 to a request for tracking.
func tracking(req []byte, leap, stratum uint16, correction, skew, delay, disp float64) []byte {
	be := binary.BigEndian
	b := make([]byte, 28+76)
	b[0], b[1] = 6, 2                               // version, a reply
	copy(b[4:6], req[4:6])                          // command
	be.PutUint16(b[6:], uint16(chrony.RpyTracking)) // reply
	copy(b[16:20], req[8:12])                       // sequence
	p := b[28:]                                     //
	be.PutUint32(p, 0xc0000201)                     // reference
	copy(p[4:8], []byte{192, 0, 2, 1})              // address, 16 octets and family
	be.PutUint16(p[20:], 1)                         //
	be.PutUint16(p[24:], stratum)                   //
	be.PutUint16(p[26:], leap)                      //
	now := time.Now()                               //
	be.PutUint32(p[28:], uint32(now.Unix()>>32))    // reference time
	be.PutUint32(p[32:], uint32(now.Unix()))        //
	be.PutUint32(p[36:], uint32(now.Nanosecond()))  //
	for i, x := range [...]float64{correction, 0, 0, -12.5, 0.25, skew, delay, disp, 64} {
		be.PutUint32(p[40+4*i:], float(x))
	}
	return b
}

func TestFloatEncoding(t *testing.T) {
	t.Parallel()
	for _, x := range []float64{0, 1, -1, 0.5, 0.003, -0.0005, 12.5, 1e-9, 64, 3.25e5} {
		b := tracking(make([]byte, 12), 0, 1, x, 0, 0, 0)
		if got := decode(b[28+40:]); math.Abs(got-x) > math.Abs(x)/(1<<23) {
			t.Errorf("%v is %v", x, got)
		}
	}
}

// decode is the inverse of float, from the description in candm.h.
func decode(b []byte) float64 {
	u := binary.BigEndian.Uint32(b)
	exp, coef := int32(u)>>25, int32(u<<7)>>7
	return math.Ldexp(float64(coef), int(exp)-25)
}

func TestInvalidTrackingIsRefused(t *testing.T) {
	t.Parallel()
	fine := func(req []byte) []byte { return tracking(req, 0, 2, -0.004, 0.5, 0.02, 0.003) }
	for _, c := range []struct {
		name  string
		reply func(req []byte) []byte
		want  Reason
	}{
		{"truncated", func(req []byte) []byte { return fine(req)[:50] }, BadAnswer},
		{"answer to another request", func(req []byte) []byte { b := fine(req); b[19] ^= 1; return b }, BadAnswer},
		{"answer of another kind", func(req []byte) []byte { b := fine(req); b[7] = 0xee; return b }, BadAnswer},
		{"refused", func(req []byte) []byte { b := fine(req); b[9] = 2; return b }, Refused},
		{"not synchronised", func(req []byte) []byte { return tracking(req, 3, 0, 0, 0, 1, 1) }, NotSynced},
		{"stratum 0", func(req []byte) []byte { return tracking(req, 0, 0, 0, 0, 1, 1) }, NotSynced},
		{"stratum 16", func(req []byte) []byte { return tracking(req, 0, 16, 0, 0, 1, 1) }, NotSynced},
		{"negative delay", func(req []byte) []byte { return tracking(req, 0, 2, 0, 0, -0.1, 0.1) }, BadAnswer},
		{"negative dispersion", func(req []byte) []byte { return tracking(req, 0, 2, 0, 0, 0.1, -0.1) }, BadAnswer},
		{"correction out of range", func(req []byte) []byte { return tracking(req, 0, 2, 2e7, 0, 0.1, 0.1) }, BadAnswer},
		{"good", fine, Good},
	} {
		addr := fakeChronyd(t, "udp4", "127.0.0.1:0", c.reply)
		p, err := newChrony(addr.String())
		if err != nil {
			t.Fatal(err)
		}
		q, err := p.probe(t.Context(), time.Now().UnixNano())
		var e *Error
		if got := errors.As(err, &e); got != (c.want != Good) || got && e.Reason != c.want {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if c.want == Good && (q.stratum != 2 || q.refID != [4]byte{192, 0, 2, 1} || (q.correction+4*time.Millisecond).Abs() > time.Nanosecond ||
			q.rootDelay < 20*time.Millisecond || q.rootDelay > 20*time.Millisecond+2 || q.dispersion < 3*time.Millisecond || q.dispersion > 3001*time.Microsecond ||
			math.Abs(q.rate-1750) > 1) {
			t.Errorf("good: %+v", q)
		}
	}
	p, _ := newChrony("127.0.0.1:1")
	var e *Error
	if _, err := p.probe(t.Context(), 0); !errors.As(err, &e) || e.Reason != NoAnswer {
		t.Errorf("no chronyd: %v", err)
	}
	for _, a := range []string{"192.0.2.1:323", "[::ffff:192.0.2.1]:323", "nonsense", "127.0.0.1", ":323", "chrony.test:", "[::1]"} {
		if _, err := newChrony(a); err == nil {
			t.Errorf("address %q is accepted", a)
		}
	}
}

// A name that cannot be looked up now, or leads elsewhere, is no answer; it is looked up
// again until chronyd answers, and after each loss.
func TestNameOfChronydIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	addr := fakeChronyd(t, "udp4", "127.0.0.1:0", func(req []byte) []byte { return tracking(req, 0, 2, 0, 0.5, 0.02, 0.003) })
	_, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := newChrony("chrony.test:" + port)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, here := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::ffff:127.0.0.1")
	lookups := 0
	for i, c := range []struct {
		list    []netip.Addr
		err     error
		want    Reason
		lookups int
	}{
		{nil, &net.DNSError{IsTemporary: true}, NoAnswer, 1},
		{nil, &net.DNSError{IsNotFound: true}, NoAnswer, 2},
		{[]netip.Addr{elsewhere}, nil, NoAnswer, 3},
		{nil, nil, NoAnswer, 4},
		{[]netip.Addr{elsewhere, here}, nil, Good, 5},
		{nil, errors.New("not asked"), Good, 5},
	} {
		p.lookup = func(context.Context, string, string) ([]netip.Addr, error) { lookups++; return c.list, c.err }
		_, err := p.probe(t.Context(), time.Now().UnixNano())
		var e *Error
		if got := errors.As(err, &e); got != (c.want != Good) || got && e.Reason != c.want || lookups != c.lookups {
			t.Errorf("step %d: %v after %d lookups, want %v after %d", i, err, lookups, c.want, c.lookups)
		}
		if c.err != nil && err != nil && !errors.Is(err, c.err) {
			t.Errorf("step %d: %v does not say %v", i, err, c.err)
		}
	}
}

// The task waits while nobody answers, and says why.
func TestSourceWaitsForAnAnswer(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Path: filepath.Join(t.TempDir(), "status"), Chrony: "chrony.test:323"})
	if err != nil {
		t.Fatal(err)
	}
	failing := &net.DNSError{Err: "no such host", Name: "chrony.test", IsNotFound: true}
	s.prober.(*chronyd).lookup = func(context.Context, string, string) ([]netip.Addr, error) { return nil, failing }
	ctx, cancel := context.WithCancel(t.Context())
	ready, done := s.Ready(), make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	<-ready
	if err := s.Waiting(); !errors.Is(err, failing) {
		t.Errorf("waiting: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestChronyLeapSecondIsAtTheEndOfTheMonth(t *testing.T) {
	t.Parallel()
	for leap, sign := range map[uint16]int8{1: 1, 2: -1} {
		tr := &chrony.Tracking{Stratum: 2, LeapStatus: leap, RefTime: time.Unix(1, 0)}
		q, err := trackingQuality(tr, time.Date(2026, 12, 31, 1, 0, 0, 0, time.UTC).UnixNano())
		if err != nil || q.leapSign != sign || q.leapAt != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).Unix() {
			t.Errorf("%+v, %v", q, err)
		}
	}
}

// The client's own socket files are removed.
func TestChronySocketLeavesNoFiles(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	sock := filepath.Join(dir, "chronyd.sock")
	fakeChronyd(t, "unixgram", sock, func(req []byte) []byte { return tracking(req, 0, 3, 0, 0.5, 0.02, 0.003) })
	p, err := newChrony(sock)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if q, err := p.probe(t.Context(), time.Now().UnixNano()); err != nil || q.stratum != 3 {
			t.Fatalf("%+v, %v", q, err)
		}
	}
	if es, _ := os.ReadDir(dir); len(es) != 1 {
		t.Errorf("%d files left in the socket's directory", len(es))
	}
}

// From chronyd's answers to the file that the server reads.
func TestSourcePublishesASnapshot(t *testing.T) {
	t.Parallel()
	var leap atomic.Uint32
	addr := fakeChronyd(t, "udp4", "127.0.0.1:0", func(req []byte) []byte {
		return tracking(req, uint16(leap.Load()), 2, 0, 0.5, 0.02, 0.003)
	})
	path := filepath.Join(t.TempDir(), "run", "status")
	s, err := New(Config{Path: path, Chrony: addr.String()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := s.Ready(), make(chan error)
	go func() { done <- s.Run(ctx) }()
	<-ready
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	r, err := status.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var snap status.Snapshot
	if err := r.LoadAll(&snap); err != nil || snap.State != status.Locked || snap.Stratum != 2 || snap.Reason != "good" || snap.ClockDev != "chronyd" || !snap.Usable(snap.Mono) {
		t.Errorf("%+v, %v", snap, err)
	}
	if off := time.Since(snap.ClockAt(cross().Mono).UTC(int(snap.TAIOffset))).Abs(); off > time.Minute {
		t.Errorf("clock is %v off", off)
	}
	if s.count[Good].Load() != 1 {
		t.Error("not counted")
	}
}

func FuzzTracking(f *testing.F) {
	req := make([]byte, 12)
	f.Add(tracking(req, 0, 2, -0.004, 0.5, 0.02, 0.003))
	f.Add(tracking(req, 1, 15, 1e5, 1e5, 1e5, 1e5))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, z := net.Pipe()
		defer a.Close()
		go func() {
			z.Read(make([]byte, 1024))
			z.Write(b[:min(len(b), 1024)])
			z.Close()
		}()
		r, err := (&chrony.Client{Connection: a}).Communicate(chrony.NewTrackingPacket())
		if err != nil {
			return
		}
		tr, ok := r.(*chrony.ReplyTracking)
		if !ok {
			return
		}
		q, err := trackingQuality(&tr.Tracking, start)
		if err != nil {
			return
		}
		w := &world{mono: 1e9}
		l := newTracker()
		for range 3 {
			s := l.next(q, nil, w.cross(), time.Millisecond, 0)
			if s.Stratum == 0 || s.Stratum > 15 || s.Bound < 0 || s.LineErr < 0 || s.BoundRate < 0 || s.BoundAt(w.mono+1e9) < s.BoundAt(w.mono) || s.RefTime <= 0 {
				t.Fatalf("%+v of %+v", s, tr.Tracking)
			}
			w.advance(time.Second)
		}
	})
}
