package main

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/phc/tai"
	"noonmark/server/bench/stage"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// keys does a handshake with the NTS-KE server at an address.
func keys(o options, at string) (*ntske.Session, error) {
	pem, err := os.ReadFile(o.ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	host, port, err := net.SplitHostPort(at)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		return nil, err
	}
	return ntske.Exchange(context.Background(), ntske.ClientConfig{
		Host: host, Port: n, ServerName: stage.Host, RootCAs: pool, AEADs: []aead.ID{aead.AESSIVCMAC256},
	})
}

// shake does handshakes until the process gets SIGTERM, and prints how many.
func shake(o options) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	for n := 0; ; n++ {
		select {
		case <-stop:
			fmt.Println(n)
			return nil
		default:
		}
		if _, err := keys(o, o.asShake); err != nil {
			return err
		}
	}
}

const (
	// requests is the number of clients, each with a request of its own.
	requests = 256
	// lostAfter is when an interleaved client takes an answer for lost and sends
	// its next request.
	lostAfter = 200 * time.Millisecond
	// warmUp is the time before the window begins. The server has learned its
	// latencies by its end.
	warmUp = 300 * time.Millisecond
	// drain is the time that answers may arrive after the last request.
	drain = 50 * time.Millisecond
)

// client is the state of one of the load's clients. Its transmit timestamp
// identifies the client and stays the same; its receive timestamp, which an
// interleaved answer repeats, identifies the request.
type client struct {
	head     ntp.Header
	cookie   []byte
	rnd      [48]byte // unique identifier and nonce; repeated, which is harmless here
	req      []byte
	answered ntp.Timestamp // number of requests answered
	left     tai.Time      // when its last answer left
	sent     int64         // ns since the start, when it sent the request without an answer yet; 0 = none
}

// write composes its next request.
func (c *client) write(plain bool, nonce int, c2s *aead.Key) {
	c.req = c.req[:ntp.HeaderLen]
	c.head.Put(c.req)
	if plain {
		return
	}
	c.req = ntp.AppendField(c.req, ntp.ExtUniqueID, c.rnd[:32])
	c.req = ntp.AppendField(c.req, ntp.ExtCookie, c.cookie)
	c.req = nts.AppendAuth(c.req, c2s, c.rnd[32:32+nonce], nil)
}

// loader sends the requests of all clients from one socket and takes the answers.
type loader struct {
	o        options
	w        window
	clients  [requests]client
	nonceLen int
	c2s, s2c aead.Key

	fd        int
	buf, oob  []byte
	decrypted []byte

	start time.Time
	turns int // clients that had their turn, since the start
}

// load sends requests for the length of one window and prints a window.
func load(o options) error {
	runtime.LockOSThread()
	l, err := newLoader(o)
	if err != nil {
		return err
	}
	if err := l.run(); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(l.w)
}

func newLoader(o options) (*loader, error) {
	s, err := keys(o, o.asLoad)
	if err != nil {
		return nil, err
	}
	l := &loader{o: o, nonceLen: s.Keys.AEAD.NonceLen(),
		buf: make([]byte, 2048), oob: make([]byte, 128), decrypted: make([]byte, 0, 2048)}
	n := s.Keys.AEAD.KeyLen()
	if err := l.c2s.Init(s.Keys.AEAD, s.Keys.C2S[:n]); err != nil {
		return nil, err
	}
	if err := l.s2c.Init(s.Keys.AEAD, s.Keys.S2C[:n]); err != nil {
		return nil, err
	}
	for i := range l.clients {
		c := &l.clients[i]
		c.head = ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(uint64(i+1)<<40 | 2)}
		c.req = make([]byte, ntp.HeaderLen, 512)
		rand.Read(c.rnd[:])
		c.cookie = s.Cookies[i%len(s.Cookies)]
		c.write(o.plain, l.nonceLen, &l.c2s)
	}
	l.fd, err = dial(s.Port)
	return l, err
}

// dial opens a socket with the kernel's receive timestamps.
func dial(port int) (fd int, err error) {
	if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return 0, err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1); err != nil {
		return 0, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	return fd, unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
}

// run sends at the steady rate and receives between the bursts.
func (l *loader) run() error {
	l.start = time.Now()
	warming := true
	for time.Since(l.start) < warmUp+l.o.window {
		if warming && time.Since(l.start) >= warmUp {
			warming = false
			l.w = window{Late: l.w.Late[:0], Stay: l.w.Stay[:0]} // some answers to earlier requests arrive later
		}
		if due := int(time.Since(l.start).Seconds() * float64(l.o.rate)); due-l.turns >= l.o.burst {
			if err := l.send(); err != nil {
				return err
			}
		}
		if err := l.receive(); err != nil {
			return err
		}
	}
	for end := time.Now().Add(drain); time.Now().Before(end); {
		if err := l.receive(); err != nil {
			return err
		}
	}
	return nil
}

// send sends one burst: the requests of the next clients.
func (l *loader) send() error {
	for range l.o.burst {
		c := &l.clients[l.turns%requests]
		l.turns++
		if l.o.interleaved {
			now := int64(time.Since(l.start))
			if c.sent != 0 && now-c.sent < int64(lostAfter) {
				continue // its answer has not arrived yet
			}
			c.sent = now
			c.write(l.o.plain, l.nonceLen, &l.c2s)
		}
		if _, err := unix.Write(l.fd, c.req); err != nil {
			return err
		}
		l.w.Asked++
	}
	return nil
}

// receive takes one answer, if there is one.
func (l *loader) receive() error {
	n, on, _, _, err := unix.Recvmsg(l.fd, l.buf, l.oob, unix.MSG_DONTWAIT)
	if err == unix.EAGAIN || err == unix.EWOULDBLOCK {
		return nil
	}
	if err != nil {
		return err
	}
	if on < 32 {
		return errors.New("the kernel gave no receive timestamp")
	}
	wire := int64(binary.NativeEndian.Uint64(l.oob[16:]))*1e9 + int64(binary.NativeEndian.Uint64(l.oob[24:]))
	var h ntp.Header
	if err := h.Parse(l.buf[:n]); err != nil {
		return err
	}
	if h.Leap == ntp.LeapUnknown || h.Mode != ntp.ModeServer || h.Origin&0xf9 != 0 {
		return nil
	}
	if !l.o.plain && !authentic(l.buf[:n], &l.s2c, l.decrypted) {
		return nil
	}
	l.count(&h, tai.FromUnix(wire/1e9, wire%1e9, stage.TAIOffset))
	return nil
}

// count adds a valid answer that left at the given time to the window.
func (l *loader) count(h *ntp.Header, left tai.Time) {
	l.w.Valid++
	l.w.Stay = append(l.w.Stay, int64(left.Sub(h.Receive.TAI(left, stage.TAIOffset))))
	l.w.Slack = max(l.w.Slack, float64(h.RootDisp)*1e9/65536)
	if !l.o.interleaved {
		l.w.Late = append(l.w.Late, int64(left.Sub(h.Transmit.TAI(left, stage.TAIOffset))))
		return
	}
	i := int(h.Origin>>40) - 1
	if i < 0 || i >= requests {
		return
	}
	c := &l.clients[i]
	switch h.Origin {
	case c.head.Receive: // interleaved: the transmit timestamp is that of the previous answer
		l.w.Late = append(l.w.Late, int64(c.left.Sub(h.Transmit.TAI(c.left, stage.TAIOffset))))
	case c.head.Transmit: // basic
	default: // to a request that was given up
		return
	}
	c.answered++
	c.left, c.sent, c.head.Origin, c.head.Receive = left, 0, h.Receive, c.head.Transmit+c.answered<<8+2
}

// authentic verifies an answer.
func authentic(p []byte, key *aead.Key, plain []byte) bool {
	for off := ntp.HeaderLen; ; {
		f, ok, err := ntp.NextField(p, off)
		if err != nil || !ok {
			return false
		}
		if f.Type == ntp.ExtAuthenticator {
			_, err := nts.OpenAuth(p, f.Start, f.End, key, plain[:0])
			return err == nil
		}
		off = f.End
	}
}
