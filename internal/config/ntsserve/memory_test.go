package ntsserve

import (
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

// What the limit of the unit has no room for is a warning with its line and its remedy.
func TestLimitOfMemoryIsComparedWithTheConnections(t *testing.T) {
	t.Parallel()
	const ke = endpoint + "[ke]\ncertificate = \"c.pem\"\nkey = \"k.pem\"\n"
	for name, c := range map[string]struct {
		text  string
		limit int64
		want  []string // nil: no warning
	}{
		"too many":             {ke + "max_connections = 4096\n", 128 << 20, []string{"t.toml:6: ke.max_connections: 4096 connections need up to 248 MB", "memory.max allows 128 MB", "MemoryMax= of the unit to 248M", "lower the key to 1536"}},
		"the default":          {ke, 64 << 20, []string{"t.toml:3: ke.max_connections: 512 connections need up to 80 MB", "lower the key to 170"}},
		"no room for any":      {ke, 48 << 20, []string{"MemoryMax= of the unit to 80M"}},
		"as the unit comes":    {ke + "max_connections = 2048\n", 256 << 20, nil},
		"no limit":             {ke + "max_connections = 16384\n", 0, nil},
		"no NTS-KE, no matter": {endpoint, 16 << 20, nil},
	} {
		s, err := Load(proctest.Write(t, filepath.Join(t.TempDir(), "t.toml"), c.text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s.Warnings = nil
		CheckMemory(s, c.limit, "/sys/fs/cgroup/x/memory.max")
		text := strings.Join(s.Warnings, "\n")
		if (c.want == nil) != (text == "") {
			t.Errorf("%s: %q", name, text)
		}
		for _, w := range c.want {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q lacks %q", name, text, w)
			}
		}
		if name == "no room for any" && strings.Contains(text, "lower") {
			t.Errorf("%s: %q", name, text)
		}
	}
}
