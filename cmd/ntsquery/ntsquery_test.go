package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
	"noonmark/server/ntp"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

func TestWrongCommandLinesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	os.WriteFile(empty, []byte("no certificate"), 0o600)
	for _, c := range []struct {
		args string
		code int
	}{
		{"", 64},
		{"-nonsense host", 64},
		{"one two", 64},
		{"-n -1 host", 64},
		{"-n 0 host", 64},
		{"-n 1001 host", 64},
		{"-n x host", 64},
		{"-timeout 0s host", 64},
		{"-timeout 2h host", 64},
		{"-interval -1s host", 64},
		{"-port 65536 host", 64},
		{"-aead 16 host", 64},
		{"-aead x host", 64},
		{"-4 -6 host", 64},
		{"-plain -aead 15 host", 64},
		{"-plain -ca x host", 64},
		{"-watch -interval 1ms host", 64},
		{"host:0", 64},
		{"host:65536", 64},
		{"host:ntp", 64},
		{"[::1", 64},
		{"a:b:c", 64},
		{":123", 64},
		{"a/b", 64},
		{"-watch" + strings.Repeat(" host", maxHosts+1), 64},
		{"-ca " + filepath.Join(dir, "none.pem") + " host", 66},
		{"-ca " + empty + " host", 66},
	} {
		var out, errs bytes.Buffer
		code := run(context.Background(), strings.Fields(c.args), &out, &errs)
		if code != c.code || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("ntsquery %s: exit %d, want %d; stdout %q, stderr %q", c.args, code, c.code, &out, &errs)
		}
	}
}

func TestHostWithAndWithoutPort(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]target{
		"time.test":        {host: "time.test"},
		"time.test:4461":   {host: "time.test", port: 4461},
		"192.0.2.1":        {host: "192.0.2.1"},
		"192.0.2.1:123":    {host: "192.0.2.1", port: 123},
		"2001:db8::1":      {host: "2001:db8::1"},
		"[2001:db8::1]":    {host: "2001:db8::1"},
		"[2001:db8::1]:99": {host: "2001:db8::1", port: 99},
		"fe80::1%eth0":     {host: "fe80::1%eth0"},
	} {
		want.name = s
		if got, err := parseTarget(s); err != nil || got != want {
			t.Errorf("%s: %+v, %v", s, got, err)
		}
	}
}

func TestEachErrorHasItsExitCode(t *testing.T) {
	t.Parallel()
	ignored := &ntsclient.NoAnswerError{}
	ignored.Ignored[ntsclient.BadAuthenticator] = 1
	for _, c := range []struct {
		err  error
		code int
	}{
		{nil, 0},
		{exitcode.ErrUsage, 64},
		{errCA, 66},
		{&ntsclient.NoAnswerError{}, 69},
		{ntsclient.ErrUnsynchronised, 69},
		{&net.DNSError{}, 69},
		{syscall.ECONNREFUSED, 69},
		{&ntsclient.KissError{Code: "INIT"}, 69},
		{&ntsclient.KissError{Code: "RATE"}, 75},
		{ntsclient.ErrHoldOff, 75},
		{ignored, 76},
		{ntsclient.ErrNAK, 76},
		{ntsclient.ErrInsane, 76},
		{ntske.ErrResponse, 76},
		{ntske.RemoteError(1), 76},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, 76},
		{syscall.EPERM, 77},
		{&ntsclient.KissError{Code: "DENY"}, 77},
		{context.Canceled, 130},
	} {
		if got := exitCode(c.err); got != c.code {
			t.Errorf("%v: %d, want %d", c.err, got, c.code)
		}
		if c.err != nil {
			if got := exitCode(fmt.Errorf("query: %w", c.err)); got != c.code {
				t.Errorf("wrapped %v: %d, want %d", c.err, got, c.code)
			}
		}
	}
}

func TestOffsetsHaveASign(t *testing.T) {
	t.Parallel()
	if fastOrSlow(-5) != "5 ns slow" || fastOrSlow(5) != "5 ns fast" || signed(-5) != "-5 ns" {
		t.Error("sign")
	}
}

// ntpServer answers plain requests on a loopback socket. Its clock is ahead of the
// local clock.
func ntpServer(t *testing.T, ahead time.Duration, edit func(*ntp.Header)) string {
	t.Helper()
	s, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Skipf("no loopback network: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var b [2048]byte
		for {
			n, from, err := s.ReadFrom(b[:])
			if err != nil {
				return
			}
			var h ntp.Header
			if h.Parse(b[:n]) != nil {
				continue
			}
			now := ntp.FromTAI(tai.Time(time.Now().Add(ahead).UnixNano()), 0)
			a := ntp.Header{Version: 4, Mode: 4, Stratum: 1, Precision: -20, RefID: [4]byte{'G', 'P', 'S'}, RefTime: now.Add(-time.Second),
				RootDelay: 1 << 16, RootDisp: 1 << 15, Origin: h.Transmit, Receive: now, Transmit: now}
			if edit != nil {
				edit(&a)
			}
			a.Put(b[:])
			s.WriteTo(b[:ntp.HeaderLen], from)
		}
	}()
	t.Cleanup(func() { s.Close(); <-done })
	return s.LocalAddr().String()
}

// Scripts rely on the keys, their units and signs.
func TestJSONKeysAndUnits(t *testing.T) {
	t.Parallel()
	addr := ntpServer(t, -time.Hour, nil) // the local clock is an hour fast
	var out, errs bytes.Buffer
	if code := run(context.Background(), []string{"-plain", "-n", "3", "-interval", "0s", addr, "-json"}, &out, &errs); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Fatalf("%v: not one object on one line: %s", err, &out)
	}
	for _, key := range []string{"authenticated", "offset_ns", "delay_ns", "root_delay_ns", "root_dispersion_ns", "stratum", "refid",
		"leap", "reference_time", "aead", "cookies", "interleaved", "server"} {
		if _, ok := got[key]; !ok {
			t.Errorf("no key %s", key)
		}
	}
	off := time.Duration(got["offset_ns"].(float64))
	if d := off - time.Hour; d > time.Second || d < -time.Second {
		t.Errorf("offset %v, want an hour", off)
	}
	for key, want := range map[string]any{"authenticated": false, "valid": true, "server": addr, "stratum": 1.0, "refid": "GPS", "leap": 0.0,
		"root_delay_ns": 1e9, "root_dispersion_ns": 5e8, "aead": 0.0, "cookies": 0.0, "interleaved": false, "readings": 3.0, "lost": 0.0} {
		if got[key] != want {
			t.Errorf("%s: %v, want %v", key, got[key], want)
		}
	}
	if ref, err := time.Parse(time.RFC3339Nano, got["reference_time"].(string)); err != nil || time.Since(ref) < time.Hour || time.Since(ref) > time.Hour+time.Minute {
		t.Errorf("reference time %v: %v", got["reference_time"], err)
	}
}

func TestTextAndExitCodeOfAnAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		edit func(*ntp.Header)
		code int
		want []string
	}{
		{func(h *ntp.Header) { h.Leap, h.Stratum = 3, 16 }, 69, []string{"not synchronised", "stratum 16"}},
		{func(h *ntp.Header) { h.Stratum, h.RefID = 0, [4]byte{'R', 'A', 'T', 'E'} }, 75, []string{"RATE"}},
		{func(h *ntp.Header) { h.Stratum, h.RefID = 0, [4]byte{'D', 'E', 'N', 'Y'} }, 77, []string{"DENY"}},
		{func(h *ntp.Header) { h.Transmit = h.Receive.Add(-time.Second) }, 76, []string{"contradict"}},
		{func(h *ntp.Header) { h.Stratum, h.RefID = 2, [4]byte{192, 0, 2, 7} }, 0,
			[]string{"NOT authenticated", "local clock", "stratum 2, 192.0.2.7, no leap second ahead", "root delay 1000.0 ms"}},
	} {
		var out bytes.Buffer
		if code := run(context.Background(), []string{"-plain", ntpServer(t, 0, c.edit)}, &out, &out); code != c.code {
			t.Errorf("exit %d, want %d: %s", code, c.code, &out)
		}
		for _, w := range c.want {
			if !strings.Contains(out.String(), w) {
				t.Errorf("%q is missing in:\n%s", w, &out)
			}
		}
	}
}

func TestWatchPrintsALinePerReading(t *testing.T) {
	t.Parallel()
	good := ntpServer(t, 0, nil)
	bad := ntpServer(t, 0, func(h *ntp.Header) { h.Leap = 3 })
	var out, errs bytes.Buffer
	code := run(context.Background(), []string{"-watch", "-json", "-plain", "-n", "2", "-interval", "1ms", good, bad}, &out, &errs)
	if code != 69 || errs.Len() > 0 {
		t.Errorf("exit %d, %s", code, &errs)
	}
	lines := map[bool]int{}
	for line := range strings.Lines(out.String()) {
		var r struct {
			Server string
			Valid  bool
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Valid != (r.Server == good) {
			t.Errorf("%v: %s", err, line)
		}
		lines[r.Valid]++
	}
	if lines[true] != 2 || lines[false] != 2 {
		t.Errorf("%d good and %d bad lines", lines[true], lines[false])
	}
	out.Reset()
	if code := run(context.Background(), []string{"-watch", "-plain", "-n", "1", good}, &out, &errs); code != 0 || strings.Count(out.String(), "\n") != 2 {
		t.Errorf("exit %d:\n%s", code, &out)
	}
}

// A certificate of an unknown authority, and a server that does not support NTS-KE.
func TestUntrustedKeyExchangeIsRefused(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"\x1b[2Jtime.test"}}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp4", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
		NextProtos: []string{"ntske/1"}})
	if err != nil {
		t.Skipf("no loopback network: %v", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			c.(*tls.Conn).Handshake()
			c.Write([]byte{0x80, 2, 0, 2, 0, 1, 0x80, 0, 0, 0}) // error 1, end
			c.Close()
		}
	}()
	defer func() { l.Close(); <-done }()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600)
	for _, args := range [][]string{{}, {"-ca", ca}} {
		var out, errs bytes.Buffer
		if code := run(context.Background(), append(args, "-json", l.Addr().String()), &out, &errs); code != 76 {
			t.Errorf("%v: exit %d: %s", args, code, &errs)
		}
		if !strings.Contains(out.String(), `"valid":false,"authenticated":false`) {
			t.Errorf("%v: %s", args, &out)
		}
	}
	// The names in a certificate are chosen by others: a terminal gets no escapes.
	var out bytes.Buffer
	_, port, _ := net.SplitHostPort(l.Addr().String())
	run(context.Background(), []string{"-ca", ca, "-4", "localhost:" + port}, &out, &out)
	if strings.Contains(out.String(), "\x1b") || !strings.Contains(out.String(), `\u001b[2Jtime.test`) {
		t.Errorf("escapes of a certificate: %q", &out)
	}
}
