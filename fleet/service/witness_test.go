package service

import (
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/health"
	"noonmark/fleet/identity"
	"noonmark/internal/config/ntsserve"
	"noonmark/server/certs"
)

func TestWhereOthersReachTheNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "fleet"}, time.Now())
	must(t, err)
	issue := func(name string, names ...string) string {
		leaf, err := ca.Issue(names, time.Hour, nil, time.Now())
		must(t, err)
		path := filepath.Join(dir, name)
		must(t, os.Mkdir(path, 0o700))
		must(t, leaf.Save(path))
		return filepath.Join(path, certs.ServerCert)
	}
	one, ip, wild := issue("one", "time.example"), issue("ip", "192.0.2.7"), issue("wild", "*.example")
	damaged := filepath.Join(dir, "damaged")
	must(t, os.WriteFile(damaged, []byte("x"), 0o600))
	all := netip.MustParseAddrPort("0.0.0.0:4460")
	for _, c := range []struct {
		name    string
		host    string
		answers Answers
		want    health.Peer
	}{
		{"no NTS-KE", "192.0.2.1", Answers{NTS: all, PEM: one}, health.Peer{}},
		{"no NTS", "192.0.2.1", Answers{KE: all, PEM: one}, health.Peer{}},
		{"no certificate yet", "192.0.2.1", Answers{KE: all, NTS: all, PEM: filepath.Join(dir, "none")}, health.Peer{}},
		{"a damaged certificate", "192.0.2.1", Answers{KE: all, NTS: all, PEM: damaged}, health.Peer{}},
		{"etcd is at loopback", "", Answers{KE: all, NTS: all, PEM: one}, health.Peer{}},

		{"all addresses", "192.0.2.1", Answers{KE: all, NTS: netip.MustParseAddrPort("[::]:123"), PEM: one}, health.Peer{TLS: "time.example", Address: "192.0.2.1:4460", NTP: "192.0.2.1:123"}},
		{"addresses of its own", "b.example", Answers{KE: netip.MustParseAddrPort("[2001:db8::1]:4461"), NTS: netip.MustParseAddrPort("192.0.2.9:123"), PEM: ip},
			health.Peer{TLS: "192.0.2.7", Address: "[2001:db8::1]:4461", NTP: "192.0.2.9:123"}},
		{"a wildcard", "192.0.2.1", Answers{KE: all, NTS: all, PEM: wild}, health.Peer{TLS: "node.example", Address: "192.0.2.1:4460", NTP: "192.0.2.1:4460"}},
		{"ntsserve orders the certificate", "192.0.2.1", Answers{KE: all, NTS: all, Name: "x.example"}, health.Peer{TLS: "x.example", Address: "192.0.2.1:4460", NTP: "192.0.2.1:4460"}},
	} {
		w := newWitnessTask(&Service{
			cfg:  Config{Server: &Server{Answers: c.answers}, Witness: &Witness{Host: c.host}},
			node: identity.Node{Endpoints: []string{"https://etcd.example:2379", "://", "https://127.0.0.1:2379"}},
		})
		if got := w.reached(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestASmearedEndpointIsNotCompared(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ntsserve.toml")
	must(t, os.WriteFile(path, []byte(`[[endpoint]]
address = "127.0.0.1:1123"
smear = true
[[endpoint]]
address = "127.0.0.1:2123"
nts = "off"
[[endpoint]]
address = "192.0.2.1:123"
[ke]
certificate = "/nowhere/c.pem"
key = "/nowhere/k.pem"
`), 0o600))
	s, err := ntsserve.Load(path)
	must(t, err)
	want := Answers{
		KE: ntsserve.DefaultKE(), NTS: netip.MustParseAddrPort("192.0.2.1:123"), Plain: netip.MustParseAddrPort("127.0.0.1:2123"), PEM: "/nowhere/c.pem",
	}
	if got := answers(s); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func TestDamagedAuthoritiesAreRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.pem")
	if _, err := ReadCAs(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	must(t, os.WriteFile(path, []byte("x"), 0o600))
	if _, err := ReadCAs(path); !errors.Is(err, errNoCertificate) {
		t.Errorf("no certificate: %v", err)
	}
}

// TestTheTaskSaysWhyTheNodeIsDrained: in the state of the service, and once in the log.
func TestTheTaskSaysWhyTheNodeIsDrained(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	w := newWitnessTask(&Service{cfg: Config{Log: slog.New(slog.NewTextHandler(&out, nil))}})
	if err := w.Waiting(); err != nil {
		t.Errorf("before the first round: %v", err)
	}
	refused := health.Trusted{Refused: health.ErrMinority}
	deviant := health.Trusted{Deviant: "deviates: 1s fast"}
	for _, c := range []struct {
		r    health.Trusted
		want string
	}{{refused, health.ErrMinority.Error()}, {deviant, "deviates: 1s fast"}, {deviant, "deviates: 1s fast"}, {health.Trusted{}, ""}} {
		w.observe(c.r, nil)
		w.observe(health.Trusted{}, errors.New("etcd is away")) // it changes nothing
		if err := w.Waiting(); (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	for _, line := range []string{"it is not drained", "this node is drained", "that of the others again", "is not doubted any more"} {
		if n := strings.Count(out.String(), line); n != 1 {
			t.Errorf("%d lines %q, want one:\n%s", n, line, &out)
		}
	}
}
