package service

import (
	"encoding/pem"
	"os"
	"testing"
	"time"

	"noonmark/fleet/identity"
	"noonmark/internal/exitcode"
	"noonmark/server/certs"
)

// A membership that is missing or damaged ends the agent for good, until somebody repairs it.
// One that the disc does not give does not: systemd starts it again.
func TestAMembershipThatCannotBeReadIsReadAgain(t *testing.T) {
	t.Parallel()
	whole := func() identity.Dir {
		dir := identity.Dir(t.TempDir())
		a, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, time.Now())
		must(t, err)
		must(t, dir.SaveCA(a.CertPEM()))
		key, err := dir.TLSKey()
		must(t, err)
		cert, err := a.IssueNode("a", []string{"127.0.0.1"}, 0, key.Public(), time.Now())
		must(t, err)
		must(t, dir.SaveCert(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw})))
		_, err = dir.SealKey()
		must(t, err)
		must(t, dir.Save(identity.Node{Fleet: "f", Name: "a", Endpoints: []string{"https://127.0.0.1:1"}}))
		return dir
	}
	open := func(dir identity.Dir) error {
		s, err := New(Config{Dir: dir, Server: &Server{KeyFile: dir.Path("keys"), Keep: 1, Rotate: time.Hour}})
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := open(whole()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"node.json", "ca.pem", "node.pem", "node.key", "seal.key"} {
		dir := whole()
		must(t, os.Remove(dir.Path(name)))
		must(t, os.Symlink("/proc/self/mem", dir.Path(name))) // the system refuses to read it: EIO
		if err := open(dir); exitcode.Of(err) != exitcode.Unavailable {
			t.Errorf("%s cannot be read: exit code %d, want %d: %v", name, exitcode.Of(err), exitcode.Unavailable, err)
		}
		must(t, os.Remove(dir.Path(name)))
		must(t, os.WriteFile(dir.Path(name), []byte("damaged"), 0o600))
		if err := open(dir); exitcode.Of(err) != exitcode.Config {
			t.Errorf("%s is damaged: exit code %d, want %d: %v", name, exitcode.Of(err), exitcode.Config, err)
		}
	}
}
