package seal

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/nacl/box"

	"noonmark/fleet/roots"
)

func TestOnlyTheNodeOpensItsSeal(t *testing.T) {
	t.Parallel()
	k, other := Generate(), Generate()
	secret := [roots.SecretLen]byte{1, 2, 3}
	id := roots.Fingerprint(&secret)
	sealed, err := Seal(k.Public(), &secret)
	if err != nil {
		t.Fatal(err)
	}
	if len(sealed) != Len {
		t.Errorf("a seal has %d octets, not %d", len(sealed), Len)
	}
	damaged := append([]byte(nil), sealed...)
	damaged[len(damaged)-1] ^= 1
	foreign := func(text string) []byte {
		pub := [keyLen]byte(k.Public())
		b, err := box.SealAnonymous(nil, []byte(text), &pub, nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, c := range []struct {
		name   string
		key    *Private
		id     roots.ID
		sealed []byte
		want   error
	}{
		{"of another node", other, id, sealed, ErrSeal},
		{"damaged", k, id, damaged, ErrSeal},
		{"cut", k, id, sealed[:Len-1], ErrSeal},
		{"empty", k, id, nil, ErrSeal},
		{"longer", k, id, append(sealed[:Len:Len], 0), ErrSeal},
		{"a box without the label", k, id, foreign(strings.Repeat("x", len(label)+keyLen)), ErrSeal},
		{"of another root", k, roots.ID{9}, sealed, ErrFingerprint},
	} {
		if got, err := c.key.Open(c.id, c.sealed); !errors.Is(err, c.want) || got != [roots.SecretLen]byte{} {
			t.Errorf("%s: %x, %v, want %v", c.name, got, err, c.want)
		}
	}
	if got, err := k.Open(id, sealed); err != nil || got != secret {
		t.Errorf("its own: %x, %v", got, err)
	}
}

func TestUnusablePublicKeysAreRefused(t *testing.T) {
	t.Parallel()
	k := Generate().Public()
	one := [keyLen]byte{1}
	for name, text := range map[string]string{
		"empty": "", "short": k.String()[:40], "not base64": strings.Repeat("!", 44),
		"zero": Public{}.String(), "of order one": Public(one).String(),
	} {
		if err := new(Public).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	var again Public
	if err := again.UnmarshalText([]byte(k.String())); err != nil || again != k {
		t.Errorf("a good one: %v, %v", again, err)
	}
}

func TestUnusableKeyFilesAreRefusedAndKept(t *testing.T) {
	t.Parallel()
	good := base64.StdEncoding.EncodeToString(Generate().secret[:])
	for _, c := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"others may read it", good, 0o640, "chmod 600"},
		{"empty", "", 0o600, "not base64 of 32 octets"},
		{"cut", good[:20], 0o600, "not base64 of 32 octets"},
		{"longer than any key", strings.Repeat("A", 1000), 0o600, "not base64 of 32 octets"},
	} {
		path := filepath.Join(t.TempDir(), "node.key")
		if err := os.WriteFile(path, []byte(c.text), c.mode); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenKey(path); !errors.Is(err, ErrKeyFile) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), good[:8]) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != c.text {
			t.Errorf("%s: the file was changed: %v", c.name, err)
		}
	}
	if _, err := OpenKey(t.TempDir()); !errors.Is(err, ErrKeyFile) {
		t.Errorf("a folder: %v", err)
	}
}

func TestTheKeyOfANodeIsDrawnOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "node.key")
	a, err := OpenKey(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := OpenKey(path)
	if err != nil || b.Public() != a.Public() || b.secret != a.secret {
		t.Errorf("opened again: %v, %v", b, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("file: %v, %v", st, err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if s := fmt.Sprintf(verb, a); strings.Contains(s, hex.EncodeToString(a.secret[:4])) || !strings.HasPrefix(s, "key ") {
			t.Errorf("%s shows %s", verb, s)
		}
	}
}
