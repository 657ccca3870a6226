package certs_test

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/certs"
	"noonmark/server/certs/certstest"
	"noonmark/server/ntske"
)

// authority makes an authority in a directory.
func authority(t *testing.T, dir string, cfg certs.AuthorityConfig) *certs.Authority {
	t.Helper()
	cfg.Name = "test"
	a, err := certs.NewAuthority(cfg, time.Now())
	if err == nil {
		err = a.Save(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// client returns the client of a name.
func client(t *testing.T, name string) *certs.Client {
	t.Helper()
	all := certs.Clients()
	for i := range all {
		if all[i].Name == name {
			return &all[i]
		}
	}
	t.Fatalf("no client %s", name)
	return nil
}

// find returns the installed versions of a client's program.
func find(t *testing.T, name string) []string {
	t.Helper()
	proctest.Require(t, name)
	return proctest.Find(name)
}

func TestClientAsksByANameItUnderstands(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		client string
		names  []string
		want   string
	}{
		{"ntpd-rs", []string{"fd00::1"}, ""},
		{"NTPsec", nil, ""},
		{"NTPsec", []string{"fd00::1", "192.0.2.1"}, "192.0.2.1"},
		{"chrony", []string{"fd00::1", "192.0.2.1"}, "fd00::1"},
		{"chrony", []string{"*.lan"}, "time.lan"},
	} {
		if got, ok := client(t, x.client).Host(x.names); got != x.want || ok != (x.want != "") {
			t.Errorf("%s of %q: %q %v, want %q", x.client, x.names, got, ok, x.want)
		}
	}
}

func TestIssuedListHasTheNewestOfEachDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if all, err := certs.ReadIssued(dir); err != nil || all != nil {
		t.Errorf("nothing was issued: %v, %v", all, err)
	}
	a := authority(t, filepath.Join(dir, "ca"), certs.AuthorityConfig{})
	for _, x := range []struct{ name, out string }{{"a.lan", "a"}, {"b.lan", "b"}, {"c.lan", "a"}} {
		l, err := a.Issue([]string{x.name, "fd00::1"}, certs.ServerLife, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := certs.RecordIssued(dir, l, filepath.Join(dir, x.out)); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(dir, certs.IssuedFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"serial":"1","na`); err != nil { // a crash cut it off
		t.Fatal(err)
	}
	f.Close()
	all, err := certs.ReadIssued(dir)
	if err != nil || len(all) != 2 || !slices.Equal(all[0].Names, []string{"c.lan", "fd00::1"}) || all[1].Out != filepath.Join(dir, "b") {
		t.Errorf("%+v, %v", all, err)
	}
}

// The programs themselves accept the lines we print for them.
func TestClientsAcceptTheirLines(t *testing.T) {
	t.Parallel()
	hosts := []string{"time.lan", "192.0.2.1", "fd00::1"}
	ca := filepath.Join(t.TempDir(), "ca")
	authority(t, ca, certs.AuthorityConfig{})
	lines := func(t *testing.T, name, host string) string {
		t.Helper()
		return client(t, name).Lines(host, filepath.Join(ca, certs.AuthorityCert))
	}
	check := func(t *testing.T, text string, prog string, args ...string) error {
		t.Helper()
		path := filepath.Join(t.TempDir(), "conf")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(prog, append(args, path)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s%s", err, text, out)
		}
		return nil
	}
	t.Run("chrony", func(t *testing.T) {
		for _, prog := range find(t, "chronyd") {
			if check(t, "server time.lan nts certset\n", prog, "-p", "-f") == nil {
				t.Errorf("%s accepts anything", prog)
			}
			for _, h := range hosts {
				if err := check(t, lines(t, "chrony", h), prog, "-p", "-f"); err != nil {
					t.Errorf("%s: %v", prog, err)
				}
			}
		}
	})
	t.Run("ntpd-rs", func(t *testing.T) {
		const one = "[synchronization]\nminimum-agreeing-sources = 1\n"
		for _, prog := range find(t, "ntp-ctl") {
			if check(t, "[[source]]\nmode = \"nts\"\naddress = \"time.lan\"\nauthority = \"x\"\n"+one, prog, "validate", "-c") == nil {
				t.Errorf("%s accepts anything", prog)
			}
			for _, h := range hosts[:2] { // it cannot ask an IPv6 address
				if err := check(t, lines(t, "ntpd-rs", h)+one, prog, "validate", "-c"); err != nil {
					t.Errorf("%s: %v", prog, err)
				}
			}
		}
	})
}

// chronyd itself (GnuTLS) verifies the certificate of an authority with name
// constraints: its key exchange succeeds, and fails where the authority is another
// one.
func TestChronyTrustsAnAuthorityWithConstraints(t *testing.T) {
	t.Parallel()
	progs := find(t, "chronyd")
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	ca, srv, other := filepath.Join(dir, "ca"), filepath.Join(dir, "srv"), filepath.Join(dir, "other")
	a := authority(t, ca, certs.AuthorityConfig{PermitNets: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	authority(t, other, certs.AuthorityConfig{})
	leaf, err := a.Issue([]string{"127.0.0.1"}, certs.ServerLife, nil, time.Now())
	if err == nil {
		err = leaf.Save(srv)
	}
	if err != nil {
		t.Fatal(err)
	}
	src, err := certs.New(certs.Config{Pairs: []certs.Pair{{Cert: filepath.Join(srv, certs.ServerCert), Key: filepath.Join(srv, certs.ServerKey)}}})
	if err != nil {
		t.Fatal(err)
	}
	type end struct {
		r   ntske.Reason
		err error
	}
	for _, prog := range progs {
		for _, c := range []struct {
			ca   string
			want ntske.Reason
		}{{other, ntske.HandshakeFailed}, {ca, ntske.Served}} {
			ends := make(chan end, 8)
			at := certstest.ServeKE(t, src.Get, func(r ntske.Reason, err error) {
				select {
				case ends <- end{r, err}:
				default:
				}
			})
			conf := client(t, "chrony").Lines("127.0.0.1", filepath.Join(c.ca, certs.AuthorityCert))
			conf = strings.Replace(conf, "certset 1", fmt.Sprintf("certset 1 ntsport %d", at.Port), 1) +
				fmt.Sprintf("port 0\ncmdport 0\nbindcmdaddress /\npidfile %s\n", filepath.Join(dir, "pid"))
			path := filepath.Join(dir, "chrony.conf")
			if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			// -Q only asks, it never touches the clock; -U runs without root.
			cmd := exec.CommandContext(ctx, prog, "-Q", "-U", "-u", me.Username, "-t", "15", "-f", path)
			var said bytes.Buffer
			cmd.Stdout, cmd.Stderr = &said, &said
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			exited := make(chan struct{})
			go func() { cmd.Wait(); close(exited) }()
			select {
			case e := <-ends:
				cancel()
				<-exited
				if e.r != c.want {
					t.Errorf("%s: %v (%v), want %v\n%s", prog, e.r, e.err, c.want, &said)
				}
			case <-exited:
				t.Errorf("%s ends without asking:\n%s", prog, &said)
			}
			cancel()
		}
	}
}
