package service

import (
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
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
	open := func(dir identity.Dir) error {
		s, err := New(Config{Dir: dir, Server: &Server{KeyFile: dir.Path("keys"), Keep: 1, Rotate: time.Hour}})
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := open(whole(t)); err != nil {
		t.Fatal(err)
	}
	// Whether the node manages the fleet is a question to the disc as well. A member of a fleet
	// must not go on without the part that admits nodes.
	unanswered := whole(t)
	must(t, os.Mkdir(unanswered.ManagerDir(), 0o700))
	key := filepath.Join(unanswered.ManagerDir(), certs.AuthorityKey)
	must(t, os.Symlink(key, key)) // ELOOP
	for name, err := range map[string]error{
		"the agent": open(unanswered), "Authority": second(unanswered.Authority()), "AdminTLS": second(unanswered.AdminTLS()), "Copied": second(unanswered.Copied()),
	} {
		if !errors.Is(err, syscall.ELOOP) || errors.Is(err, identity.ErrNoManager) || exitcode.Of(err) == exitcode.Config {
			t.Errorf("%s, where the disc does not say whether there is an authority: exit code %d: %v", name, exitcode.Of(err), err)
		}
	}
	must(t, os.Remove(unanswered.Path("node.json")))
	if _, err := unanswered.Load(); !errors.Is(err, syscall.ELOOP) || errors.Is(err, identity.ErrNotJoined) {
		t.Errorf("no membership, where the disc does not say whether there is an authority: %v", err)
	}
	for _, name := range []string{"node.json", "ca.pem", "node.pem", "node.key", "seal.key"} {
		dir := whole(t)
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

// whole returns the folder of a node with all that belongs to a membership.
func whole(t *testing.T) identity.Dir {
	t.Helper()
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

func second[T any](_ T, err error) error { return err }

// The listeners of the manager and of etcd have the remedies of the other ones.
func TestListenersOfTheMembershipNameTheRemedy(t *testing.T) {
	t.Parallel()
	dir := whole(t)
	a, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, time.Now())
	must(t, err)
	must(t, a.Save(dir.ManagerDir()))
	admin, err := a.NewNode(identity.Admin, nil, 0, time.Now())
	must(t, err)
	must(t, admin.Save(dir.ManagerDir()))
	used, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer used.Close()
	for address, want := range map[string]string{
		used.Addr().String(): "another program uses the port, see ss -ltnp 'sport = :" + strconv.Itoa(used.Addr().(*net.TCPAddr).Port) + "'",
		"192.0.2.1:4463":     "no interface has the address",
	} {
		s := &Service{cfg: Config{Dir: dir}, node: identity.Node{Fleet: "f", Name: "a", Endpoints: []string{"https://127.0.0.1:1"}, Manager: address}}
		if err := s.admit(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
		s.cfg.Log = slog.New(slog.DiscardHandler)
		s.node.Member = &identity.Member{Client: "https://" + address, Peer: "https://" + address}
		if err := (&memberTask{Service: s}).Run(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("etcd at %s: %v, want %q", address, err, want)
		}
	}
	denied := &net.OpError{Op: "listen", Addr: &net.TCPAddr{Port: 853}, Err: os.NewSyscallError("bind", syscall.EPERM)} // of SocketBindDeny=, see network.ExplainBind
	if err := remedied(denied); !errors.Is(err, syscall.EPERM) || !strings.Contains(err.Error(), "SocketBindDeny=") {
		t.Errorf("a port that the unit forbids: %v", err)
	}
}
