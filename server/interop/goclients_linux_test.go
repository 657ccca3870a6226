package interop

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	beevik "github.com/beevik/nts"
	fbke "github.com/facebook/time/ntp/ntske"

	fbntp "github.com/facebook/time/ntp/protocol"
	fbnts "github.com/facebook/time/ntp/protocol/nts"

	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// pool returns the certificates of a file.
func pool(t *testing.T, path string) *x509.CertPool {
	t.Helper()
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p := x509.NewCertPool()
	if !p.AppendCertsFromPEM(pem) {
		t.Fatal("no certificate")
	}
	return p
}

// Two clients in Go, by others.
func TestGoClients(t *testing.T) {
	s := serve(t, setup(t), "")

	t.Run("beevik", func(t *testing.T) {
		c, err := beevik.NewSessionWithOptions(addrNTS+":4460", &beevik.SessionOptions{TLSConfig: &tls.Config{RootCAs: pool(t, s.ca)}})
		if err != nil {
			t.Fatal(err)
		}
		for range 12 { // more than the cookies of one key exchange
			r, err := c.Query()
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err != nil || r.Stratum != 1 || r.ReferenceString() != ".GPS." && r.ReferenceString() != "GPS" {
				t.Errorf("%v: %+v", err, r)
			}
			if lim := r.RTT/2 + time.Millisecond; r.ClockOffset > lim || r.ClockOffset < -lim {
				t.Errorf("offset %v on the same clock, round trip %v", r.ClockOffset, r.RTT)
			}
		}
	})

	for _, id := range []uint16{15, 17, 30} {
		t.Run(fmt.Sprintf("facebook with AEAD %d", id), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*longWait)
			defer cancel()
			c := fbke.Client{SupportedAEAD: []uint16{id}, RequestCompliantExport: true}
			ke, err := c.Handshake(ctx, addrNTS+":4460", &tls.Config{RootCAs: pool(t, s.ca)})
			if err != nil {
				t.Fatal(err)
			}
			if ke.AEAD != id || len(ke.Cookies) != 8 || id == 30 && !ke.CompliantExport {
				t.Fatalf("key exchange: %+v", ke)
			}
			// With AES-SIV its requests have no nonce, which RFC 5297, section 6, does not
			// allow; there our own client uses the keys that it derived.
			if id == 30 {
				facebookQuery(t, ke)
				return
			}
			session := &ntske.Session{Keys: nts.SessionKeys{AEAD: aead.ID(id)}, Cookies: ke.Cookies, Server: addrNTS, Port: 123}
			copy(session.Keys.C2S[:], ke.C2S)
			copy(session.Keys.S2C[:], ke.S2C)
			own, err := ntsclient.New(ntsclient.Config{Host: addrNTS, Timeout: longWait,
				Exchange: func(context.Context) (*ntske.Session, error) { return session, nil }})
			if err != nil {
				t.Fatal(err)
			}
			defer own.Close()
			if r, err := own.Query(ctx); err != nil || !r.Authenticated {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

// facebookQuery sends a request of facebook/time's client.
func facebookQuery(t *testing.T, ke *fbke.HandshakeResult) {
	t.Helper()
	id := fbntp.AEADAlgorithm(ke.AEAD)
	uid := make([]byte, 32)
	rand.Read(uid)
	req, err := fbnts.BuildNTSRequest(fbntp.Packet{Settings: 0x23, TxTimeSec: 1, TxTimeFrac: 2}, fbnts.RequestParams{
		AEAD: id, C2S: ke.C2S, Cookie: ke.Cookies[0], UniqueID: uid, Placeholders: 3})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("udp", addrNTS+":123")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(longWait))
	if _, err := conn.Write(req); err != nil {
		t.Fatal(err)
	}
	ans := make([]byte, 2048)
	n, err := conn.Read(ans)
	if err != nil {
		t.Fatalf("no answer to a request of %d octets: %v", len(req), err)
	}
	pkt, cookies, err := fbnts.VerifyNTSResponse(ans[:n], id, ke.S2C, uid)
	if err != nil || len(cookies) != 4 || pkt.Stratum != 1 || n > len(req) {
		t.Errorf("%v, %d cookies, %d octets to %d, %+v", err, len(cookies), n, len(req), pkt)
	}
}
