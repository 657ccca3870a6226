package fleetview

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const mono = int64(time.Hour)

// published is a file of n nodes.
func published(n int) *File {
	f := &File{PID: 7, Mono: mono, ReadMono: mono - 5, Self: Self{State: Serves}, Fleet: Fleet{Name: "f", Node: "a", Roots: []Root{{ID: "1", State: "sealing"}}, Nodes: []Node{}}}
	for i := range n {
		f.Nodes = append(f.Nodes, Node{Name: fmt.Sprint("n", i), Live: true, State: Serves})
	}
	return f
}

// The file is input: each way in which it cannot be used has a name.
func TestReadRefusesByName(t *testing.T) {
	t.Parallel()
	good, err := published(2).Encode()
	if err != nil {
		t.Fatal(err)
	}
	change := func(old, text string) string {
		t.Helper()
		if strings.Count(string(good), old) != 1 {
			t.Fatalf("not one %s in %s", old, good)
		}
		return strings.Replace(string(good), old, text, 1)
	}
	dir := t.TempDir()
	for i, c := range []struct {
		name, text string
		want       error
	}{
		{"empty", "", ErrBad},
		{"no JSON", "{", ErrBad},
		{"a list", "[]", ErrBad},
		{"an object of something else", "{}", ErrFormat},
		{"a later version", change(`"format":1`, `"format":2`), ErrFormat},
		{"no process", change(`"pid":7`, `"pid":0`), ErrBad},
		{"no time", change(`"mono_ns":3600000000000`, `"mono_ns":0`), ErrBad},
		{"a number that is too large", change(`"mono_ns":3600000000000`, `"mono_ns":36000000000000000000`), ErrBad},
		{"of another boot", change(`"mono_ns":3600000000000`, `"mono_ns":3602000000000`), ErrClock},
		{"read in the future", change(`"read_mono_ns":3599999999995`, `"read_mono_ns":3600000000001`), ErrBad},
		{"no state", change(`"self":{"state":"serves"`, `"self":{"state":""`), ErrBad},
		{"nodes that are no list", change(`"nodes":[`, `"nodes":7,"x":[`), ErrBad},
		{"too many nodes", change(`"nodes":[`, `"nodes":[`+strings.Repeat(`{"name":"x"},`, MaxNodes)), ErrBad},
		{"too many roots", change(`"roots":[`, `"roots":[`+strings.Repeat(`{"id":"x"},`, maxRoots)), ErrBad},
		{"too long", string(good) + strings.Repeat(" ", maxSize), nil},
		{"cut", string(good[:len(good)/2]), ErrBad},
	} {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, err := Read(path, mono+1)
		if err == nil || f != nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := Read(filepath.Join(dir, "none"), mono); !errors.Is(err, ErrNone) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Read(dir, mono); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder: %v", err)
	}
	path := filepath.Join(dir, "good")
	if err := os.WriteFile(path, []byte(change(`"pid":7`, `"pid":7,"later":{"x":1}`)), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Read(path, mono+int64(StaleAfter))
	if err != nil || f.Name != "f" || len(f.Nodes) != 2 || f.Stale(mono+int64(StaleAfter)) || !f.Stale(mono+int64(StaleAfter)+1) {
		t.Errorf("a good file with a key of a newer agent: %+v, %v", f, err)
	}
}

// Whatever a fleet is, its file can be read; what does not serve is kept.
func TestEncodeKeepsTheLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ü", 5000)
	reasons := func(n int) (list []string) {
		for range n {
			list = append(list, long)
		}
		return list
	}
	many := published(3 * MaxNodes)
	many.Nodes[3*MaxNodes-1].State = "away"
	loud := published(MaxNodes)
	for i := range loud.Nodes {
		loud.Nodes[i].Drain = long
		loud.Nodes[i].Health = &Health{Reasons: reasons(50)}
		loud.Nodes[i].Configuration = &Configuration{Why: long, State: long, Reasons: reasons(50), Files: map[string]string{"ntsserve": long}, Overrides: make([]Override, 50)}
		loud.Nodes[i].Certificate = &Certificate{Why: long, State: long}
	}
	loud.Nodes[MaxNodes-1].State = "away"
	loud.Self = Self{State: "drained", Drain: long, Clock: long, Disc: long, Config: long, Cert: long, Health: &Health{Reasons: reasons(50)}}
	loud.Etcd, loud.Roots, loud.Rollout, loud.Certificate = long, make([]Root, 500), &Rollout{Why: long, Granted: make([]string, 5000)}, &Order{Why: long, Names: reasons(3)}
	for name, f := range map[string]*File{"none": published(0), "many": many, "loud": loud} {
		all := len(f.Nodes)
		b, err := f.Encode()
		if err != nil || len(b) > maxSize {
			t.Errorf("%s: %d octets, %v", name, len(b), err)
			continue
		}
		got, err := parse(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(got.Nodes)+got.Omitted != all || !utf8.Valid(b) {
			t.Errorf("%s: %d nodes and %d that are left out, want %d", name, len(got.Nodes), got.Omitted, all)
		}
		if all > 0 && got.Nodes[0].State != "away" {
			t.Errorf("%s: the first node is %+v, want the one that does not serve", name, got.Nodes[0])
		}
	}
}

// FuzzParse: what is accepted keeps the limits, and is accepted again when it is written.
func FuzzParse(f *testing.F) {
	good, err := published(2).Encode()
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(good), "{}", `{"format":1,"pid":1,"mono_ns":1,"self":{"state":"x","health":{"reasons":null}},"nodes":[{"health":{},"configuration":{"files":{"a":"b"}},"certificate":{}}]}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parse(b)
		if err != nil {
			return
		}
		if x.PID <= 0 || x.Mono <= 0 || len(x.Nodes) > MaxNodes || len(x.Roots) > maxRoots {
			t.Fatalf("accepted: %+v", x)
		}
		again, err := x.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parse(again); err != nil {
			t.Fatalf("%v: %s", err, again)
		}
	})
}
