package nts

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestKeyFileOfAnotherProgramIsAccepted(t *testing.T) {
	t.Parallel()
	one, two := [secretLen]byte{1}, [secretLen]byte{2}
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct {
		name string
		list []RootSecret
	}{
		{"no roots", nil},
		{"no secret", []RootSecret{{Since: now}}},
		{"descending", []RootSecret{{now, one}, {now.Add(-time.Second), two}}},
		{"too many", make([]RootSecret, maxRoots+1)},
	} {
		if _, err := FormatKeyFile(c.list); !errors.Is(err, ErrRingFile) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	b, err := FormatKeyFile([]RootSecret{{now, one}, {now.Add(time.Hour), two}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := OpenRing(path, RingConfig{Renew: NeverRenew}, now)
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Secrets(now); len(s) != 2 || !s[0].Since.Equal(now) || !s[0].Sealing || !s[1].Since.Equal(now.Add(time.Hour)) {
		t.Errorf("secrets: %+v", s)
	}
}
