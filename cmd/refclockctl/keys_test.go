package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/cookiekeys"
	"noonmark/internal/proctest"
	"noonmark/server/nts"
)

// keyFile is a key file under a ring that is in use, as ntsserve's is.
type keyFile struct {
	t    *testing.T
	path string
	ring *nts.Ring
}

func newKeyFile(t *testing.T) *keyFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	ring, err := nts.OpenRing(path, nts.RingConfig{}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return &keyFile{t, path, ring}
}

// seal loads the file and returns a cookie.
func (k *keyFile) seal() []byte {
	k.t.Helper()
	if err := k.ring.Reload(time.Now()); err != nil {
		k.t.Fatal(err)
	}
	var s nts.Scratch
	c, err := k.ring.Load().SealCookie(nil, &nts.SessionKeys{AEAD: 15}, &s)
	if err != nil {
		k.t.Fatal(err)
	}
	return c
}

// opens reports whether a cookie is valid.
func (k *keyFile) opens(c []byte) bool {
	var s nts.Scratch
	var keys nts.SessionKeys
	return k.ring.Load().OpenCookie(c, &keys, &s) == nil
}

// show returns what keys show prints, which never contains a secret.
func (k *keyFile) show() (x cookiekeys.List) {
	k.t.Helper()
	out := must(k.t, "keys", "show", k.path, "-json")
	if err := json.Unmarshal([]byte(out), &x); err != nil {
		k.t.Fatal(err)
	}
	text := must(k.t, "keys", "show", k.path)
	secrets := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(proctest.Read(k.t, k.path), -1)
	if len(secrets) == 0 || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(out+text, s) }) {
		k.t.Errorf("%d secrets in the file; show prints\n%s", len(secrets), out+text)
	}
	if !strings.Contains(text, x.Keys[0].ID) || strings.Count(text, "seals") != 1 || strings.Count(text, "in use") != 1 {
		k.t.Errorf("show:\n%s", text)
	}
	return x
}

func TestKeysShow(t *testing.T) {
	t.Parallel()
	k := newKeyFile(t)
	if err := k.ring.Reload(time.Now()); err != nil { // a period may have begun since it was opened
		t.Fatal(err)
	}
	x, ring := k.show(), k.ring.List()
	first := x.Keys[0]
	if len(x.Keys) != len(ring) || !first.Sealing || first.ID != ring[0].ID || first.AgeS < 0 || first.AgeS > 86400 ||
		first.Until.Sub(first.Begins) != 8*24*time.Hour || !x.Next.Equal(first.Ends) {
		t.Errorf("show %+v, the ring has %+v", x, ring)
	}
}

func TestKeysShowSaysWhenSecretsAreReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	since := time.Now().Add(-9 * 24 * time.Hour).Truncate(time.Second)
	if _, err := nts.OpenRing(path, nts.RingConfig{}, since); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		until time.Time
	}{
		{nil, since.Add(8 * 24 * time.Hour)},
		{[]string{"-rotate", "24h", "-keep", "10"}, since.Add(10 * 24 * time.Hour)},
		{[]string{"-renew", "48h"}, since.Add(48 * time.Hour)},
		{[]string{"-renew", "never"}, time.Time{}},
	} {
		var x cookiekeys.List
		if err := json.Unmarshal([]byte(must(t, append([]string{"keys", "show", "-json"}, append(c.args, path)...)...)), &x); err != nil {
			t.Fatal(err)
		}
		if len(x.Secrets) != 1 || !x.Secrets[0].Since.Equal(since) || !x.Secrets[0].Sealing {
			t.Fatalf("%v: %+v", c.args, x.Secrets)
		}
		s := x.Secrets[0]
		if c.until.IsZero() != (s.Until == nil) || s.Until != nil && (!s.Until.Equal(c.until) || !s.Accepted.After(c.until)) || s.Overdue != (!c.until.IsZero() && c.until.Before(time.Now())) {
			t.Errorf("%v: %+v, want until %v", c.args, s, c.until)
		}
	}
	if text := must(t, "keys", "show", path); !strings.Contains(text, "overdue") {
		t.Errorf("show:\n%s", text)
	}
	if code, _, _ := ctl("keys", "show", "-renew", "soon", path); code != 64 {
		t.Errorf("-renew soon: exit code %d", code)
	}
}

func TestKeysRotateKeepsCookiesValid(t *testing.T) {
	t.Parallel()
	k := newKeyFile(t)
	first, before := k.seal(), k.show()
	must(t, "keys", "rotate", "-in", "1h", k.path) // the old secret seals until then
	if x := k.show(); x.Keys[0].ID != before.Keys[0].ID || len(x.Keys) <= len(before.Keys) || !k.opens(first) {
		t.Errorf("announced: %+v", x)
	}
	must(t, "keys", "rotate", k.path)
	second := k.seal()
	old := func(x cookiekeys.Key) bool { return x.ID == before.Keys[0].ID }
	if x := k.show(); old(x.Keys[0]) || !slices.ContainsFunc(x.Keys, old) {
		t.Errorf("rotated: %+v", x)
	}
	must(t, "keys", "rotate", k.path) // in the same second
	third := k.seal()
	if !k.opens(first) || !k.opens(second) || !k.opens(third) {
		t.Error("a cookie is void")
	}
}

func TestKeysRevokeMakesCookiesVoid(t *testing.T) {
	t.Parallel()
	k := newKeyFile(t)
	old := k.seal()
	if out := must(t, "keys", "revoke", k.path); !strings.Contains(out, "void") {
		t.Error(out)
	}
	if fresh := k.seal(); k.opens(old) || !k.opens(fresh) {
		t.Error("the old cookie is valid, or the new one is not")
	}
	if fi, err := os.Stat(k.path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
}
