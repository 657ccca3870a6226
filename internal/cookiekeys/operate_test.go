package cookiekeys

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/server/nts"
)

func TestAKeyFileThatIsAbsentOrDamagedStaysAsItIs(t *testing.T) {
	t.Parallel()
	now, cfg := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), nts.RingConfig{}
	dir := t.TempDir()
	absent, bad := filepath.Join(dir, "absent"), filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		path string
		want error
	}{{absent, fs.ErrNotExist}, {bad, nts.ErrRingFile}} {
		if _, err := Describe(x.path, cfg, now); !errors.Is(err, x.want) {
			t.Errorf("describe %s: %v", x.path, err)
		}
		if err := Rotate(io.Discard, x.path, cfg, 0, now); !errors.Is(err, x.want) {
			t.Errorf("rotate %s: %v", x.path, err)
		}
		if err := Revoke(io.Discard, x.path, cfg, now); !errors.Is(err, x.want) {
			t.Errorf("revoke %s: %v", x.path, err)
		}
	}
	if _, err := os.Stat(absent); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file was made: %v", err)
	}
	if b, err := os.ReadFile(bad); err != nil || string(b) != "{" {
		t.Errorf("%v: %q", err, b)
	}
}

func TestRotateAndRevoke(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	cfg := nts.RingConfig{Renew: nts.NeverRenew}
	path := filepath.Join(t.TempDir(), "keys")
	if _, err := nts.OpenRing(path, cfg, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	secrets := func(at time.Time) (n int, sealing string) {
		t.Helper()
		list, err := Describe(path, cfg, at)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range list.Secrets {
			if s.Sealing {
				sealing = minute(s.Since)
			}
		}
		return len(list.Secrets), sealing
	}
	var out strings.Builder
	if err := Rotate(&out, path, cfg, 2*time.Hour, now); err != nil || !strings.HasPrefix(out.String(), "a new secret seals from 2026-11-28T14:00Z on; cookies already issued stay valid\nntsserve loads it ") {
		t.Errorf("%v: %q", err, &out)
	}
	for at, want := range map[time.Duration]string{0: "2026-11-28T11:00Z", 3 * time.Hour: "2026-11-28T14:00Z"} {
		if n, sealing := secrets(now.Add(at)); n != 2 || sealing != want {
			t.Errorf("%v later: %d secrets, that of %s seals", at, n, sealing)
		}
	}
	out.Reset()
	if err := Revoke(&out, path, cfg, now); err != nil || !strings.HasPrefix(out.String(), "all cookies are void; ") {
		t.Errorf("%v: %q", err, &out)
	}
	if n, sealing := secrets(now); n != 1 || sealing != "2026-11-28T12:00Z" {
		t.Errorf("after the revocation: %d secrets, that of %s seals", n, sealing)
	}
}
