package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/server/ntp"
	"noonmark/server/ntske"
)

// With a disc that is full at the first start, time is served, and the cookie keys are
// made when there is room.
func TestFullDiscAtTheFirstStart(t *testing.T) {
	disc := proctest.NewSmallDisc(t, 64<<10)
	dir := t.TempDir()
	cert, key, keys := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem"), filepath.Join(disc.Dir, "keys")
	pool := pemPair(t, cert, key, 1)
	port := proctest.FreePorts(t, 1)[0]
	path := proctest.Write(t, filepath.Join(dir, "t.toml"), fmt.Sprintf(
		"[source]\npath = %q\n%s[ke]\nlisten = \"127.0.0.1:%d\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n", filepath.Join(dir, "status"), endpoint, port, cert, key, keys))
	disc.Fill()
	// The program is started by this thread, because only this one sees the disc.
	var out proctest.Output
	cmd := proctest.Self(t, "-config", path)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil || t.Failed() {
			t.Errorf("ends with %v:\n%s", err, out.String())
		}
	})
	logged := func(text string) {
		t.Helper()
		proctest.UntilState(t, "it logs "+text, func() (bool, string) { return strings.Contains(out.String(), text), out.String() })
	}
	logged("msg=ready")
	for _, want := range []string{"keys.file: ", syscall.ENOSPC.Error(), "no cookies can be made"} {
		logged(want)
	}
	_, addr, _ := strings.Cut(out.String(), "msg=listening endpoint=")
	addr, _, _ = strings.Cut(addr, " ")
	c, err := net.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := make([]byte, 100)
	if _, err := c.Write(plainRequest()); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(b); n != ntp.HeaderLen || err != nil {
		t.Errorf("answer of %d octets, %v", n, err)
	}
	if left, err := os.ReadDir(disc.Dir); err != nil || len(left) != 1 {
		t.Errorf("files that cannot be used stay behind: %v, %v", left, err)
	}
	disc.Free()
	logged("nts-ke process started")
	var sess *ntske.Session
	proctest.UntilState(t, "a client gets cookies", func() (bool, string) {
		sess, err = ntske.Exchange(t.Context(), ntske.ClientConfig{Host: "127.0.0.1", Port: port, RootCAs: pool})
		return err == nil, fmt.Sprint(err)
	})
	if len(sess.Cookies) != 8 {
		t.Errorf("%d cookies", len(sess.Cookies))
	}
	if fi, err := os.Stat(keys); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", fi, err)
	}
}
