package recording

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// runsOf writes runs of so many seconds into a folder, one frame a second.
func runsOf(t *testing.T, seconds ...int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for i, n := range seconds {
		s := NewStore(Options{Dir: dir, Limit: 1 << 30, Immediate: true})
		s.begin(Header{Version: FormatVersion, Run: fmt.Sprint("run", i+1), Site: []byte("{}")}, nil)
		for k := range n {
			s.put(frame{uint64(k), content(int64(1000+k) * 1e9)}) // each boot begins at the same instants
		}
		s.Close()
	}
	return dir
}

// The last minutes are what was recorded last, also before a restart: that is where the
// fault is.
func TestLastPartGoesOverRestarts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		runs []int
		last time.Duration
		want string // frames by run
	}{
		{[]int{100, 20, 5}, 0, "run3 5"},
		{[]int{100, 20, 5}, 3 * time.Second, "run3 3"},
		{[]int{100, 20, 5}, 10 * time.Second, "run2 6, run3 5"},
		{[]int{100, 20, 5}, time.Minute, "run1 37, run2 20, run3 5"},
		{[]int{100, 0, 5}, 10 * time.Second, "run1 6, run3 5"}, // the second ended at once
		{[]int{3}, time.Hour, "run1 3"},
	} {
		for _, names := range []bool{true, false} {
			var b bytes.Buffer
			if err := Extract(&b, runsOf(t, c.runs...), c.last, names); err != nil {
				t.Fatal(err)
			}
			all, r := readAll(t, b.Bytes())
			var got []string
			name, frames := "", 0
			for _, x := range append(all, &Header{}) {
				switch x := x.(type) {
				case *Header:
					if name != "" {
						got = append(got, fmt.Sprint(name, " ", frames))
					}
					name, frames = x.Run, 0
				case *State:
					frames++
				case *Gap:
					t.Error("a gap")
				}
			}
			if strings.Join(got, ", ") != c.want || r.Skipped() != 0 {
				t.Errorf("%v, the last %v, names %v: %q, want %q", c.runs, c.last, names, got, c.want)
			}
		}
	}
}

// A file without anything is no report of a fault.
func TestNothingIsRecordedYet(t *testing.T) {
	t.Parallel()
	b, _ := written(t, 0)
	path := filepath.Join(t.TempDir(), "x"+suffix)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	err := ExtractFile(out, path, time.Minute, false)
	if _, there := os.Stat(out); !errors.Is(err, ErrFormat) || !errors.Is(there, os.ErrNotExist) {
		t.Errorf("%v, %v", err, there)
	}
}

// A segment that the daemon removes while the folder is read is missing, and no error.
func TestSegmentThatIsRemovedMeanwhile(t *testing.T) {
	t.Parallel()
	dir := runsOf(t, 3, 3, 3)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := os.Remove(filepath.Join(dir, "00000001"+suffix)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		rec, err := r.Next()
		if err != nil {
			if err.Error() != "EOF" {
				t.Error(err)
			}
			break
		}
		if _, ok := rec.(*State); ok {
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d frames, want 6", n)
	}
}

// However the octets are divided among reads, they come out the same, and few are held.
func TestAnonymisedOctetsDoNotDependOnTheReads(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	var stream []byte
	for i := range 400 {
		stream = append(stream, "$GNGLL,4723.0012,N,00832.4412,E,093000.00,A,A*76\r\n"...)
		switch i % 5 {
		case 0:
			stream = append(stream, "$GNGLL,4723.0012,N,008"...) // the rest is missing
		case 1:
			stream = append(stream, 0xb5, 0x62, 1, 7, 92, 0, 9, 9) // likewise
		case 2:
			stream = append(stream, "secret\r\n$ $*\xb5$"...)
		}
	}
	mask := func(size func() int) (out []byte, held int) {
		a := newAnonymiser()
		a.emit = func(r Record) error {
			if o, ok := r.(*Octets); ok {
				out = append(out, o.Data...)
			}
			return nil
		}
		a.learn(stream)
		for rest := stream; len(rest) > 0; {
			n := min(size(), len(rest))
			if err := a.add(&Octets{Data: bytes.Clone(rest[:n])}); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
			held = max(held, len(a.stream))
		}
		if err := a.end(); err != nil {
			t.Fatal(err)
		}
		return out, held
	}
	want, _ := mask(func() int { return len(stream) })
	if bytes.Contains(want, []byte("secret")) || bytes.Contains(want, []byte("4723.0")) || !bytes.Contains(want, []byte("$GNGLL,3000.0000,N,03000.0000,E,")) {
		t.Fatalf("%.300s", want)
	}
	for name, size := range map[string]func() int{"one": func() int { return 1 }, "some": func() int { return 1 + rnd.IntN(100) }} {
		got, held := mask(size)
		if !bytes.Equal(got, want) || held > maxSentence+200 {
			t.Errorf("reads of %s: equal %v, %d octets held", name, bytes.Equal(got, want), held)
		}
	}
}
