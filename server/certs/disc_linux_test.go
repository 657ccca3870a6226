package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/certs/certstest"
)

// While the disc is full, what a real ACME server issues is in use from memory, no other
// certificate is ordered in its place, and it is renewed. Account and certificate are
// written once there is room.
func TestIssuedCertificateIsUsedWhileTheDiscIsFull(t *testing.T) {
	disc := proctest.NewSmallDisc(t, 64<<10)
	p := certstest.Start(t)
	pool, name := p.Roots(t), "full.test"
	a := ACME{Directory: p.Directory, CAFile: p.CA, Names: []string{name}, AcceptTerms: true, Profile: "brief",
		HTTP: fmt.Sprintf("%s:%d", p.Host(name), p.HTTPPort), Dir: filepath.Join(disc.Dir, "acme")}
	var ev events
	now := time.Now()
	start := func() *Source {
		s, err := New(Config{ACME: &a, Event: ev.add, now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := start()
	disc.Fill()
	// step lets the time of n looks pass and compares what is reported.
	step := func(what string, n int, want string) {
		t.Helper()
		for range n {
			now = now.Add(DefaultPoll)
			s.stepACME(t.Context())
		}
		for _, e := range ev.list {
			if e.Kind == NotStored && !errors.Is(e.Err, syscall.ENOSPC) {
				t.Errorf("%s: %v, want that the disc is full", what, e.Err)
			}
		}
		if w := strings.Join(ev.take(), ","); w != want {
			t.Fatalf("%s: events %s, want %s", what, w, want)
		}
	}
	const minute = int(time.Minute / DefaultPoll)
	issued := func(want int) {
		t.Helper()
		if n := p.Issued(); n != want {
			t.Fatalf("the server has issued %d certificates, want %d", n, want)
		}
	}

	step("the first order", 1, "acme_registered,loaded,acme_not_stored")
	first := visit(t, s, pool, name)
	if first == nil {
		t.Fatal("the certificate is not used")
	}
	step("three minutes later", 3*minute, "acme_not_stored,acme_not_stored,acme_not_stored")
	issued(1)

	now = first.NotAfter.Add(-first.NotAfter.Sub(first.NotBefore) / 4)
	s.acme.cfg.Profile = "default" // pebble's clock stands still: another short one would be due at once
	step("the renewal", 1, "acme_not_stored,loaded,acme_not_stored")
	second := visit(t, s, pool, name)
	if second == nil || second.Equal(first) {
		t.Fatal("the renewed certificate is not used")
	}
	step("a minute after the renewal", minute, "acme_not_stored")
	issued(2)

	disc.Free()
	step("with room", minute, "acme_stored")
	var files []string
	err := filepath.WalkDir(a.Dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, d.Name())
		}
		return err
	})
	if got := strings.Join(files, " "); err != nil || got != "account.key certificate.pem" {
		t.Errorf("files %s, %v", got, err)
	}
	s = start()
	if c := visit(t, s, pool, name); c == nil || !c.Equal(second) {
		t.Error("after a restart another certificate is served")
	}
	step("after a restart", minute, "loaded")
	issued(2)
}
