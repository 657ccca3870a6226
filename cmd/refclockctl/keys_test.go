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

	"noonmark/server/nts"
)

// A key file is changed under a ring that is in use, as ntsserve's is.
func TestKeys(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "keys")
	ring, err := nts.OpenRing(file, nts.RingConfig{}, time.Now().Add(-time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	seal := func() []byte {
		t.Helper()
		if err := ring.Reload(time.Now()); err != nil {
			t.Fatal(err)
		}
		var s nts.Scratch
		c, err := ring.Load().SealCookie(nil, &nts.SessionKeys{AEAD: 15}, &s)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	opens := func(c []byte) bool {
		var s nts.Scratch
		var k nts.SessionKeys
		return ring.Load().OpenCookie(c, &k, &s) == nil
	}
	type shown struct {
		Keys []keyShown `json:"keys"`
		Next time.Time  `json:"next_rotation"`
	}
	show := func() (x shown) {
		t.Helper()
		out := must(t, "keys", "show", file, "-json")
		if err := json.Unmarshal([]byte(out), &x); err != nil {
			t.Fatal(err)
		}
		text := must(t, "keys", "show", file)
		secrets := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(read(t, file), -1)
		if len(secrets) == 0 || slices.ContainsFunc(secrets, func(s string) bool { return strings.Contains(out+text, s) }) {
			t.Errorf("%d secrets in the file; show says\n%s", len(secrets), out+text)
		}
		if !strings.Contains(text, x.Keys[0].ID) || strings.Count(text, "seals") != 1 {
			t.Errorf("show:\n%s", text)
		}
		return x
	}

	first := seal()
	a := show()
	var ids []string
	for _, k := range ring.List() {
		ids = append(ids, k.ID)
	}
	if len(a.Keys) != len(ids) || !a.Keys[0].Sealing || a.Keys[0].ID != ids[0] || a.Keys[0].AgeS < 0 || a.Keys[0].AgeS > 86400 ||
		a.Keys[0].Until.Sub(a.Keys[0].Begins) != 8*24*time.Hour || !a.Next.Equal(a.Keys[0].Ends) {
		t.Errorf("show %+v, the ring has %v", a, ids)
	}

	// Announced: the old secret seals until then.
	must(t, "keys", "rotate", "-in", "1h", file)
	if b := show(); b.Keys[0].ID != a.Keys[0].ID || len(b.Keys) <= len(a.Keys) {
		t.Errorf("announced: %+v", b)
	}
	if !opens(first) {
		t.Error("announced: the old cookie is void")
	}
	must(t, "keys", "rotate", file)
	second := seal()
	if b := show(); b.Keys[0].ID == a.Keys[0].ID || !slices.ContainsFunc(b.Keys, func(k keyShown) bool { return k.ID == a.Keys[0].ID }) {
		t.Errorf("rotated: %+v", b)
	}
	if !opens(first) || !opens(second) {
		t.Error("rotated: a cookie is void")
	}
	must(t, "keys", "rotate", file) // in the same second
	if err := ring.Reload(time.Now()); err != nil || !opens(first) || !opens(second) {
		t.Errorf("rotated twice in a second: a cookie is void (%v)", err)
	}
	if out := must(t, "keys", "revoke", file); !strings.Contains(out, "void") {
		t.Error(out)
	}
	third := seal()
	if opens(first) || opens(second) || !opens(third) {
		t.Error("revoked: an old cookie is good, or the new one is not")
	}
	if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", fi, err)
	}
}
