package history

import (
	"errors"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/durable"
)

func TestADamagedFileIsReadAroundTheDamage(t *testing.T) {
	t.Parallel()
	seconds := func(dir string) string { return filepath.Join(dir, Seconds.name(begin)) }
	for _, x := range []struct {
		name   string
		damage func(t *testing.T, dir string)
		lost   int    // minutes of the first hour
		why    string // of the damage; empty: none
	}{
		{"torn tail", func(t *testing.T, dir string) { shorten(t, seconds(dir), 5) }, 1, ""},
		{"torn tail with a block behind it", func(t *testing.T, dir string) {
			shorten(t, seconds(dir), 5)
			w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
			b.Add(begin+3599, []float64{1, 2, 3, 4})
			write(t, w, b.Close())
		}, 0, "checksum is wrong"},
		{"a changed octet", func(t *testing.T, dir string) { patch(t, seconds(dir), 1500, 0xff) }, 1, "checksum is wrong"},
		{"columns are damaged", func(t *testing.T, dir string) { patch(t, seconds(dir), 15, 0xff) }, 60, "data without columns before it"},
		{"other columns than data", func(t *testing.T, dir string) {
			appendTo(t, seconds(dir), appendBlock(nil, kindColumns, appendColumns(nil, Seconds, testColumns[:2])))
			data, err := os.ReadFile(seconds(dir))
			if err != nil {
				t.Fatal(err)
			}
			_, _, next, _ := nextBlock(data, 0)
			_, payload, _, _ := nextBlock(data, next)
			appendTo(t, seconds(dir), appendBlock(nil, kindData, payload))
		}, 0, "payload is malformed"},
		{"zeros", func(t *testing.T, dir string) { appendTo(t, seconds(dir), make([]byte, 4096)) }, 0, ""},
		{"another version", func(t *testing.T, dir string) { appendTo(t, seconds(dir), appendBlock(nil, kindColumns, []byte{9})) }, 0, "another version of the format: 9"},
		{"another kind", func(t *testing.T, dir string) { appendTo(t, seconds(dir), appendBlock(nil, 'Z', nil)) }, 0, "another version of the format: kind 0x5a"},
		{"of another day", func(t *testing.T, dir string) {
			appendTo(t, seconds(dir), appendBlock(nil, kindData, appendData(nil, Seconds, 12, testColumns, make([]summary, 240))))
		}, 0, "payload is malformed: it belongs to another file"},
		{"a directory in its place", func(t *testing.T, dir string) {
			if err := errors.Join(os.Remove(seconds(dir)), os.Mkdir(seconds(dir), 0o755)); err != nil {
				t.Fatal(err)
			}
		}, 60, durable.CheckRegular(fs.ModeDir).Error()},
		{"too long", func(t *testing.T, dir string) {
			if err := os.Truncate(seconds(dir), maxFile+1); err != nil {
				t.Fatal(err)
			}
		}, 60, "is longer than"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
			for s := begin; s < begin+3600; s++ {
				if m := b.Add(s, []float64{float64(s), 1, 2, 3}); m != nil {
					write(t, w, m)
				}
			}
			write(t, w, b.Close())
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			x.damage(t, dir)
			res := query(t, dir, begin, begin+3600, 60)
			got := 0
			if s := res.Of(Offset); s != nil {
				for _, v := range s.Mean {
					if !math.IsNaN(v) {
						got++
					}
				}
			}
			if got != 60-x.lost {
				t.Errorf("%d minutes are left, want %d", got, 60-x.lost)
			}
			switch {
			case x.why == "" && len(res.Damage) > 0:
				t.Errorf("damage %+v", res.Damage)
			case x.why != "" && !slices.ContainsFunc(res.Damage, func(d Damage) bool { return strings.Contains(d.Why, x.why) && d.File == Seconds.name(begin) }):
				t.Errorf("damage %+v, want %q", res.Damage, x.why)
			}
		})
	}
}

func shorten(t *testing.T, path string, by int64) {
	t.Helper()
	fi, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, fi.Size()-by)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func patch(t *testing.T, path string, at int, xor byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= xor
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func appendTo(t *testing.T, path string, b []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(b); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
}

func FuzzFile(f *testing.F) {
	for l := range numLevels {
		rows := make([]summary, len(testColumns)*l.rows())
		rng := rand.New(rand.NewPCG(3, uint64(l)))
		for i := range rows {
			if rng.IntN(4) > 0 {
				rows[i] = summary{int64(1 + rng.IntN(int(l.Step()))), -2, 7, rng.NormFloat64()}
			}
		}
		f.Add(byte(l), appendData(nil, l, begin/levels[l].span, testColumns, rows))
	}
	f.Fuzz(func(t *testing.T, level byte, data []byte) {
		l := Level(level) % numLevels
		// The checksum must not keep the fuzzer from the decoders.
		raw := data
		data = appendBlock(nil, kindColumns, raw)
		data = appendBlock(data, kindColumns, appendColumns(nil, l, testColumns))
		data = append(appendBlock(data, kindData, raw), raw...)
		file := parseFile(l, l.name(begin), data)
		for _, n := range file.numbers {
			file.read(n, func(r *rows) {
				for i := range l.rows() {
					for _, s := range r.row(i) {
						if s.n < 0 || s.n > 0 && (math.IsNaN(s.mean) || s.low > s.high) {
							t.Fatalf("%+v", s)
						}
					}
				}
				// What is decoded is encoded to the same.
				again := make([]summary, len(r.list))
				if err := parseData(appendData(nil, l, n, r.columns, r.list), l, r.columns, again); err != nil {
					t.Fatal(err)
				}
			})
		}
	})
}

func TestPackedIntegers(t *testing.T) {
	t.Parallel()
	const seed = 11
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		list := make([]int64, 1+rng.IntN(60))
		shift, walk := rng.IntN(64), rng.IntN(2) == 0
		for i := range list {
			list[i] = int64(rng.Uint64()) >> shift
			if walk && i > 0 {
				list[i] = list[i-1] + list[i]>>6
			}
		}
		b := appendPacked(nil, list)
		d, got := decoder{p: b}, make([]int64, len(list))
		if d.packed(got); d.bad || len(d.p) > 0 || !slices.Equal(got, list) {
			t.Fatalf("%v became %v", list, got)
		}
		for n := range b {
			d := decoder{p: b[:n]}
			if d.packed(got); !d.bad {
				t.Fatalf("%d of %d octets are enough", n, len(b))
			}
		}
	}
}
