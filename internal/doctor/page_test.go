package doctor

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/daemon"
	"noonmark/server/certs"
)

// daemonReport is what a daemon writes of its tasks.
func daemonReport(pid int, tasks ...daemon.Status) (string, error) {
	b, err := json.Marshal(daemon.Report{PID: pid, Tasks: tasks})
	return string(b), err
}

// tcp makes sockets that listen, as /proc/net/tcp shows them.
func (m *machine) tcp(port int, inode string) {
	m.t.Helper()
	m.file("proc/net/tcp", "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"+
		fmt.Sprintf("   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 %s 1\n", port, inode))
}

// The page's own certificate and port are examined where the page is set up.
func TestPageIsExamined(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	dir := t.TempDir()
	issue := func(names []string, life time.Duration) {
		t.Helper()
		at := m.Now()
		ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, at)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := ca.Issue(names, life, nil, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, old := range []string{certs.ServerCert, certs.ServerKey} {
			_ = os.Remove(filepath.Join(dir, old)) // the first time there are none
		}
		if err := leaf.Save(dir); err != nil {
			t.Fatal(err)
		}
	}
	conf := m.path("etc/noonmark/refclockweb.toml")
	o := Options{Refclockd: m.config(ttyS9), Ntsserve: m.path("none"), Refclockweb: conf}
	found := func() (ids []string) {
		t.Helper()
		for _, f := range Findings(m.Examine(t.Context(), o)) {
			if f.Check == "certificate" || f.Check == "port" || f.Check == "config" && f.ID != kinds[configOK].ID && f.ID != kinds[configMissing].ID && f.ID != kinds[configWarning].ID {
				ids = append(ids, f.ID)
			}
		}
		return ids
	}
	wantIDs := func(name string, want ...kind) {
		t.Helper()
		ids := found()
		if len(ids) != len(want) {
			t.Errorf("%s: %q", name, ids)
		}
		has(t, ids, want...)
	}
	wantIDs("no page")
	o.RefclockwebNamed = true
	wantIDs("a file that is missing", configAbsent)
	o.RefclockwebNamed = false
	m.file("etc/noonmark/refclockweb.toml", "lisen = 1\n")
	wantIDs("a wrong file", configWrong)
	m.file("etc/noonmark/refclockweb.toml", "listen = \"127.0.0.1:9125\"\n")
	wantIDs("nobody listens")
	m.tcp(9125, "4711")
	m.process(31, "python3", "socket:[4711]")
	wantIDs("another program has the port", portTaken)
	m.tcp(9125, "4712")
	m.process(32, "refclockweb", "socket:[4712]")
	wantIDs("it listens", portOurs)
	m.tcp(9125, "4713")
	wantIDs("a program that cannot be seen", portHidden)
	m.tcp(9126, "4713")

	m.file("etc/noonmark/refclockweb.toml", fmt.Sprintf("names = [\"time.lan\"]\n[[certificate]]\nfile = %q\nkey = %q\n", filepath.Join(dir, certs.ServerCert), filepath.Join(dir, certs.ServerKey)))
	wantIDs("no certificate", certMissing)
	const day = 24 * time.Hour
	issue([]string{"time.lan", "127.0.0.1"}, 90*day)
	wantIDs("a certificate", certOK, certNames, secretOK)
	m.Users = func(string) (Account, bool) { return Account{Name: "refclockweb", UID: 1 << 20}, true }
	wantIDs("a key of another user", certOK, certNames, secretOK, certUnreadable)
	m.Users = nil
	issue([]string{"other.example"}, 90*day)
	wantIDs("a certificate of another name", certOK, certOtherName, secretOK)
	now := m.Now()
	m.Now = func() time.Time { return now.Add(80 * day) }
	wantIDs("it ends soon", certExpiring, certOtherName, secretOK)
	m.Now = func() time.Time { return now.Add(91 * day) }
	wantIDs("it has ended", certExpired, certOtherName, secretOK)
}
