package symmetrickeys

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/server/mac"
)

// A file of keys that is damaged, repaired, replaced or named by a new configuration.
func TestSymmetricKeysFollowTheirFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "chrony.keys")
	var log bytes.Buffer
	var keys *mac.Keys
	k := New(mac.Source{List: path}, func(s *mac.Keys) { keys = s }, slog.New(slog.NewTextHandler(&log, nil)))
	k.Load()
	if keys.Len() != 0 || !strings.Contains(log.String(), "level=ERROR msg=\"symmetric keys not loaded") {
		t.Errorf("no file: %d keys\n%s", keys.Len(), &log)
	}
	const good = "1 AES128 HEX:000102030405060708090a0b0c0d0e0f\n"
	put := func(text string, mode os.FileMode) func() {
		return func() {
			if err := os.WriteFile(path, []byte(text), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, step := range []struct {
		name string
		do   func()
		keys int
		log  string // its lines; empty: none
	}{
		{"no file still", func() {}, 0, ""},
		{"a file", put(good, 0o600), 1, `msg="symmetric keys loaded" keys=1`},
		{"nothing", func() {}, 1, ""},
		{"damaged", put("1 hunter2\n", 0o600), 1, `level=ERROR msg="symmetric keys not loaded, those of before stay in use"`},
		{"damaged still", func() {}, 1, ""},
		{"repaired, weak, and readable", put(good+"2 MD5 hunter2\n", 0o644), 2, "chmod 640"},
	} {
		log.Reset()
		step.do()
		k.look()
		if got := log.String(); keys.Len() != step.keys || !strings.Contains(got, step.log) || step.log == "" && got != "" {
			t.Errorf("%s: %d keys, logged %q, want %d and %q", step.name, keys.Len(), got, step.keys, step.log)
		}
		if strings.Contains(log.String(), "hunter2") {
			t.Errorf("%s: the log has a key: %s", step.name, &log)
		}
	}
	if !strings.Contains(log.String(), "id=2 type=MD5") {
		t.Errorf("a weak key is not reported: %s", &log)
	}
	k.Replace(mac.Source{})
	if k.look(); keys.Len() != 0 {
		t.Errorf("after a new configuration without keys: %d", keys.Len())
	}
}
