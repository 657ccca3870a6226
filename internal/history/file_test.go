package history

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

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
			r := blockReader{src: bytes.NewReader(data)}
			for kind := byte(kindColumns); kind != kindData; {
				var payload []byte
				if kind, payload, _, _, err = r.next(); err != nil || kind == 0 {
					t.Fatal("no block of data", err)
				} else if kind == kindData {
					appendTo(t, seconds(dir), appendBlock(nil, kindData, payload))
				}
			}
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
			compareSelection(t, dir, Query{From: time.Unix(begin, 0), To: time.Unix(begin+3600, 0), MaxPoints: 60})
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
			v, err := Open(dir).Seconds(Offset, time.Unix(begin, 0), time.Unix(begin+3600, 0))
			if err != nil {
				t.Fatal(err)
			}
			if minutes := (v.Known + 59) / 60; minutes != 60-x.lost {
				t.Errorf("%d seconds are left of %d minutes", v.Known, 60-x.lost)
			}
			for _, damage := range [][]Damage{res.Damage, v.Damage} {
				switch {
				case x.why == "" && len(damage) > 0:
					t.Errorf("damage %+v", damage)
				case x.why != "" && !slices.ContainsFunc(damage, func(d Damage) bool { return strings.Contains(d.Why, x.why) && d.File == Seconds.name(begin) }):
					t.Errorf("damage %+v, want %q", damage, x.why)
				}
			}
		})
	}
}

// A block of which one column has values that cannot be is ignored whole, also where only other columns are
// read. The hours before and behind are not.
func TestABlockWithImpossibleValuesIsIgnoredWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b []byte
	for hour := range int64(3) {
		b = appendBlock(b, kindColumns, appendColumns(nil, Minutes, testColumns))
		rows := make([]summary, len(testColumns)*Minutes.rows())
		for i := range rows {
			rows[i] = summary{60, -1, 1, float64(hour) / 4}
		}
		if hour == 1 {
			rows[2].n = 61 // of 60 seconds
		}
		b = appendBlock(b, kindData, appendData(nil, Minutes, begin/3600+hour, testColumns, rows))
	}
	if err := os.WriteFile(filepath.Join(dir, Minutes.name(begin)), b, 0o644); err != nil {
		t.Fatal(err)
	}
	from := begin / 3600 * 3600
	res := query(t, dir, from, from+3*3600, 180)
	for _, s := range res.Series {
		if math.IsNaN(s.Mean[59]) || !math.IsNaN(s.Mean[60]) || !math.IsNaN(s.Mean[119]) || math.IsNaN(s.Mean[120]) {
			t.Errorf("%s: %v", s.Name, s.Mean)
		}
	}
	if len(res.Series) != len(testColumns) || len(res.Damage) != 1 || res.Damage[0].Why != errPayload.Error() {
		t.Errorf("%d series, damage %v", len(res.Series), res.Damage)
	}
	compareSelection(t, dir, Query{From: time.Unix(from, 0), To: time.Unix(from+3*3600, 0), MaxPoints: 180})
}

// A Selection does not have what is written after it, and what is removed is missing.
func TestASelectionIsOfItsTime(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
	add := func(from int64) {
		for s := from; s < from+60; s++ {
			if m := b.Add(s, []float64{1, 2, 3, 4}); m != nil {
				write(t, w, m)
			}
		}
		if m := b.Close(); m != nil {
			write(t, w, m)
		}
	}
	add(begin)
	x, err := Open(dir).Select(Query{From: time.Unix(begin, 0), To: time.Unix(begin+120, 0), MaxPoints: 120})
	if err != nil {
		t.Fatal(err)
	}
	add(begin + 60)
	known := func() (n int) {
		list, err := x.Read(Offset)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range list[0].Mean {
			if !math.IsNaN(v) {
				n++
			}
		}
		return n
	}
	if n := known(); n != 60 {
		t.Errorf("%d seconds, want the 60 that were there", n)
	}
	if err := os.Remove(filepath.Join(dir, Seconds.name(begin))); err != nil {
		t.Fatal(err)
	}
	if n := known(); n != 0 {
		t.Errorf("%d seconds of a file that was removed", n)
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
		slow, fast := blockReader{src: iotest.OneByteReader(bytes.NewReader(data))}, blockReader{src: bytes.NewReader(data)}
		for end := 0; end < len(data); {
			kind, payload, at, skipped, err := slow.next()
			kind2, payload2, at2, skipped2, err2 := fast.next()
			if err != nil || err2 != nil || kind != kind2 || at != at2 || skipped != skipped2 || !bytes.Equal(payload, payload2) {
				t.Fatalf("block %c at %d behind %d octets, %v; read at once %c at %d behind %d, %v", kind, at, skipped, err, kind2, at2, skipped2, err2)
			}
			if int(at) != end+skipped {
				t.Fatalf("a block at %d, %d octets behind %d", at, skipped, end)
			}
			if end = int(at); kind != 0 {
				end += headLen + len(payload)
			}
		}
		file, err := parseFile(l, l.name(begin), io.NewSectionReader(bytes.NewReader(data), 0, int64(len(data))), always)
		if err != nil {
			t.Fatal(err)
		}
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
				if err := parseData(appendData(nil, l, n, r.columns, r.list), l, r.columns, nil, again); err != nil {
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
