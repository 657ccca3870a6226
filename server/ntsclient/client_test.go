package ntsclient

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"noonmark/server/ntp"
	"noonmark/server/nts/aead"
)

var ctx = context.Background()

// flip returns a mangle function that changes one octet.
func flip(at int) func(req, ans []byte) [][]byte {
	return func(_, ans []byte) [][]byte { ans[at] ^= 1; return [][]byte{ans} }
}

func TestUnacceptablePacketsAreIgnored(t *testing.T) {
	t.Parallel()
	uidAt := ntp.HeaderLen + 4
	for _, c := range []struct {
		name   string
		aead   aead.ID
		mangle func(req, ans []byte) [][]byte
		want   Reason
	}{
		{"short", 0, func(_, ans []byte) [][]byte { return [][]byte{ans[:47]} }, Short},
		{"empty", 0, func(_, ans []byte) [][]byte { return [][]byte{{}} }, Short},
		{"version 2", 0, func(_, ans []byte) [][]byte { ans[0] = ans[0]&^0x38 | 2<<3; return [][]byte{ans} }, BadVersion},
		{"version 5", 0, func(_, ans []byte) [][]byte { ans[0] = ans[0]&^0x38 | 5<<3; return [][]byte{ans} }, BadVersion},
		{"version 3 with NTS", 15, func(_, ans []byte) [][]byte { ans[0] = ans[0]&^0x38 | 3<<3; return [][]byte{ans} }, BadVersion},
		{"our own request", 0, func(req, _ []byte) [][]byte { return [][]byte{req} }, BadMode},
		{"broadcast", 0, func(_, ans []byte) [][]byte { ans[0] = ans[0]&^7 | 5; return [][]byte{ans} }, BadMode},
		{"origin", 0, flip(24), BogusOrigin},
		{"origin zero", 0, func(_, ans []byte) [][]byte { clear(ans[24:32]); return [][]byte{ans} }, BogusOrigin},
		{"origin of a NAK", 15, func(_, ans []byte) [][]byte { ans[24] ^= 1; return [][]byte{kiss(ans[:84], "NTSN")} }, BogusOrigin},
		{"header bit", 15, flip(2), BadAuthenticator},
		{"transmit bit", 15, flip(47), BadAuthenticator},
		{"unique identifier", 15, flip(uidAt), WrongUniqueID},
		{"ciphertext", 15, func(_, ans []byte) [][]byte { ans[len(ans)-1] ^= 1; return [][]byte{ans} }, BadAuthenticator},
		{"header alone", 15, func(_, ans []byte) [][]byte { return [][]byte{ans[:48]} }, NoUniqueID},
		{"no authenticator", 15, func(_, ans []byte) [][]byte { return [][]byte{ans[:84]} }, NoAuthenticator},
		{"no identifier", 15, func(_, ans []byte) [][]byte { return [][]byte{append(ans[:48:48], ans[84:]...)} }, NoUniqueID},
		{"truncated", 15, func(_, ans []byte) [][]byte { return [][]byte{ans[:len(ans)-4]} }, BadField},
		{"field length 0", 15, func(_, ans []byte) [][]byte { ans[50], ans[51] = 0, 0; return [][]byte{ans} }, BadField},
		{"unauthenticated RATE of another request", 15, func(_, ans []byte) [][]byte { ans[uidAt] ^= 1; return [][]byte{kiss(ans[:84], "RATE")} }, WrongUniqueID},
		{"DENY without identifier", 15, func(_, ans []byte) [][]byte { return [][]byte{kiss(ans[:48], "DENY")} }, NoUniqueID},
		{"a kiss code without meaning", 15, func(_, ans []byte) [][]byte { return [][]byte{kiss(ans[:84], "XYZZ")} }, UnauthenticatedKiss},
		{"NAK without identifier", 15, func(_, ans []byte) [][]byte { return [][]byte{kiss(ans[:48], "NTSN")} }, NoUniqueID},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFake(t, c.aead)
			f.mangle = c.mangle
			cl := f.client(Config{})
			_, err := cl.Query(ctx)
			var na *NoAnswerError
			if !errors.As(err, &na) || !errors.Is(err, ErrNoAnswer) || !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("error %v", err)
			}
			if na.Ignored[c.want] != 1 || na.Ignored.Refused() != 1 {
				t.Errorf("ignored %v, want %v", &na.Ignored, c.want)
			}
			if n := cl.Counters(); n[c.want] != 1 {
				t.Errorf("counted %v", &n)
			}

			// A refused packet does not prevent the valid answer.
			f.mangle = func(req, ans []byte) [][]byte {
				return append(c.mangle(req, bytes.Clone(ans)), ans)
			}
			if _, err := cl.Query(ctx); err != nil {
				t.Errorf("valid answer after a refused packet: %v", err)
			}
		})
	}
}

func TestContradictoryAnswersAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		set  func(*fake)
		want error
	}{
		{"leap 3", func(f *fake) { f.h.Leap = 3 }, ErrUnsynchronised},
		{"stratum 16", func(f *fake) { f.h.Stratum = 16 }, ErrUnsynchronised},
		{"stratum 255", func(f *fake) { f.h.Stratum = 255 }, ErrUnsynchronised},
		{"root dispersion", func(f *fake) { f.h.RootDisp = ntp.ShortFrom(16 * time.Second) }, ErrUnsynchronised},
		{"root delay", func(f *fake) { f.h.RootDelay = ntp.ShortFrom(40 * time.Second) }, ErrUnsynchronised},
		{"sent before received", func(f *fake) { f.inside = -time.Millisecond }, ErrInsane},
		{"reference in the future", func(f *fake) { f.h.RefTime = local(f.now.Add(time.Hour).UnixNano()) }, ErrInsane},
		{"shorter than the server's work", func(f *fake) { f.back = -7 * time.Millisecond }, ErrInsane},
		{"sent a little before the transmit stamp", func(f *fake) { f.there, f.back = time.Microsecond, -20*time.Microsecond }, nil},
		{"good", func(f *fake) {}, nil},
		{"leap 1", func(f *fake) { f.h.Leap = 1 }, nil},
		{"stratum 15", func(f *fake) { f.h.Stratum = 15 }, nil},
		{"no reference time known", func(f *fake) { f.h.RefTime = 1 << 40 }, ErrInsane},
	} {
		for _, id := range []aead.ID{0, aead.AESSIVCMAC256} {
			f := newFake(t, id)
			c.set(f)
			if c.name == "no reference time known" { // 0 is not the begin of era 1, in 2036
				f.now = time.Unix(2085978496-1000, 0)
			}
			r, err := f.client(Config{}).Query(ctx)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("%s, AEAD %d: %v, want %v", c.name, id, err, c.want)
			}
			if r.Stratum != f.h.Stratum || r.Authenticated != (id != 0) {
				t.Errorf("%s: reading %+v", c.name, r)
			}
		}
	}
}

func TestOffsetAndDelay(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, c := range []struct {
		now                 time.Time
		ahead, there, back  time.Duration
		offset, delay, slip time.Duration
	}{
		{time.Unix(1795435200, 0), 0, 3 * ms, 3 * ms, 0, 6 * ms, 1},
		{time.Unix(1795435200, 0), 250 * ms, 3 * ms, 3 * ms, -250 * ms, 6 * ms, 1}, // the local clock is slow
		{time.Unix(1795435200, 0), -40 * time.Hour, ms, 3 * ms, 40*time.Hour + ms, 4 * ms, 1},
		{time.Unix(2085978495, 999e6), 0, 3 * ms, 3 * ms, 0, 6 * ms, 1}, // era 1 begins while the request is on its way
		{time.Unix(2085978496, 0), -3 * time.Hour, ms, ms, 3 * time.Hour, 2 * ms, 1},
		{time.Unix(1795435200, 0), 60 * 365 * 24 * time.Hour, ms, ms, -60 * 365 * 24 * time.Hour, 2 * ms, 1},
	} {
		f := newFake(t, 0)
		f.now, f.ahead, f.there, f.back = c.now, c.ahead, c.there, c.back
		r, err := f.client(Config{}).Query(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if d := r.Offset - c.offset; d > c.slip || d < -c.slip {
			t.Errorf("%v: offset %v, want %v", c, r.Offset, c.offset)
		}
		if d := r.Delay - c.delay; d > c.slip || d < -c.slip {
			t.Errorf("%v: delay %v, want %v", c, r.Delay, c.delay)
		}
		if want := r.Delay/2 + ms/2 + 2*ms; r.RootDistance() < want || r.RootDistance() > want+20*time.Microsecond {
			t.Errorf("root distance %v, want about %v", r.RootDistance(), want)
		}
		if got, want := r.ReferenceTime(), f.now.Add(c.ahead-time.Second); c.ahead > -time.Hour && c.ahead < time.Hour &&
			(got.Sub(want) > 10*ms || want.Sub(got) > 10*ms) {
			t.Errorf("reference time %v, want %v", got, want)
		}
	}
}

func TestCookiesAreUsedOnce(t *testing.T) {
	t.Parallel()
	for _, id := range []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512, aead.AES128GCMSIV} {
		f := newFake(t, id)
		cl := f.client(Config{})
		for range 30 {
			r, err := cl.Query(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if !r.Authenticated || r.AEAD != id || r.Cookies != 8 {
				t.Fatalf("%v: %+v", id, r)
			}
		}
		if f.exchanges != 1 || f.placeholders != 0 || f.dials != 1 {
			t.Errorf("%v: %d key exchanges, %d placeholders, %d sockets", id, f.exchanges, f.placeholders, f.dials)
		}

		// Lost answers use up cookies; placeholders get new ones.
		f.mangle = func(_, _ []byte) [][]byte { return nil }
		for range 3 {
			if _, err := cl.Query(ctx); !errors.Is(err, ErrNoAnswer) {
				t.Fatal(err)
			}
		}
		f.mangle = nil
		if r, err := cl.Query(ctx); err != nil || r.Cookies != 8 || f.placeholders != 3 {
			t.Errorf("%v: %d cookies after %d placeholders, %v", id, r.Cookies, f.placeholders, err)
		}

		// An empty jar leads to a new key exchange.
		f.mangle = func(_, _ []byte) [][]byte { return nil }
		for range 8 {
			cl.Query(ctx)
		}
		f.mangle = nil
		if r, err := cl.Query(ctx); err != nil || f.exchanges != 2 || r.Cookies != 8 {
			t.Errorf("%v: %d exchanges, %d cookies, %v", id, f.exchanges, r.Cookies, err)
		}
		for _, n := range f.sizes {
			if n > maxPacket {
				t.Errorf("%v: request of %d octets", id, n)
			}
		}
	}
}

func TestNAKLeadsToAKeyExchange(t *testing.T) {
	t.Parallel()
	f := newFake(t, aead.AESSIVCMAC256)
	cl := f.client(Config{Timeout: time.Second})
	if _, err := cl.Query(ctx); err != nil {
		t.Fatal(err)
	}
	clear(f.cookies) // the server lost its keys
	start := f.now
	if _, err := cl.Query(ctx); !errors.Is(err, ErrNAK) {
		t.Fatalf("%v, want ErrNAK", err)
	}
	if f.now.Sub(start) < time.Second {
		t.Error("a NAK ended the wait for a valid answer")
	}
	f.failKE = net.ErrClosed
	if _, err := cl.Query(ctx); !errors.Is(err, ErrNAK) || f.exchanges != 2 { // with an old cookie
		t.Fatalf("%v after %d exchanges", err, f.exchanges)
	}
	if _, err := cl.Query(ctx); !errors.Is(err, ErrNAK) || f.exchanges != 2 { // no exchange while holding off
		t.Fatalf("%v after %d exchanges", err, f.exchanges)
	}
	f.failKE = nil
	f.now = f.now.Add(firstWait)
	r, err := cl.Query(ctx)
	if err != nil || f.exchanges != 3 || r.Cookies != 8 {
		t.Fatalf("%v after %d exchanges, %d cookies", err, f.exchanges, r.Cookies)
	}

	// A forged NAK before the valid answer changes nothing.
	f.mangle = func(_, ans []byte) [][]byte { return [][]byte{kiss(bytes.Clone(ans[:84]), "NTSN"), ans} }
	if _, err := cl.Query(ctx); err != nil {
		t.Fatal(err)
	}
	f.mangle = nil
	if _, err := cl.Query(ctx); err != nil || f.exchanges != 3 {
		t.Fatalf("%v after %d exchanges", err, f.exchanges)
	}
}

func TestKeyExchangesBackOff(t *testing.T) {
	t.Parallel()
	f := newFake(t, aead.AESSIVCMAC256)
	f.failKE = net.ErrClosed
	cl := f.client(Config{})
	if _, err := cl.Query(ctx); !errors.Is(err, ErrKeyExchange) || !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
	wait := firstWait
	for range 30 {
		if _, err := cl.Query(ctx); !errors.Is(err, ErrHoldOff) {
			t.Fatal(err)
		}
		f.now = f.now.Add(wait - 1)
		if _, err := cl.Query(ctx); !errors.Is(err, ErrHoldOff) {
			t.Fatal(err)
		}
		f.now = f.now.Add(1)
		if _, err := cl.Query(ctx); !errors.Is(err, ErrKeyExchange) {
			t.Fatalf("after %v: %v", wait, err)
		}
		wait = min(time.Duration(float64(wait)*waitGrowth), maxKEWait)
	}
	if f.exchanges != 31 || wait != 5*24*time.Hour {
		t.Errorf("%d exchanges", f.exchanges)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	f.failKE = context.Canceled
	f.now = f.now.Add(maxKEWait)
	before := cl.keRetry
	if _, err := cl.Query(cancelled); !errors.Is(err, context.Canceled) || cl.keRetry != before {
		t.Errorf("a cancelled exchange counts as a failure: %v", err)
	}
}

// If the key exchange leaves open how the server derives its keys, a NAK leads to
// the alternative keys and not to a new exchange.
func TestNAKLeadsToTheAlternativeKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t, aead.AES128GCMSIV)
	f.altKeys = true
	cl := f.client(Config{})
	if _, err := cl.Query(ctx); !errors.Is(err, ErrNAK) {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := cl.Query(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if f.exchanges != 1 {
		t.Errorf("%d exchanges", f.exchanges)
	}
}

// An NTS-KE server whose keys the NTP server does not know, or whose NTP server is
// dead, is not asked again with every query.
func TestUselessKeysDoNotLoop(t *testing.T) {
	t.Parallel()
	for name, mangle := range map[string]func(req, ans []byte) [][]byte{
		"NAK":     func(_, ans []byte) [][]byte { return [][]byte{kiss(ans[:84], "NTSN")} },
		"silence": func(_, _ []byte) [][]byte { return nil },
	} {
		f := newFake(t, aead.AESSIVCMAC256)
		f.mangle = mangle
		cl := f.client(Config{Timeout: time.Second})
		start := f.now
		for f.now.Sub(start) < time.Hour {
			if _, err := cl.Query(ctx); err == nil {
				t.Fatal("an answer without a valid key")
			}
			f.now = f.now.Add(time.Second)
		}
		if f.exchanges > 14 || f.exchanges < 10 { // 10 s, 15 s, 22.5 s, ...
			t.Errorf("%s: %d key exchanges in an hour", name, f.exchanges)
		}
		f.mangle = nil
		f.now = f.now.Add(maxKEWait)
		if _, err := cl.Query(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKissCodesAreObeyed(t *testing.T) {
	t.Parallel()
	for _, id := range []aead.ID{0, aead.AESSIVCMAC256} {
		send := func(code string, poll int8) *fake {
			f := newFake(t, id)
			f.h.Stratum, f.h.Leap, f.h.Poll, f.h.RefID = 0, 3, poll, [4]byte([]byte(code))
			return f
		}
		for _, code := range []string{"DENY", "RSTR"} {
			f := send(code, 0)
			cl := f.client(Config{})
			for range 3 {
				if _, err := cl.Query(ctx); !errors.Is(err, ErrDenied) {
					t.Fatalf("%s: %v", code, err)
				}
				f.now = f.now.Add(30 * 24 * time.Hour)
			}
			if f.requests != 1 {
				t.Errorf("%s: %d requests", code, f.requests)
			}
		}

		f := send("RATE", 6)
		cl := f.client(Config{})
		var k *KissError
		if _, err := cl.Query(ctx); !errors.As(err, &k) || k.Code != "RATE" || k.Authenticated != (id != 0) || errors.Is(err, ErrDenied) {
			t.Fatalf("RATE: %v", err)
		}
		f.now = f.now.Add(63 * time.Second)
		if _, err := cl.Query(ctx); !errors.Is(err, ErrHoldOff) {
			t.Errorf("request 63 s after RATE with poll 6: %v", err)
		}
		f.now = f.now.Add(2 * time.Second)
		f.h.Stratum, f.h.Leap = 1, 0
		if _, err := cl.Query(ctx); err != nil {
			t.Error(err)
		}

		for _, poll := range []int8{-128, 127} { // an extreme poll makes no extreme wait
			f := send("RATE", poll)
			cl := f.client(Config{})
			cl.Query(ctx)
			if w := cl.ask.wait; w < firstWait || w > maxRateWait {
				t.Errorf("poll %d: wait %v", poll, w)
			}
		}

		f = send("IN\n\x00", 0)
		if _, err := f.client(Config{}).Query(ctx); !errors.As(err, &k) || k.Code != "IN?" {
			t.Errorf("unprintable code: %v", err)
		}
	}
}

// A server may send kiss codes without authenticator. One with the identifier of
// the request is obeyed if no valid answer comes (RFC 8915, section 5.7), and
// ignored if one does.
func TestUnauthenticatedKissCode(t *testing.T) {
	t.Parallel()
	for _, code := range []string{"DENY", "RSTR", "RATE"} {
		f := newFake(t, aead.AESSIVCMAC256)
		only := func(_, ans []byte) [][]byte { return [][]byte{kiss(bytes.Clone(ans[:84]), code)} }
		f.mangle = func(req, ans []byte) [][]byte { return append(only(req, ans), ans) }
		cl := f.client(Config{})
		for range 3 {
			if _, err := cl.Query(ctx); err != nil {
				t.Fatalf("%s before the answer: %v", code, err)
			}
		}
		f.mangle = only
		begin := f.now
		var k *KissError
		if _, err := cl.Query(ctx); !errors.As(err, &k) || k.Code != code || k.Authenticated || errors.Is(err, ErrDenied) != (code != "RATE") {
			t.Fatalf("%s alone: %v", code, err)
		}
		if waited := f.now.Sub(begin); waited < DefaultTimeout {
			t.Errorf("%s: obeyed after %v, before the timeout", code, waited)
		}
		f.mangle = nil
		if _, err := cl.Query(ctx); errors.Is(err, ErrDenied) != (code != "RATE") || errors.Is(err, ErrHoldOff) != (code == "RATE") {
			t.Errorf("request after %s: %v", code, err)
		}
	}
}

func TestInterleavedClient(t *testing.T) {
	t.Parallel()
	for _, id := range []aead.ID{0, aead.AESSIVCMAC256} {
		f := newFake(t, id)
		f.late = time.Millisecond // a timestamp before sealing is early by so much
		cl := f.client(Config{Interleaved: true})
		query := func(interleaved bool, offset time.Duration) {
			t.Helper()
			r, err := cl.Query(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if d := r.Offset - offset; r.Interleaved != interleaved || d < -1 || d > 1 {
				t.Errorf("AEAD %d: interleaved %v, offset %v; want %v, %v", id, r.Interleaved, r.Offset, interleaved, offset)
			}
			f.now = f.now.Add(time.Second)
		}
		query(false, f.late/2)
		query(true, 0)
		query(true, 0)
		f.mangle = func(_, _ []byte) [][]byte { return nil }
		if _, err := cl.Query(ctx); !errors.Is(err, ErrNoAnswer) {
			t.Fatal(err)
		}
		f.mangle = nil
		query(false, f.late/2)
		if f.last.Origin != 0 || f.last.Receive != 0 {
			t.Error("interleaved request after a lost answer")
		}
		query(true, 0)
		if f.last.Origin == 0 || f.last.Receive == 0 || f.last.Receive == f.last.Transmit {
			t.Errorf("interleaved request: %+v", f.last)
		}
		clear(f.precise) // the server lost the timestamp: it answers in basic mode
		query(false, f.late/2)
	}

	// In basic mode, an answer to the receive nonce is refused.
	f := newFake(t, 0)
	cl := f.client(Config{})
	for range 2 {
		f.mangle = func(req, ans []byte) [][]byte { copy(ans[24:32], req[32:40]); return [][]byte{ans} }
		if _, err := cl.Query(ctx); !errors.Is(err, ErrNoAnswer) {
			t.Errorf("%v", err)
		}
	}
}

func TestRequestRevealsNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t, 0)
	seen := map[ntp.Timestamp]bool{}
	f.mangle = func(req, ans []byte) [][]byte {
		var h ntp.Header
		h.Parse(req)
		if d := h.Transmit.Sub(local(f.now.UnixNano())); d > -time.Hour && d < time.Hour {
			t.Errorf("the transmit timestamp is the local time within %v", d)
		}
		if seen[h.Transmit] {
			t.Error("nonce repeated")
		}
		seen[h.Transmit] = true
		if h.Stratum != 0 || h.RefTime != 0 || h.Receive != 0 || h.Origin != 0 {
			t.Errorf("the request reveals more than necessary: %+v", h)
		}
		return [][]byte{ans}
	}
	cl := f.client(Config{})
	for range 10 {
		if _, err := cl.Query(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFieldsAfterTheAuthenticatorAreIgnored(t *testing.T) {
	t.Parallel()
	f := newFake(t, aead.AESSIVCMAC256)
	evil := bytes.Repeat([]byte{0xee}, 100)
	f.mangle = func(_, ans []byte) [][]byte {
		return [][]byte{ntp.AppendField(ntp.AppendField(ans, ntp.ExtCookie, evil), 7, []byte{1, 2, 3})}
	}
	cl := f.client(Config{})
	if _, err := cl.Query(ctx); err != nil {
		t.Fatal(err)
	}
	for c := cl.session.jar.take(); c != nil; c = cl.session.jar.take() {
		if bytes.Equal(c, evil) {
			t.Fatal("a cookie from outside the authenticator is in the jar")
		}
	}
}

func TestJarReturnsEachCookieOnce(t *testing.T) {
	t.Parallel()
	var j jar
	if j.take() != nil || j.put(nil) || j.put(make([]byte, maxCookie+1)) {
		t.Error("the jar accepts invalid cookies or returns cookies while it is empty")
	}
	for i := range uint16(jarSize + 3) {
		j.put(binary.BigEndian.AppendUint16(nil, i))
	}
	for i := range uint16(jarSize) {
		if got := binary.BigEndian.Uint16(j.take()); got != i+3 {
			t.Errorf("cookie %d, want %d", got, i+3)
		}
	}
	if j.take() != nil {
		t.Error("the jar returns more cookies than it has")
	}
}

func TestBestHasTheLeastDelay(t *testing.T) {
	t.Parallel()
	if Best(nil) != -1 || Jitter(nil, 0) != 0 {
		t.Error("a result without readings")
	}
	rs := []Reading{{Delay: 5, Offset: 30}, {Delay: 3, Offset: 10}, {Delay: 4, Offset: 10}}
	if Best(rs) != 1 || Jitter(rs, 1) != 14 { // sqrt(400/2)
		t.Errorf("best %d, jitter %d", Best(rs), Jitter(rs, 1))
	}
}

func TestStepDuringTheExchangeIsDetected(t *testing.T) {
	t.Parallel()
	for step, want := range map[time.Duration]error{-time.Hour: ErrStepped, 20 * time.Millisecond: ErrStepped, 0: nil} {
		f := newFake(t, 0)
		f.step = step
		if _, err := f.client(Config{}).Query(ctx); !errors.Is(err, want) {
			t.Errorf("step of %v: %v, want %v", step, err, want)
		}
	}
}

// Packets that nobody sealed are refused, and sealed random octets are handled.
func FuzzCheck(f *testing.F) {
	fk := newFake(&testing.T{}, aead.AESSIVCMAC256)
	cl := fk.client(Config{})
	var good []byte
	fk.mangle = func(_, ans []byte) [][]byte { good = ans; return nil }
	cl.Query(ctx)
	var plain []byte
	plain = ntp.AppendField(plain, ntp.ExtCookie, make([]byte, 100))
	f.Add(good, plain)
	f.Add(good[:84], plain[:50])
	f.Add(good[:48], []byte{0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, pkt, plain []byte) {
		s := &session{id: aead.AESSIVCMAC256}
		if s.c2s.Init(s.id, make([]byte, 32)) != nil || s.s2c.Init(s.id, make([]byte, 32)) != nil {
			t.Fatal("keys")
		}
		var q request
		var a answer
		if len(pkt) >= ntp.HeaderLen {
			q.transmit = ntp.Timestamp(binary.BigEndian.Uint64(pkt[24:]))
		}
		if len(pkt) >= 84 {
			copy(q.uid[:], pkt[52:84])
		}
		if r := q.check(pkt, s, &a); r == Accepted {
			t.Error("a packet that nobody sealed is accepted")
		}
		if q.check(pkt, nil, &a) == Accepted {
			c := &Client{conn: fk}
			c.read(&a, nil, &times{received: Stamp{Real: 1}})
		}
		// Correctly sealed random octets.
		if a.cookies = 0; s.addCookies(plain, &a) == Accepted && a.cookies != s.jar.n || s.jar.n > jarSize {
			t.Errorf("%d cookies counted, %d kept", a.cookies, s.jar.n)
		}
	})
}

// A slightly negative delay is used by its absolute value, and is not preferred.
func TestNegativeDelayCountsAsUncertainty(t *testing.T) {
	t.Parallel()
	f := newFake(t, 0)
	f.there, f.back = 3*time.Microsecond, -20*time.Microsecond
	r, err := f.client(Config{}).Query(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Delay - 17*time.Microsecond; d < -1 || d > 1 {
		t.Errorf("delay %v, want 17µs", r.Delay)
	}
}
