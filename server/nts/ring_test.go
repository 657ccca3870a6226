package nts

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/nts/aead"
)

func seal(t testing.TB, r *Ring) []byte {
	t.Helper()
	var scratch Scratch
	c, err := r.Load().SealCookie(nil, testSession(aead.AESSIVCMAC256), &scratch)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func opens(r *Ring, cookie []byte) error {
	var s SessionKeys
	var scratch Scratch
	return r.Load().OpenCookie(cookie, &s, &scratch)
}

func TestInvalidRingConfigIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg RingConfig
		ok  bool
	}{
		{RingConfig{Rotate: time.Second}, false},
		{RingConfig{Rotate: -time.Hour}, false},
		{RingConfig{Rotate: time.Hour + time.Millisecond}, false},
		{RingConfig{Keep: -1}, false},
		{RingConfig{Keep: 65}, false},
		{RingConfig{}, true},
		{RingConfig{Rotate: time.Minute, Keep: 1}, true},
	} {
		if _, err := NewRing(c.cfg, t0); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

// Rotation over days: a cookie opens for at least seven days and not for more than
// eight.
func TestCookieLivesSevenToEightDays(t *testing.T) {
	t.Parallel()
	r := testRing(t)
	cookie := seal(t, r)
	for h := 0; h <= 24*9; h++ {
		now := t0.Add(time.Duration(h) * time.Hour)
		r.Rotate(now)
		err := opens(r, cookie)
		switch {
		case h <= 24*7 && err != nil:
			t.Fatalf("after %d hours: %v", h, err)
		case h >= 24*8 && !errors.Is(err, UnknownCookieKey):
			t.Fatalf("after %d hours: %v", h, err)
		}
		if err := opens(r, seal(t, r)); err != nil {
			t.Fatalf("a fresh cookie after %d hours: %v", h, err)
		}
	}
}

func TestRotateFollowsThePeriod(t *testing.T) {
	t.Parallel()
	r := testRing(t)
	next := r.NextRotation(t0)
	if want := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC); !next.Equal(want) {
		t.Fatalf("next rotation %v, want %v", next, want)
	}
	if r.Rotate(next.Add(-time.Second)) {
		t.Error("rotated a second early")
	}
	k := r.Load()
	if !r.Rotate(next) || r.Load() == k || r.Rotate(next) {
		t.Error("did not rotate once, at the period's end")
	}
	if l := r.List(); len(l) != DefaultKeep+1 || !l[0].Sealing || l[1].Sealing || !l[0].Begins.Equal(next) {
		t.Errorf("keys: %+v", l)
	}
	// The old snapshot still works for whoever holds it.
	var s SessionKeys
	var scratch Scratch
	if c, err := k.SealCookie(nil, testSession(aead.AESSIVCMAC256), &scratch); err != nil || k.OpenCookie(c, &s, &scratch) != nil {
		t.Error("an old snapshot died")
	}
}

// The clock goes far astray and comes back.
func TestWrongClockDestroysNoKeys(t *testing.T) {
	t.Parallel()
	r := testRing(t)
	cookie := seal(t, r)
	for _, wrong := range []time.Time{time.Unix(0, 0), time.Unix(-1, 0), time.Unix(-1e9, 0), time.Unix(1<<40, 0)} {
		if !r.Rotate(wrong) {
			t.Errorf("no rotation at %v", wrong)
		}
		if err := opens(r, seal(t, r)); err != nil {
			t.Errorf("at %v: %v", wrong, err)
		}
		if !r.Rotate(t0) {
			t.Error("no rotation back")
		}
		if err := opens(r, cookie); err != nil {
			t.Errorf("after %v: %v", wrong, err)
		}
	}
}

func path(t testing.TB) string { return filepath.Join(t.TempDir(), "keys") }

func open(t testing.TB, p string, now time.Time) *Ring {
	t.Helper()
	r, err := OpenRing(p, RingConfig{}, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// At any time, also with small differences between the clocks.
func TestServersWithOneFileHaveTheSameKeys(t *testing.T) {
	t.Parallel()
	p := path(t)
	a := open(t, p, t0)
	st, err := os.Stat(p)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", st.Mode(), err)
	}
	b := open(t, p, t0.Add(5*24*time.Hour))
	if err := opens(b, seal(t, a)); err != nil {
		t.Errorf("a cookie of five days ago after a restart: %v", err)
	}
	edge := a.NextRotation(t0)
	a.Rotate(edge.Add(-time.Second))
	b.Rotate(edge.Add(time.Second))
	if err := opens(a, seal(t, b)); err != nil {
		t.Errorf("a cookie from a server whose clock is ahead: %v", err)
	}
	if err := opens(b, seal(t, a)); err != nil {
		t.Errorf("a cookie from a server whose clock is behind: %v", err)
	}
	other, err := OpenRing(p, RingConfig{Rotate: time.Hour}, t0)
	if err != nil {
		t.Fatal(err)
	}
	if err := opens(other, seal(t, a)); !errors.Is(err, UnknownCookieKey) {
		t.Errorf("rings with different periods share keys: %v", err)
	}
}

const day = 24 * time.Hour

func TestAnnouncedRootSealsFromItsBeginning(t *testing.T) {
	t.Parallel()
	p := path(t)
	a, b := open(t, p, t0), open(t, p, t0)
	old := seal(t, a)
	if _, err := a.NewRoot(t0.Add(day), t0); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(t0); err != nil {
		t.Fatal(err)
	}
	today := seal(t, a)
	if !bytes.Equal(today[:3], old[:3]) {
		t.Error("a root announced for tomorrow seals today")
	}
	if a.Rotate(t0.Add(day - 13*time.Hour)) {
		t.Error("rotated within the period and before the root begins")
	}
	a.Rotate(t0.Add(day))
	b.Rotate(t0.Add(day))
	fresh := seal(t, a)
	if bytes.Equal(fresh[:3], today[:3]) {
		t.Error("the new root does not seal when it begins")
	}
	for name, c := range map[string][]byte{"old": old, "today's": today, "new": fresh} {
		if err := opens(b, c); err != nil {
			t.Errorf("%s cookie: %v", name, err)
		}
	}
}

func TestRootWithoutValidCookiesIsRemoved(t *testing.T) {
	t.Parallel()
	a := open(t, path(t), t0)
	for _, begins := range []time.Time{t0.Add(day), t0.Add(21 * day)} {
		a.Rotate(begins)
		if _, err := a.NewRoot(begins, begins); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.roots) != 2 {
		t.Errorf("%d roots, want 2", len(a.roots))
	}
}

func TestRevokedCookiesAreRefused(t *testing.T) {
	t.Parallel()
	p := path(t)
	a, b := open(t, p, t0), open(t, p, t0)
	c := seal(t, a)
	later := t0.Add(day)
	if err := a.Revoke(later); err != nil {
		t.Fatal(err)
	}
	if err := opens(a, c); !errors.Is(err, UnknownCookieKey) {
		t.Errorf("a revoked cookie: %v", err)
	}
	if err := b.Reload(later); err != nil {
		t.Fatal(err)
	}
	if err := opens(b, seal(t, a)); err != nil {
		t.Errorf("after the reload: %v", err)
	}
	if _, err := a.NewRoot(later, t0.Add(-time.Hour)); err == nil {
		t.Error("a clock from before the first root replaces it")
	}
}

// Roots that were made in one second replace each other, and so do roots that were
// announced for later. What has sealed stays.
func TestRootsOfTheSameSecondReplaceEachOther(t *testing.T) {
	t.Parallel()
	now := t0.Add(day)
	a := open(t, path(t), t0)
	a.Rotate(now)
	c := seal(t, a)
	for i := range 3 {
		begins, err := a.NewRoot(t0, t0)
		if err != nil || !begins.Equal(t0.Add(time.Second)) {
			t.Fatalf("root %d: begins at %v, %v", i, begins, err)
		}
		if err := opens(a, c); err != nil {
			t.Fatalf("a cookie from before root %d: %v", i, err)
		}
	}
	for _, x := range []struct{ since, now, begins time.Time }{
		{now, t0, now},
		{t0.Add(time.Second), t0.Add(time.Second), t0.Add(2 * time.Second)},
	} {
		if begins, err := a.NewRoot(x.since, x.now); err != nil || !begins.Equal(x.begins) || len(a.roots) != 3 {
			t.Fatalf("begins at %v, want %v; %v, %d roots", begins, x.begins, err, len(a.roots))
		}
	}
	var cookies [][]byte
	for i := range 3 {
		a.Rotate(t0.Add(time.Duration(i) * time.Second))
		cookies = append(cookies, seal(t, a))
	}
	if bytes.Equal(cookies[0][:3], cookies[1][:3]) || bytes.Equal(cookies[1][:3], cookies[2][:3]) {
		t.Error("a new root does not seal when it begins")
	}
	for i, k := range append(cookies, c) {
		if err := opens(a, k); err != nil {
			t.Errorf("cookie %d: %v", i, err)
		}
	}
}

func TestNumberOfRootsIsLimited(t *testing.T) {
	t.Parallel()
	a := open(t, path(t), t0)
	for i := range maxRoots {
		now := t0.Add(time.Duration(i+1) * time.Second)
		if _, err := a.NewRoot(now, now); err != nil {
			if !errors.Is(err, ErrRingFile) || len(a.roots) != maxRoots {
				t.Errorf("with %d roots: %v", len(a.roots), err)
			}
			return
		}
	}
	t.Error("the number of roots is not limited")
}

func TestInvalidKeyFileIsRefused(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Log("running as root: permissions of the directory are not tested")
	}
	h := strings.Repeat("0f", 32)
	file := func(roots string) string { return `{"format":"noonmark-keys-1","roots":[` + roots + `]}` }
	one := `{"since":"2026-01-01T00:00:00Z","secret":"` + h + `"}`
	for _, c := range []struct {
		name, text string
		mode       fs.FileMode
	}{
		{"readable by the group", file(one), 0o640},
		{"readable by all", file(one), 0o604},
		{"empty", "", 0o600},
		{"no JSON", "\x00\x01" + h, 0o600},
		{"cut", file(one)[:100], 0o600},
		{"another format", strings.Replace(file(one), "keys-1", "keys-2", 1), 0o600},
		{"no format", `{"roots":[` + one + `]}`, 0o600},
		{"no roots", file(""), 0o600},
		{"unknown key", `{"format":"noonmark-keys-1","also":1,"roots":[` + one + `]}`, 0o600},
		{"two objects", file(one) + file(one), 0o600},
		{"short secret", file(strings.Replace(one, "0f", "", 1)), 0o600},
		{"long secret", file(strings.Replace(one, "0f", "0f0f", 1)), 0o600},
		{"no hexadecimal", file(strings.Replace(one, "0f", "zz", 1)), 0o600},
		{"zero secret", file(strings.ReplaceAll(one, "0f", "00")), 0o600},
		{"wrong type", file(strings.Replace(one, `"`+h+`"`, "1", 1)), 0o600},
		{"wrong order", file(one + "," + one), 0o600},
		{"too many roots", file(strings.Repeat(one+",", 16) + one), 0o600},
		{"too long", file(one) + strings.Repeat(" ", maxRingFile), 0o600},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := path(t)
			if err := os.WriteFile(p, []byte(c.text), c.mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(p, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenRing(p, RingConfig{}, t0)
			if !errors.Is(err, ErrRingFile) || !strings.Contains(err.Error(), p) {
				t.Fatalf("error: %v", err)
			}
			if strings.Contains(err.Error(), "0f0f") {
				t.Errorf("the error shows the secret: %v", err)
			}
			if b, err := os.ReadFile(p); err != nil || string(b) != c.text {
				t.Errorf("the file was touched: %q, %v", b, err)
			}
		})
	}
	if _, err := OpenRing(t.TempDir(), RingConfig{}, t0); !errors.Is(err, ErrRingFile) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := OpenRing(filepath.Join(t.TempDir(), "no", "keys"), RingConfig{}, t0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// A running ring keeps its keys.
func TestBrokenKeyFileChangesNothing(t *testing.T) {
	t.Parallel()
	p := path(t)
	r := open(t, p, t0)
	c := seal(t, r)
	if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, newRoot := r.NewRoot(t0, t0)
	for name, err := range map[string]error{
		"reload": r.Reload(t0), "new root": newRoot, "revoke": r.Revoke(t0),
	} {
		if !errors.Is(err, ErrRingFile) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := opens(r, c); err != nil {
		t.Error(err)
	}
}

// Of several processes that find no file, one creates it and all use it.
func TestSeveralProcessesCreateOneFile(t *testing.T) {
	t.Parallel()
	p := path(t)
	rings := make([]*Ring, 8)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			r, err := OpenRing(p, RingConfig{}, t0)
			if err != nil {
				t.Error(err)
			}
			rings[i] = r
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, r := range rings {
		if err := opens(r, seal(t, rings[0])); err != nil {
			t.Error(err)
		}
	}
	left, err := os.ReadDir(filepath.Dir(p))
	if err != nil || len(left) != 1 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

// A process that rewrites the file is killed at any moment: the file is complete
// each time, and a root that was reported as saved is there.
func TestKeyFileSurvivesSIGKILL(t *testing.T) {
	if p := os.Getenv("NOONMARK_TEST_RING"); p != "" {
		r, err := OpenRing(p, RingConfig{}, t0)
		for i := 1; err == nil; i++ {
			last := r.roots[len(r.roots)-1]
			fmt.Printf("%x\n", last.secret[:])
			now := time.Unix(last.since, 0).Add(20 * 24 * time.Hour) // older ones have expired
			switch i % 4 {
			case 0:
				err = r.Revoke(now)
			case 1:
				_, err = r.Renew(now)
			default:
				_, err = r.NewRoot(now, now)
			}
		}
		fmt.Println("error:", err)
		return
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	p := path(t)
	seen := make(map[string]bool)
	for i := range 12 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKeyFileSurvivesSIGKILL$")
		cmd.Env = append(os.Environ(), "NOONMARK_TEST_RING="+p)
		last := proctest.KillAfterLines(t, cmd, 1+rnd.IntN(16))
		r, err := OpenRing(p, RingConfig{}, t0)
		if err != nil {
			t.Fatalf("after kill %d: %v", i, err)
		}
		said, revoked := false, len(r.roots) == 1
		for _, rt := range r.roots {
			secret := hex.EncodeToString(rt.secret[:])
			seen[secret] = true
			said = said || secret == last
		}
		if !said && !revoked {
			t.Fatalf("after kill %d: the root it had made is not among %d", i, len(r.roots))
		}
	}
	if len(seen) < 6 {
		t.Errorf("the processes that were killed wrote %d roots", len(seen))
	}
}

// They are from a process that was killed.
func TestOldTemporaryFilesAreRemoved(t *testing.T) {
	t.Parallel()
	p := path(t)
	r := open(t, p, t0)
	dir := filepath.Dir(p)
	for name, age := range map[string]time.Duration{".keys.new-old": time.Hour, ".keys.new-young": 0, "other.new-1": time.Hour} {
		n := filepath.Join(dir, name)
		if err := os.WriteFile(n, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(n)
		if err != nil {
			t.Fatal(err)
		}
		at := st.ModTime().Add(-age)
		if err := os.Chtimes(n, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Revoke(t0); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range left {
		left[i] = filepath.Base(left[i])
	}
	if got := fmt.Sprint(left); got != "[.keys.new-young keys other.new-1]" {
		t.Errorf("left: %s", got)
	}
}

func FuzzRingFile(f *testing.F) {
	f.Add([]byte(`{"format":"noonmark-keys-1","roots":[{"since":"2026-01-01T00:00:00Z","secret":"` + strings.Repeat("0f", 32) + `"}]}`))
	f.Add([]byte(`{"format":"noonmark-keys-1","roots":[{"since":"9999-01-01T00:00:00Z","secret":"` + strings.Repeat("0f", 32) + `"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		roots, err := parseRoots(b)
		if err != nil {
			return
		}
		r := &Ring{cfg: RingConfig{Rotate: DefaultRotate, Keep: DefaultKeep}, roots: roots}
		r.publish(t0)
		if err := opens(r, seal(t, r)); err != nil {
			t.Fatal(err)
		}
		if n := len(r.Load().entries); n > (DefaultKeep+2)*len(roots)+1 {
			t.Fatalf("%d keys of %d roots", n, len(roots))
		}
	})
}
