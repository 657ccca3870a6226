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

// shake does handshakes until it is told to stop, and prints how many.
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

// requests is how many different requests there are.
const requests = 256

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
	var pkts [requests][]byte
	for i := range pkts {
		h := ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(uint64(i+1)<<40 | 2)}
		p := make([]byte, ntp.HeaderLen)
		h.Put(p)
		if !o.plain {
			var rnd [48]byte
			rand.Read(rnd[:])
			p = ntp.AppendField(p, ntp.ExtUniqueID, rnd[:32])
			p = ntp.AppendField(p, ntp.ExtCookie, s.Cookies[i%len(s.Cookies)])
			p = nts.AppendAuth(p, &c2s, rnd[32:32+s.Keys.AEAD.NonceLen()], nil)
		}
		pkts[i] = p
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
		if h.Leap == ntp.LeapUnknown || h.Mode != ntp.ModeServer || h.Origin&0xff != 2 {
			return true, nil
		}
		if !o.plain && !authentic(buf[:n], &s2c, plain) {
			return true, nil
		}
		at := tai.FromUnix(wire/1e9, wire%1e9, stage.TAIOffset)
		w.Valid++
		w.Late = append(w.Late, int64(at.Sub(h.Transmit.TAI(at, stage.TAIOffset))))
		w.Slack = max(w.Slack, float64(h.RootDisp)*1e9/65536)
		return true, nil
	}
	start := time.Now()
	warm := 300 * time.Millisecond // the server has learned what it can by then
	warming := true
	for sent := 0; time.Since(start) < warm+o.window; {
		if warming && time.Since(start) >= warm {
			warming = false
			w = window{Late: w.Late[:0], Valid: -(w.Asked - w.Valid)} // what is under way counts for the warm-up
		}
		if due := int(time.Since(start).Seconds() * float64(o.rate)); due-sent >= o.burst {
			for range o.burst {
				if _, err := unix.Write(fd, pkts[sent%requests]); err != nil {
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
