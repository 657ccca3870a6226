package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/internal/durable"
	"noonmark/internal/proctest"
	"noonmark/server"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// plainRequest is a request without NTS.
func plainRequest() []byte {
	b := make([]byte, ntp.HeaderLen)
	b[0], b[47] = 0x23, 9
	return b
}

// taskStatus is what a service publishes of one of its tasks.
func taskStatus(d *service, name string) daemon.Status {
	for _, x := range d.states.List() {
		if x.Task == name {
			return x
		}
	}
	return daemon.Status{}
}

// untilServed waits until a client gets cookies at a port of NTS-KE.
func untilServed(t *testing.T, d *service, port int, pool *x509.CertPool) {
	t.Helper()
	proctest.UntilState(t, "the cookie keys and NTS-KE serve", func() (bool, string) {
		keys, ke := taskStatus(d, "cookie keys"), taskStatus(d, "nts-ke")
		return keys.State == "serving" && ke.State == "serving", fmt.Sprintf("%+v\n%+v", keys, ke)
	})
	sess, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: port, RootCAs: pool})
	if err != nil || len(sess.Cookies) != 8 {
		t.Errorf("exchange: %v, %v", sess, err)
	}
}

// Time is served whatever is wrong with the file of the cookie keys. The file is not
// touched, nobody listens for NTS-KE, and NTS is served without a restart once the file
// is good.
func TestTimeIsServedWithoutCookieKeys(t *testing.T) {
	t.Parallel()
	good, err := nts.FormatKeyFile([]nts.RootSecret{{Since: time.Now().Add(-time.Hour), Secret: [32]byte{1}}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(p string) error { return os.WriteFile(p, good, 0o600) }
	for _, c := range []struct {
		name          string
		spoil, repair func(path string) error
		why           []string
	}{
		{"others may read it", func(p string) error { return errors.Join(write(p), os.Chmod(p, 0o644)) }, func(p string) error { return os.Chmod(p, 0o600) },
			[]string{"mode 0644", "chmod 600"}},
		{"damaged", func(p string) error { return os.WriteFile(p, good[:30], 0o600) }, write, []string{"is not usable: JSON", "restore it"}},
		{"named pipe", func(p string) error { return syscall.Mkfifo(p, 0o600) }, func(p string) error { return errors.Join(os.Remove(p), write(p)) },
			[]string{"a named pipe", "delete it"}},
		{"no folder", func(p string) error { return os.Remove(filepath.Dir(p)) }, func(p string) error { return os.Mkdir(filepath.Dir(p), 0o700) },
			[]string{"no such file", "make that"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cert, key, keys := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "state", "keys")
			if err := errors.Join(os.Mkdir(filepath.Dir(keys), 0o700), c.spoil(keys)); err != nil {
				t.Fatal(err)
			}
			before := durable.FingerprintOf(keys)
			pool := pemPair(t, cert, key, 1)
			port := proctest.FreePorts(t, 1)[0]
			d, at := started(t, proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf(
				"[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:%d\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n", filepath.Join(dir, "status"), endpoint, port, cert, key, keys)))
			if at != nil {
				t.Error("NTS-KE listens without cookie keys")
			}
			proctest.UntilState(t, "cookie keys and NTS-KE wait", func() (bool, string) {
				keys, ke := taskStatus(d, "cookie keys"), taskStatus(d, "nts-ke")
				return keys.State == "waiting" && ke.State == "waiting" && !keys.Next.IsZero() && !ke.Next.IsZero(), fmt.Sprintf("%+v\n%+v", keys, ke)
			})
			for _, want := range append(c.why, "keys.file: ") {
				if got := taskStatus(d, "cookie keys").Why; !strings.Contains(got, want) {
					t.Errorf("cookie keys wait for %q, want %q", got, want)
				}
			}
			if got := taskStatus(d, "nts-ke").Why; !strings.Contains(got, "no cookies can be made: ") {
				t.Errorf("nts-ke waits for %q", got)
			}
			if c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("connection to NTS-KE: %v, %v", c, err)
			}
			if b := ask(t, d, plainRequest()); len(b) != ntp.HeaderLen {
				t.Errorf("answer %x", b)
			}
			cookie := append(plainRequest(), make([]byte, 104)...)
			cookie[48], cookie[49], cookie[51] = byte(ntp.ExtCookie>>8), byte(ntp.ExtCookie&0xff), 104
			if _, err := connected(t, d).Write(cookie); err != nil {
				t.Fatal(err)
			}
			proctest.Until(t, "the request with NTS is counted", func() bool { return d.ntp.Stats().Endpoints[0].Dropped[server.NTSOff.String()] == 1 })
			if durable.FingerprintOf(keys) != before {
				t.Error("the file was changed")
			}
			if err := c.repair(keys); err != nil {
				t.Fatal(err)
			}
			untilServed(t, d, port, pool)
		})
	}
}

// A configuration that was good does not end the server later: not by a reload after it
// was broken, and not at a restart after the files that it names have gone bad.
func TestConfigurationThatWasGoodDoesNotEndTheServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key, keys, macs := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(dir, "keys"), filepath.Join(dir, "macs")
	acme := filepath.Join(dir, "acme")
	pemPair(t, cert, key, 1)
	proctest.Write(t, macs, "1 SHA256 HEX:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n")
	conf := fmt.Sprintf("[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:0\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n[mac]\nkeys_file = %q\n"+
		"[acme]\ndirectory = \"https://127.0.0.1:1/dir\"\nnames = [\"a.test\"]\naccept_terms = true\nhttp = \"127.0.0.1:0\"\nstate_dir = %q\n",
		filepath.Join(dir, "status"), endpoint, cert, key, keys, macs, acme)
	path := proctest.Write(t, filepath.Join(dir, "t.toml"), conf)
	begin := func() (*proctest.Process, string) {
		p := proctest.StartCmd(t, proctest.Self(t, "-config", path))
		return p, p.WaitFor(t, "msg=ready")
	}
	end := func(p *proctest.Process) {
		t.Helper()
		if err := p.Stop(); err != nil {
			t.Errorf("ends with %v", err)
		}
	}
	p, _ := begin()
	proctest.Write(t, path, conf+"nonsense = 1\n")
	p.Signal(t, syscall.SIGHUP)
	p.WaitFor(t, "reload failed")
	proctest.Write(t, path, conf)
	p.Signal(t, syscall.SIGHUP)
	p.WaitFor(t, "msg=reloaded")
	end(p)

	if err := errors.Join(os.Remove(cert), os.Remove(key), os.Remove(macs), os.Chmod(keys, 0o644), os.Chmod(acme, 0o777)); err != nil {
		t.Fatal(err)
	}
	p, out := begin()
	for _, want := range []string{`serving="ntp, `, "symmetric keys not loaded", "keys.file: ", "certificate refused"} {
		if !strings.Contains(strings.ReplaceAll(out, "tasks=", "serving="), want) {
			t.Errorf("it does not log %q", want)
		}
	}
	p.WaitFor(t, "acme order failed")
	end(p)
}
