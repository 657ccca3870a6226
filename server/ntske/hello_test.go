package ntske

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"testing"
)

// clientHello returns the octets of a real ClientHello.
func clientHello(t testing.TB, cfg *tls.Config) []byte {
	t.Helper()
	ours, theirs := net.Pipe()
	go func() {
		tls.Client(theirs, cfg).Handshake()
		theirs.Close()
	}()
	defer ours.Close()
	head := make([]byte, tlsRecordHeader)
	if _, err := io.ReadFull(ours, head); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(ours, body); err != nil {
		t.Fatal(err)
	}
	return append(head, body...)
}

// inRecords cuts the message of one TLS record into records of n octets.
func inRecords(record []byte, n int) (out []byte) {
	for m := range slices.Chunk(record[tlsRecordHeader:], n) {
		out = append(out, recordHandshake, 3, 1, byte(len(m)>>8), byte(len(m)))
		out = append(out, m...)
	}
	return out
}

func TestHelloIsCompleteWithItsLastOctet(t *testing.T) {
	t.Parallel()
	whole := clientHello(t, &tls.Config{ServerName: "time.test"})
	for _, c := range []struct {
		name string
		in   []byte
		need int // octets until it is complete
	}{
		{"no TLS", []byte("GET / HTTP/1.1\r\n"), 1},
		{"an alert", []byte{21, 3, 1, 0, 2, 1, 0}, 1},
		{"an empty record", []byte{22, 3, 1, 0, 0, 22}, 5},
		{"another message", []byte{22, 3, 1, 0, 5, 2, 0, 0, 1, 0}, 9},
		{"one record", whole, len(whole)},
		{"records of 100 octets", inRecords(whole, 100), len(inRecords(whole, 100))},
		{"records of one octet", inRecords(whole, 1), len(inRecords(whole, 1))},
	} {
		for n := range len(c.in) + 1 {
			h := readHello(c.in[:n], maxOctets)
			if h.complete != (n >= c.need) || h.tooLong {
				t.Fatalf("%s: with %d octets of %d: %+v", c.name, n, c.need, h)
			}
			if n > 0 && c.need == len(c.in) && !h.complete && (h.missing < 1 || n+h.missing > c.need) {
				t.Fatalf("%s: with %d octets of %d, %d more are thought to be needed", c.name, n, c.need, h.missing)
			}
		}
	}
	long := bytes.Clone(whole)
	long[6], long[7] = 1, 0 // 64 kB
	if h := readHello(long, maxOctets); !h.tooLong || h.complete {
		t.Errorf("a message of 64 kB: %+v", h)
	}
}

// A client that sends its ClientHello octet by octet must not make the server go
// through all of it at each one.
func TestHelloIsExaminedSeldom(t *testing.T) {
	t.Parallel()
	m := make([]byte, 2600)
	m[0], m[2], m[3] = messageClientHello, byte((len(m)-tlsMessageHeader)>>8), byte((len(m)-tlsMessageHeader)&0xff)
	b := inRecords(append(make([]byte, tlsRecordHeader), m...), 1)
	looks := 0
	for n := 1; ; looks++ {
		h := readHello(b[:n], maxOctets)
		if h.complete {
			break
		}
		n += h.missing
	}
	if looks > 64 {
		t.Errorf("%d looks at %d octets", looks, len(b))
	}
}

func TestKeySharesOfAHello(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ offered, want []tls.CurveID }{
		{[]tls.CurveID{tls.CurveP256}, []tls.CurveID{tls.CurveP256}},
		{[]tls.CurveID{tls.X25519, tls.CurveP256}, []tls.CurveID{tls.X25519}},
		{[]tls.CurveID{tls.X25519MLKEM768, tls.X25519}, []tls.CurveID{tls.X25519MLKEM768, tls.X25519}},
	} {
		b := clientHello(t, &tls.Config{ServerName: "time.test", CurvePreferences: c.offered})
		for _, b := range [][]byte{b, inRecords(b, 50)} {
			if got := readHello(b, maxOctets).shares(); !slices.Equal(got, c.want) {
				t.Errorf("%v: %v, want %v", c.offered, got, c.want)
			}
		}
	}
	if got := (hello{}).shares(); len(got) != 0 {
		t.Errorf("no message: %v", got)
	}
}

// P-256 is chosen only where the client has sent a share for it and none for a
// post-quantum exchange, and never against the configuration.
func TestChosenKeyExchange(t *testing.T) {
	t.Parallel()
	s := newServer(t, newAuthority(t), nil)
	fixed := newServer(t, newAuthority(t), func(c *Config) { c.TLS.CurvePreferences = []tls.CurveID{tls.X25519} })
	hello := func(shares ...tls.CurveID) hello {
		var list []byte
		for _, g := range shares {
			list = binary.BigEndian.AppendUint16(list, uint16(g))
			list = append(list, 0, 1, 42)
		}
		ext := append([]byte{0, extKeyShare, 0, byte(len(list) + 2), 0, byte(len(list))}, list...)
		m := make([]byte, tlsMessageHeader+2+32, 200)
		m = append(m, 0, 0, 0, 0, 0, byte(len(ext))) // no session, suites, compression methods
		return hello{complete: true, message: append(m, ext...)}
	}
	for _, c := range []struct {
		shares []tls.CurveID
		p256   bool
	}{
		{nil, false},
		{[]tls.CurveID{tls.X25519}, false},
		{[]tls.CurveID{tls.CurveP256}, true},
		{[]tls.CurveID{tls.X25519, tls.CurveP256}, true},
		{[]tls.CurveID{tls.CurveP256, tls.X25519MLKEM768}, false},
		{[]tls.CurveID{0x0a0a, tls.CurveP256}, true}, // GREASE (RFC 8701)
	} {
		if got := s.configFor(hello(c.shares...)) == s.tlsP256; got != c.p256 {
			t.Errorf("%v: P-256 alone %v", c.shares, got)
		}
		if fixed.configFor(hello(c.shares...)) != fixed.tls {
			t.Errorf("%v: against the configuration", c.shares)
		}
	}
}

func FuzzHello(f *testing.F) {
	b := clientHello(f, &tls.Config{ServerName: "time.test"})
	f.Add(b)
	f.Add(inRecords(b, 10))
	f.Add([]byte{22, 3, 1, 0, 4, 1, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		h := readHello(b, maxOctets)
		if h.complete && h.tooLong || len(h.message) > maxOctets {
			t.Fatalf("%+v", h)
		}
		if len(h.shares()) > len(b) {
			t.Fatal("more shares than octets")
		}
		// More octets do not undo it.
		if more := readHello(append(bytes.Clone(b), 0), maxOctets); h.complete && !more.complete || h.tooLong && !more.tooLong {
			t.Fatalf("%+v, then %+v", h, more)
		}
	})
}
