package main

import (
	"encoding/json"
	"path/filepath"
	"testing"
	"time"

	"noonmark/fleet/certs"
	"noonmark/fleet/store"
	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

// TestAnOperatorSetsTheCertificate: with the rights of the manager; a node shows its part, and
// may not set it.
func TestAnOperatorSetsTheCertificate(t *testing.T) {
	t.Parallel()
	x := newConfigured(t)
	none := proctest.Write(t, filepath.Join(t.TempDir(), "none.pem"), "none")

	x.want(exitcode.Usage, []string{"want either -name NAME or -off"}, "certificate")
	x.want(exitcode.Usage, []string{"want either -name NAME or -off"}, "certificate", "-off", "-name", "a.test")
	x.want(exitcode.Config, []string{"terms of service"}, "certificate", "-name", "a.test")
	x.want(exitcode.Config, []string{"a wildcard needs dns-01"}, "certificate", "-name", "*.a.test", "-accept-terms")
	x.want(exitcode.Config, []string{`"A.test" is neither a domain name in small letters nor an address`}, "certificate", "-name", "A.test", "-accept-terms")
	x.want(exitcode.Config, []string{"no https URL"}, "certificate", "-name", "a.test", "-accept-terms", "-directory", "http://192.0.2.1")
	x.want(exitcode.Config, []string{"no certificate in PEM"}, "certificate", "-name", "a.test", "-accept-terms", "-ca-file", none)
	x.want(exitcode.Unavailable, []string{"-ca-file: "}, "certificate", "-name", "a.test", "-accept-terms", "-ca-file", none+".x")
	x.want(exitcode.DataErr, []string{"the fleet orders no certificate"}, "certificate", "-off")

	x.want(exitcode.OK, []string{"the fleet orders a certificate for a.test, 192.0.2.1 from https://ca.test/dir by http-01"},
		"certificate", "-name", "a.test", "-name", "192.0.2.1", "-accept-terms", "-directory", "https://ca.test/dir")
	of := certs.Of(x.own)
	x.want(exitcode.OK, []string{"certificate for a.test, 192.0.2.1 from https://ca.test/dir by http-01: none yet", "waits for the first one"}, "status")
	must(t, of.Show(t.Context(), "a", certs.Report{Why: "left alone: test", Alone: true}))
	s, err := of.Settings(t.Context())
	must(t, err)
	x.want(exitcode.OK, []string{"left alone: test"}, "status")
	var r struct {
		Certificate struct{ Names []string }
		Nodes       []struct{ Certificate struct{ State string } }
	}
	must(t, json.Unmarshal([]byte(x.want(exitcode.OK, nil, "status", "-json")), &r))
	if len(r.Certificate.Names) != 2 || len(r.Nodes) != 1 || r.Nodes[0].Certificate.State != "left alone: test" {
		t.Errorf("status -json: %+v", r)
	}
	if err := of.Set(t.Context(), *s, false, store.Entry{Time: time.Now(), Node: "a", Action: "test"}); !denied(err) {
		t.Errorf("a node sets the certificate: %v", err)
	}
	x.want(exitcode.OK, []string{"it expires"}, "certificate", "-off")
	x.want(exitcode.OK, []string{"root                 certificate settings a.test, 192.0.2.1 from", "root                 certificate settings off"}, "audit")
}
