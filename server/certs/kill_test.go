package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

// envKill is set for a copy of the test process that works until it is killed. Its
// value is the argument of the work.
const envKill = "NOONMARK_TEST_KILL"

// killed runs copies of this process, each until it has printed a random number of
// lines, and kills them. After each kill, check gets the last line.
func killed(t *testing.T, test, arg string, rounds, most int, check func(round int, last string)) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for i := range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
		cmd.Env = append(os.Environ(), envKill+"="+arg)
		last := proctest.KillAfterLines(t, cmd, 1+rnd.IntN(most))
		check(i, last)
		if t.Failed() {
			t.Fatalf("in round %d; the last line of the process is %q", i, last)
		}
	}
}

// authorityFor opens or creates an authority that both processes use.
func authorityFor(dir string) (*Authority, error) {
	a, err := OpenAuthority(dir)
	if errors.Is(err, os.ErrNotExist) {
		if a, err = NewAuthority(AuthorityConfig{Name: "kill"}, time.Now()); err == nil {
			err = a.Save(dir)
		}
	}
	return a, err
}

// SIGKILL at any moment leaves complete files: of the account, of an ordered
// certificate, and of one that is renewed with a new key. What was reported as
// saved is there.
func TestFilesSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	if dir := os.Getenv(envKill); dir != "" {
		if err := storeRepeatedly(dir); err != nil {
			fmt.Println("error:", err)
		}
		return
	}
	dir := t.TempDir()
	ca, err := authorityFor(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	l, err := ca.Issue([]string{"a.test"}, 0, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Save(filepath.Join(dir, "leaf")); err != nil {
		t.Fatal(err)
	}
	account, serials := "", map[string]bool{}
	killed(t, "TestFilesSurviveSIGKILL", dir, 10, 6, func(round int, last string) {
		if strings.HasPrefix(last, "error") {
			t.Error(last)
			return
		}
		is, err := killIssuer(dir)
		if err != nil {
			t.Fatal(err)
		}
		key, err := is.accountKey()
		if err != nil {
			t.Fatalf("account: %v", err)
		}
		if f := fingerprint(key.Public()); account == "" {
			account = f
		} else if f != account {
			t.Error("the account key was lost")
		}
		said := strings.Fields(last) // account, serial
		if len(said) == 2 && said[0] != account {
			t.Errorf("another account than it printed: %s", account)
		}
		if c := is.stored(); c == nil {
			if len(said) == 2 {
				t.Error("no certificate, although one was stored")
			}
		} else {
			serials[c.Leaf.SerialNumber.String()] = true
		}
		if left, err := OpenLeaf(filepath.Join(dir, "leaf")); err != nil {
			t.Errorf("renewed certificate: %v", err)
		} else if _, err := ca.Renew(filepath.Join(dir, "leaf"), 0, false, time.Now()); err != nil {
			t.Errorf("renewed certificate, with key %v: %v", left.key != nil, err)
		}
		if again, err := OpenLeaf(filepath.Join(dir, "leaf")); err != nil || again.key == nil {
			t.Errorf("an interrupted renewal is not completed: %v", err)
		}
		if _, err := OpenAuthority(filepath.Join(dir, "ca")); err != nil {
			t.Error(err)
		}
	})
	if len(serials) < 3 {
		t.Errorf("the killed processes stored %d certificates", len(serials))
	}
}

func killIssuer(dir string) (*issuer, error) {
	return newIssuer(ACME{Directory: "https://ca.test/dir", Names: []string{"a.test"}, AcceptTerms: true, HTTP: "127.0.0.1:0",
		Dir: filepath.Join(dir, "acme")}, time.Now)
}

func fingerprint(pub any) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%x", sha256.Sum256(der))
}

// storeRepeatedly stores one certificate after the other.
func storeRepeatedly(dir string) error {
	ca, err := authorityFor(filepath.Join(dir, "ca"))
	if err != nil {
		return err
	}
	is, err := killIssuer(dir)
	if err != nil {
		return err
	}
	for {
		account, err := is.accountKey()
		if err != nil {
			return err
		}
		l, err := ca.Issue([]string{"a.test"}, 0, nil, time.Now())
		if err != nil {
			return err
		}
		if err := is.store([][]byte{l.Cert.Raw}, l.key); err != nil {
			return err
		}
		fmt.Println(fingerprint(account.Public()), l.Cert.SerialNumber)
		if _, err := ca.Renew(filepath.Join(dir, "leaf"), 0, true, time.Now()); err != nil {
			return err
		}
	}
}

// The interruption is between the two files of a renewal with a new key.
func TestInterruptedRenewalIsCompleted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, err := authorityFor(filepath.Join(dir, "ca"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, name := range []string{"one", "two"} {
		l, err := ca.Issue([]string{name + ".test"}, 0, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Save(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	one := filepath.Join(dir, "one")
	if err := os.Rename(filepath.Join(dir, "two", ServerKey), filepath.Join(one, ServerKey)); err != nil {
		t.Fatal(err)
	}
	l, err := OpenLeaf(one)
	if err != nil || l.RenewAt().After(now) {
		t.Fatalf("it should be renewed at once: %v", err)
	}
	if l, err = ca.Renew(one, 0, false, now); err != nil || fmt.Sprint(namesOf(l.Cert)) != "[one.test]" {
		t.Fatal(err)
	}
	if l, err := OpenLeaf(one); err != nil || l.key == nil || !l.RenewAt().After(now) {
		t.Errorf("after the renewal: %v", err)
	}
}

// SIGKILL in the middle of orders from a real ACME server. The next process
// continues with the same account.
func TestOrdersSurviveSIGKILL(t *testing.T) {
	t.Parallel()
	if conf := os.Getenv(envKill); conf != "" {
		var a ACME
		if err := json.Unmarshal([]byte(conf), &a); err != nil {
			fmt.Println("error:", err)
			return
		}
		for ahead := time.Duration(0); ; ahead += 89 * 24 * time.Hour { // each certificate is due for renewal at once
			s, err := New(Config{ACME: &a, now: func() time.Time { return time.Now().Add(ahead % (89 * 24 * time.Hour * 2)) },
				Event: func(e Event) { fmt.Println(e.Kind, e.Err) }})
			if err != nil {
				fmt.Println("error:", err)
				return
			}
			fmt.Println("begins")
			s.stepACME(t.Context())
		}
	}
	p := certstest.Start(t)
	ip := p.Host("kill.test")
	if l, err := net.Listen("tcp", ip+":0"); err != nil {
		t.Skipf("%s is not a local address here: %v", ip, err)
	} else {
		l.Close()
	}
	a := ACME{Directory: p.Directory, CAFile: p.CA, Names: []string{"kill.test"}, AcceptTerms: true, HTTP: fmt.Sprintf("%s:%d", ip, p.HTTPPort),
		Dir: filepath.Join(t.TempDir(), "acme")}
	conf, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	account := ""
	killed(t, "TestOrdersSurviveSIGKILL", string(conf), 8, 4, func(round int, last string) {
		is, err := newIssuer(a, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		key, err := is.accountKey()
		if err != nil {
			t.Fatal(err)
		}
		if f := fingerprint(key.Public()); account != "" && f != account {
			t.Error("the account key was lost")
		} else {
			account = f
		}
		if b, err := os.ReadFile(is.certPath()); err == nil && is.stored() == nil {
			t.Errorf("a certificate of %d octets that cannot be used", len(b))
		}
	})
	var ev events
	s, err := New(Config{ACME: &a, Event: ev.add})
	if err != nil {
		t.Fatal(err)
	}
	s.stepACME(t.Context())
	if visit(t, s, p.Roots(t), "kill.test") == nil {
		t.Errorf("no certificate in the end; events %v", ev.list)
	}
}
