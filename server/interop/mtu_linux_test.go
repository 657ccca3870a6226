package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

// An answer reaches its client through links that take less than Ethernet: WireGuard
// 1420 octets, the least of IPv6 1280. It has fresh cookies, it is not fragmented,
// and over IPv4 nobody may fragment it. The small link is that of the server, or a
// later one, of which its kernel does not know.
func TestAnswersPassSmallLinks(t *testing.T) {
	s := serve(t, setup(t), "")
	sessions := map[aead.ID]*ntske.Session{}
	for _, id := range []aead.ID{aead.AESSIVCMAC256, aead.AESSIVCMAC512} {
		var err error
		sessions[id], err = ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), AEADs: []aead.ID{id}})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { setMTU(t, 1500, 1500) })
	for _, link := range []struct{ ours, theirs int }{{1420, 1420}, {1280, 1280}, {1500, 1420}, {1500, 1280}} {
		setMTU(t, link.ours, link.theirs)
		for _, to := range []string{ourAddr, ourAddr6} {
			tap := openTap(t, netip.MustParseAddr(to))
			if a := answered(t, true, to, ntp.Port); !a.answered {
				t.Errorf("MTU %v, %s: no answer to a plain request", link, to)
			}
			tap.check(t, fmt.Sprintf("MTU %v, %s, plain", link, to))
			for id, least := range map[aead.ID]int{aead.AESSIVCMAC256: 8, aead.AESSIVCMAC512: 6} {
				what := fmt.Sprintf("MTU %v, %s, %v", link, to, id)
				fresh, err := cookiesFor(t, sessions[id], to, 7)
				if err != nil || fresh < least {
					t.Errorf("%s: %d fresh cookies, want %d: %v", what, fresh, least, err)
				}
				tap.check(t, what)
			}
			tap.close()
		}
	}
}

// setMTU sets the MTU of both ends of the link.
func setMTU(t *testing.T, ours, theirs int) {
	t.Helper()
	for _, args := range [][]string{
		{"ip", "link", "set", "ours", "mtu", fmt.Sprint(ours)},
		enter("ip", "link", "set", "theirs", "mtu", fmt.Sprint(theirs)),
	} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
}

// cookiesFor sends a request with placeholders from the peer's end and returns the
// number of cookies in its answer, which is verified and no longer than the request.
func cookiesFor(t *testing.T, sess *ntske.Session, to string, placeholders int) (int, error) {
	t.Helper()
	var c2s, s2c aead.Key
	id, n := sess.Keys.AEAD, sess.Keys.AEAD.KeyLen()
	if err := errors.Join(c2s.Init(id, sess.Keys.C2S[:n]), s2c.Init(id, sess.Keys.S2C[:n])); err != nil {
		return 0, err
	}
	h := ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: 1 << 40}
	req := make([]byte, ntp.HeaderLen)
	h.Put(req)
	req = ntp.AppendField(ntp.AppendField(req, ntp.ExtUniqueID, make([]byte, 32)), ntp.ExtCookie, sess.Cookies[0])
	for range placeholders {
		req = ntp.AppendField(req, ntp.ExtPlaceholder, make([]byte, len(sess.Cookies[0])))
	}
	req = nts.AppendAuth(req, &c2s, make([]byte, id.NonceLen()), nil)

	var c *net.UDPConn
	var err error
	inPeer(t, func() { c, err = net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(to), Port: ntp.Port}) })
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.Write(req); err != nil {
		return 0, err
	}
	c.SetReadDeadline(time.Now().Add(longWait))
	b := make([]byte, 65536)
	if n, err = c.Read(b); err != nil {
		return 0, err
	}
	if b = b[:n]; len(b) > len(req) {
		return 0, fmt.Errorf("%d octets for a request of %d", len(b), len(req))
	}
	uid, _, err1 := ntp.NextField(b, ntp.HeaderLen)
	auth, ok, err2 := ntp.NextField(b, uid.End)
	if err := errors.Join(err1, err2); err != nil || !ok {
		return 0, fmt.Errorf("no authenticator: %w", err)
	}
	plain, err := nts.OpenAuth(b, auth.Start, auth.End, &s2c, nil)
	if err != nil {
		return 0, err
	}
	fresh := map[string]bool{}
	for off := 0; ; {
		f, ok, err := ntp.NextInner(plain, off)
		if err != nil || !ok {
			return len(fresh), err
		}
		if f.Type == ntp.ExtCookie && len(f.Body) == len(sess.Cookies[0]) {
			fresh[string(f.Body)] = true
		}
		off = f.End
	}
}

// tap sees the packets that arrive at the peer's end, before fragments are joined.
type tap struct {
	fd   int
	from netip.Addr
}

func openTap(t *testing.T, from netip.Addr) *tap {
	t.Helper()
	all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
	w := &tap{from: from}
	var err error
	inPeer(t, func() {
		w.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(all))
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *tap) close() { unix.Close(w.fd) }

// check fails unless one datagram has come since the last check, in one packet that
// over IPv4 must not be fragmented.
func (w *tap) check(t *testing.T, what string) {
	t.Helper()
	b := make([]byte, 2048)
	seen := 0
	for {
		n, from, err := unix.Recvfrom(w.fd, b, 0)
		if err != nil {
			break
		}
		if at, ok := from.(*unix.SockaddrLinklayer); !ok || at.Pkttype == unix.PACKET_OUTGOING || n < 28 {
			continue
		}
		const dontFragment = 0x4000 // the only flag; the offset is 0 (RFC 791)
		switch p := b[:n]; {
		case p[0]>>4 == 4 && w.from.Is4() && [4]byte(p[12:16]) == w.from.As4() && p[9] == unix.IPPROTO_UDP:
			if flags := binary.BigEndian.Uint16(p[6:]); flags != dontFragment {
				t.Errorf("%s: flags and fragment offset %#x, want %#x", what, flags, dontFragment)
			}
			seen++
		case p[0]>>4 == 6 && n >= 48 && w.from.Is6() && [16]byte(p[8:24]) == w.from.As16() && p[6] != unix.IPPROTO_ICMPV6:
			if p[6] != unix.IPPROTO_UDP {
				t.Errorf("%s: next header %d, want UDP", what, p[6])
			}
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%s: %d packets, want 1", what, seen)
	}
}
