package main

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/server/bench/stage"
	"noonmark/server/ntske"
)

// attack is one kind of load on NTS-KE. It runs at a rate until its context ends.
type attack struct {
	to    netip.AddrPort
	from  func() netip.Addr // source address of the next connection
	first int               // connections at the beginning
	rate  float64           // connections per second after that
	limit int               // connections at once
	do    func(ctx context.Context, a *attack, c net.Conn)

	begun, failed atomic.Int64
}

// run begins connections at the rate, never more than limit at once: those beyond
// are left out, and the achieved rate shows it.
func (a *attack) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, a.limit)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	start, n := time.Now(), float64(-a.first)
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for due := now.Sub(start).Seconds() * a.rate; n < due; n++ {
				select {
				case places <- struct{}{}:
					wg.Go(func() {
						defer func() { <-places }()
						a.one(ctx)
					})
				default:
				}
			}
		}
	}
}

func (a *attack) one(ctx context.Context) {
	c, err := dial(ctx, a.from(), a.to)
	if err != nil {
		if ctx.Err() == nil {
			a.failed.Add(1)
		}
		return
	}
	a.begun.Add(1)
	defer c.Close()
	a.do(ctx, a, c)
}

// dial connects from any address that is routed to this host.
func dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, KeepAlive: -1, Control: freebind}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// freebind permits source addresses that no interface has.
func freebind(network, _ string, raw syscall.RawConn) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if network == "tcp6" || network == "udp6" {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_FREEBIND, 1)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
		}
		// An address may be used again at once, so that ports do not run out.
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
	})
	return errors.Join(err, cerr)
}

// oneOf returns the addresses in turn.
func oneOf(list []netip.Addr) func() netip.Addr {
	var n atomic.Uint64
	return func() netip.Addr { return list[n.Add(1)%uint64(len(list))] }
}

// addresses4 returns n addresses from 127.1.0.1 on.
func addresses4(n int) (list []netip.Addr) {
	for i := range n {
		list = append(list, netip.AddrFrom4([4]byte{127, 1, byte(i / 250), byte(1 + i%250)}))
	}
	return list
}

// within returns random addresses of a prefix.
func within(p netip.Prefix) func() netip.Addr {
	return func() netip.Addr {
		b := p.Addr().As16()
		var r [16]byte
		binary.BigEndian.PutUint64(r[:], rand.Uint64())
		binary.BigEndian.PutUint64(r[8:], rand.Uint64())
		for i := p.Bits(); i < 128; i++ {
			b[i/8] |= r[i/8] & (0x80 >> (i % 8))
		}
		return netip.AddrFrom16(b)
	}
}

// silent sends nothing until the server closes.
func silent(ctx context.Context, _ *attack, c net.Conn) {
	wait(ctx, c)
}

// wait reads until the other side closes or the attack ends.
func wait(ctx context.Context, c net.Conn) {
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	io.Copy(io.Discard, c)
}

// reset closes at once with a reset.
func reset(_ context.Context, _ *attack, c net.Conn) { c.(*net.TCPConn).SetLinger(0) }

// half sends a ClientHello, waits for the first octets of the answer, so that the
// server has done its work, and closes with a reset.
func half(hello []byte) func(context.Context, *attack, net.Conn) {
	return func(_ context.Context, a *attack, c net.Conn) {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.Write(hello)
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			a.failed.Add(1)
		}
		c.(*net.TCPConn).SetLinger(0)
	}
}

// clientTLS is what honest clients and some attackers use. The certificate is not
// checked: that costs the client's processor time, not the server's.
func clientTLS(curves ...tls.CurveID) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: stage.Host, MinVersion: tls.VersionTLS13, NextProtos: []string{ntske.ALPN}, CurvePreferences: curves}
}

// request is Next Protocol NTPv4, AEAD 15, End of Message (RFC 8915, section 4).
var request = []byte{0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0}

// exchange does one NTS-KE exchange over a connection and returns a cookie.
func exchange(c net.Conn, cfg *tls.Config) (cookie []byte, err error) {
	t := tls.Client(c, cfg)
	if _, err := t.Write(request); err != nil {
		return nil, err
	}
	recs, err := ntske.ReadMessage(t, 1<<16)
	if err != nil {
		return nil, err
	}
	for _, r := range recs {
		if r.Type == ntske.RecordCookie {
			return r.Body, nil
		}
	}
	return nil, errors.New("no cookie")
}

// complete does whole exchanges.
func complete(ctx context.Context, a *attack, c net.Conn) {
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := exchange(c, clientTLS(tls.CurveP256)); err != nil && ctx.Err() == nil {
		a.failed.Add(1)
	}
}

// endless completes the handshake and sends empty non-critical records without an
// end, n octets in all.
func endless(n int) func(context.Context, *attack, net.Conn) {
	records := make([]byte, 0, n)
	for len(records) < n {
		records = append(records, 0x40, 0, 0, 0) // an unknown type
	}
	return func(ctx context.Context, _ *attack, c net.Conn) {
		t := tls.Client(c, clientTLS(tls.CurveP256))
		c.SetDeadline(time.Now().Add(10 * time.Second))
		if t.Handshake() != nil {
			return
		}
		t.Write(records)
		c.SetDeadline(time.Time{})
		wait(ctx, c)
	}
}

// padded sends a ClientHello of n octets and waits.
func padded(hello []byte, n int) func(context.Context, *attack, net.Conn) {
	whole := pad(hello, n)
	return func(ctx context.Context, _ *attack, c net.Conn) {
		c.SetWriteDeadline(time.Now().Add(10 * time.Second))
		c.Write(whole)
		wait(ctx, c)
	}
}

// clientHello returns the TLS record of a real ClientHello.
func clientHello(curves ...tls.CurveID) []byte {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		tls.Client(theirs, clientTLS(curves...)).Handshake()
		theirs.Close()
	}()
	var head [5]byte
	if _, err := io.ReadFull(ours, head[:]); err != nil {
		panic(err)
	}
	b := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(ours, b); err != nil {
		panic(err)
	}
	return append(head[:], b...)
}

// pad adds a padding extension to a ClientHello so that the message has n octets,
// and cuts it into records.
func pad(record []byte, n int) []byte {
	m := append([]byte(nil), record[5:]...)
	at := 4 + 2 + 32 // header, version, random
	at += 1 + int(m[at])
	at += 2 + int(binary.BigEndian.Uint16(m[at:]))
	at += 1 + int(m[at]) // at the length of the extensions
	fill := n - len(m) - 4
	ext := binary.BigEndian.AppendUint16([]byte{0, 21}, uint16(fill)) // RFC 7685
	m = append(append(m, ext...), make([]byte, fill)...)
	binary.BigEndian.PutUint16(m[at:], uint16(len(m)-at-2))
	m[1], m[2], m[3] = byte((len(m)-4)>>16), byte((len(m)-4)>>8), byte(len(m)-4)
	var out []byte
	for len(m) > 0 {
		k := min(len(m), 1<<14)
		out = append(out, 22, 3, 1, byte(k>>8), byte(k))
		out, m = append(out, m[:k]...), m[k:]
	}
	return out
}
