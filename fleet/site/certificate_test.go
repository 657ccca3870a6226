package site

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"noonmark/server/certs/certstest"
)

// TestRealProgramsServeOneCertificate: the command on the manager, the agents with the rights
// that they have, and NTS-KE of two ntsserve, which wait for their first certificate.
func TestRealProgramsServeOneCertificate(t *testing.T) {
	p := certstest.Start(t)
	ips := map[string]string{"a": "127.0.92.1", "b": "127.0.92.2"}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	s, err := New(ctx, t.TempDir(), Options{
		Bin: programs(t), Params: params, Seed: 1, Challenges: func(node string) string { return fmt.Sprintf("%s:%d", ips[node], p.HTTPPort) },
	})
	must(t, err)
	defer s.Close()
	defer logFailure(t, s)
	a, err := s.Found(ctx, "a", 1)
	must(t, err)
	b, err := s.Join(ctx, "b", 1)
	must(t, err)
	must(t, s.WaitForClock(ctx))
	must(t, a.WaitForServing(ctx, 2))
	for _, n := range s.Nodes {
		must(t, n.StartServer(ctx))
	}
	if _, err := b.Command(ctx, "certificate", "-name", ips["b"], "-accept-terms"); err == nil || !strings.Contains(err.Error(), "does not manage") {
		t.Errorf("a node that is not the manager: %v", err)
	}
	_, err = a.Command(ctx, "certificate", "-name", ips["a"], "-name", ips["b"], "-accept-terms", "-directory", p.Directory, "-ca-file", p.CA)
	must(t, err)

	var serials [2]string
	for i, n := range s.Nodes {
		must(t, s.until(ctx, "NTS-KE of "+n.Name+" has the certificate", func() error {
			c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", n.KE), &tls.Config{RootCAs: p.Roots(t), ServerName: ips[n.Name], NextProtos: []string{"ntske/1"}, MinVersion: tls.VersionTLS13})
			if err != nil {
				return err
			}
			serials[i] = c.ConnectionState().PeerCertificates[0].SerialNumber.String()
			return c.Close()
		}))
	}
	if serials[0] != serials[1] || p.Issued() != 1 {
		t.Errorf("certificates %q, %d issued", serials, p.Issued())
	}
	out, err := b.Command(ctx, "status")
	must(t, err)
	if text := string(out); strings.Count(text, "in place\n") != 2 || !strings.Contains(text, "number 1, until ") {
		t.Errorf("status:\n%s", text)
	}
	must(t, s.until(ctx, "the metrics have it", func() error {
		code, body, err := b.Get(ctx, "/metrics")
		if err == nil && (code != http.StatusOK || !strings.Contains(string(body), "noonmark_fleet_certificate_generation 1\n") || !strings.Contains(string(body), "noonmark_fleet_certificate_waits 0\n")) {
			err = errors.New(string(body))
		}
		return err
	}))
}
