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

// keys does a handshake.
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

// shake does handshakes until it is stopped, and prints how many.
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
	// requests is how many clients there are, each with a request of its own.
	requests = 256
	// lostAfter is when a client that interleaves asks again.
	lostAfter = 200 * time.Millisecond
)

// client is what one of the load's clients remembers. Its transmit timestamp
// names it and stays the same; its receive timestamp, which an interleaved answer
// repeats, names the request.
type client struct {
	head   ntp.Header
	cookie []byte
	rnd    [48]byte // unique identifier and nonce; repeated, which matters to nobody here
	req    []byte
	n      ntp.Timestamp // requests answered
	at     tai.Time      // when its last answer left
	asked  int64         // ns since the start, when it asked what has not been answered; 0 = nothing
}

// write makes its next request.
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

// load asks for one window's length and prints a window.
func load(o options) error {
	runtime.LockOSThread()
	s, err := keys(o, o.asLoad)
	if err != nil {
		return err
	}
	n := s.Keys.AEAD.KeyLen()
	var c2s, s2c aead.Key
	if err := c2s.Init(s.Keys.AEAD, s.Keys.C2S[:n]); err != nil {
		return err
	}
	if err := s2c.Init(s.Keys.AEAD, s.Keys.S2C[:n]); err != nil {
		return err
	}
	var clients [requests]client
	for i := range clients {
		c := &clients[i]
		c.head = ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(uint64(i+1)<<40 | 2)}
		c.req = make([]byte, ntp.HeaderLen, 512)
		rand.Read(c.rnd[:])
		c.cookie = s.Cookies[i%len(s.Cookies)]
		c.write(o.plain, s.Keys.AEAD.NonceLen(), &c2s)
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS_NEW, 1); err != nil {
		return err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: s.Port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	var w window
	buf, oob := make([]byte, 2048), make([]byte, 128)
	plain := make([]byte, 0, 2048)
	take := func(flags int) (bool, error) {
		n, on, _, _, err := unix.Recvmsg(fd, buf, oob, flags)
		if err == unix.EAGAIN || err == unix.EWOULDBLOCK {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if on < 32 {
			return false, errors.New("the kernel gives no receive stamps")
		}
		wire := int64(binary.NativeEndian.Uint64(oob[16:]))*1e9 + int64(binary.NativeEndian.Uint64(oob[24:]))
		var h ntp.Header
		if err := h.Parse(buf[:n]); err != nil {
			return false, err
		}
		if h.Leap == ntp.LeapUnknown || h.Mode != ntp.ModeServer || h.Origin&0xf9 != 0 {
			return true, nil
		}
		if !o.plain && !authentic(buf[:n], &s2c, plain) {
			return true, nil
		}
		at := tai.FromUnix(wire/1e9, wire%1e9, stage.TAIOffset)
		w.Valid++
		w.Stay = append(w.Stay, int64(at.Sub(h.Receive.TAI(at, stage.TAIOffset))))
		w.Slack = max(w.Slack, float64(h.RootDisp)*1e9/65536)
		if !o.interleaved {
			w.Late = append(w.Late, int64(at.Sub(h.Transmit.TAI(at, stage.TAIOffset))))
			return true, nil
		}
		i := int(h.Origin>>40) - 1
		if i < 0 || i >= requests {
			return true, nil
		}
		c := &clients[i]
		switch h.Origin {
		case c.head.Receive: // interleaved: it tells when the answer before left
			w.Late = append(w.Late, int64(c.at.Sub(h.Transmit.TAI(c.at, stage.TAIOffset))))
		case c.head.Transmit: // basic
		default: // to a request that was given up
			return true, nil
		}
		c.n++
		c.at, c.asked, c.head.Origin, c.head.Receive = at, 0, h.Receive, c.head.Transmit+c.n<<8+2
		return true, nil
	}
	start := time.Now()
	warm := 300 * time.Millisecond // the server has learned what it can by then
	warming := true
	for sent := 0; time.Since(start) < warm+o.window; {
		if warming && time.Since(start) >= warm {
			warming = false
			w = window{Late: w.Late[:0], Stay: w.Stay[:0]} // some answers to what was asked before are still to come
		}
		if due := int(time.Since(start).Seconds() * float64(o.rate)); due-sent >= o.burst {
			for range o.burst {
				c := &clients[sent%requests]
				if o.interleaved {
					now := int64(time.Since(start))
					if c.asked != 0 && now-c.asked < int64(lostAfter) {
						sent++ // its answer is still to come: the next client's turn
						continue
					}
					c.asked = now
					c.write(o.plain, s.Keys.AEAD.NonceLen(), &c2s)
				}
				if _, err := unix.Write(fd, c.req); err != nil {
					return err
				}
				sent++
				w.Asked++
			}
		}
		if _, err := take(unix.MSG_DONTWAIT); err != nil {
			return err
		}
	}
	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		if _, err := take(unix.MSG_DONTWAIT); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(w)
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
