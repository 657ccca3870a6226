package certs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

// TestACommandProvesNamesByDNS: a wildcard and its name, which have two records of one
// name, and are removed in the end. A command that fails is reported.
func TestACommandProvesNamesByDNS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	records := filepath.Join(dir, "zone")
	script := proctest.Write(t, filepath.Join(dir, "dns"), `[ -e "$0.broken" ] && { echo "no rights"; exit 1; }
case $1 in
set) echo "$2 $3" >> "$(dirname "$0")/zone" ;;
clear) : > "$(dirname "$0")/zone" ;;
esac
`)
	broken := proctest.Write(t, script+".broken", "")
	p := certstest.Start(t)
	p.Texts(func(name string) (values []string) {
		text, _ := os.ReadFile(records) // there is none before the first record
		for line := range strings.Lines(string(text)) {
			if of, value, _ := strings.Cut(strings.TrimSpace(line), " "); strings.EqualFold(of, name) {
				values = append(values, value)
			}
		}
		return values
	})
	s := newSite(t, startEtcd(t), "test", p, []string{"fleet.test", "*.fleet.test"})
	s.acme.DNS = []string{"/bin/sh", script}
	a := s.join("a", "")
	b := s.join("b", "")
	s.until("the command has failed", func() bool {
		for _, n := range s.nodes {
			if n.last.Server != nil && strings.Contains(n.last.Server.Error(), "no rights") {
				return true
			}
		}
		return false
	})
	must(t, os.Remove(broken))
	s.until("all nodes have the certificate", s.generation(1))
	if leaf := s.leaf(b); !leaf.Equal(s.leaf(a)) || leaf.VerifyHostname("x.fleet.test") != nil || leaf.VerifyHostname("fleet.test") != nil || p.Issued() != 1 {
		t.Errorf("%v, %d issued", leaf.DNSNames, p.Issued())
	}
	if left, err := os.ReadFile(records); err != nil || len(left) > 0 {
		t.Errorf("records are left: %q, %v", left, err)
	}
}
