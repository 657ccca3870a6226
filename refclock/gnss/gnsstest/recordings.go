package gnsstest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Recording is the recorded output of a receiver.
type Recording struct {
	Name  string // without extension
	Data  []byte
	Log   bool     // comment lines begin with #
	Times []string // the seconds in it, by an independent reading, such as 2024-05-01T12:00:00.000
	Known bool     // Times is known
}

// leastRecordings is the number of recordings in the tree: a test that found
// fewer would test less than it seems.
const leastRecordings = 40

// Recordings returns the recordings in the testdata folder of package gnss, and
// further ones below NOONMARK_DATA if that is set.
func Recordings(t testing.TB, testdata string) []Recording {
	t.Helper()
	var all []Recording
	seen := map[string]bool{}
	read := func(dir, pattern string) {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			ext := filepath.Ext(f)
			r := Recording{Name: strings.TrimSuffix(filepath.Base(f), ext), Log: ext == ".log"}
			if seen[r.Name] {
				continue
			}
			seen[r.Name] = true
			if r.Data, err = os.ReadFile(f); err != nil {
				t.Fatal(err)
			}
			times, err := os.ReadFile(strings.TrimSuffix(f, ".bin") + ".times")
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
			r.Known = err == nil
			for _, s := range strings.Fields(string(times)) {
				s = strings.TrimSuffix(s, "Z")
				if !strings.Contains(s, ".") {
					s += ".000"
				}
				r.Times = append(r.Times, s)
			}
			all = append(all, r)
		}
	}
	read(filepath.Join(testdata, "*"), "*.log")
	read(filepath.Join(testdata, "*"), "*.bin")
	if len(all) < leastRecordings {
		t.Fatalf("%d recordings in %s, want at least %d", len(all), testdata, leastRecordings)
	}
	if dir := os.Getenv("NOONMARK_DATA"); dir != "" {
		read(filepath.Join(dir, "*"), "*.log")
		read(filepath.Join(dir, "*"), "*.bin")
	}
	return all
}

// Recorded returns one recording by its name.
func Recorded(t testing.TB, testdata, name string) Recording {
	t.Helper()
	for _, r := range Recordings(t, testdata) {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no recording %s in %s", name, testdata)
	return Recording{}
}
