package history

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// begin is the first second of the recordings, an hour before midnight.
var begin = time.Date(2026, 11, 28, 23, 0, 0, 0, time.UTC).Unix()

var testColumns = []Column{{Offset, 2}, {Bound, 0}, {Temperature, 3}, {State, 0}}

// recorded is what was given to a writer: the truth of the tests.
type recorded map[int64][]float64

// record writes seconds [from, to) with gaps, restarts and missing values.
func record(t *testing.T, dir string, seed uint64, from, to int64) recorded {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	all, temp, gap := recorded{}, 40.0, 0
	var w *Writer
	var b *Batch
	stop := func() {
		if b == nil {
			return
		}
		if m := b.Close(); m != nil {
			write(t, w, m)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		b = nil
	}
	for s := from; s < to; s++ {
		if rng.IntN(5000) == 0 { // a restart, after up to three hours
			stop()
			gap = rng.IntN(10_800)
		}
		if gap > 0 {
			gap--
			continue
		}
		if b == nil {
			w, b = newWriter(t, Options{Dir: dir, Columns: testColumns})
		}
		temp += rng.NormFloat64() * 0.01
		v := []float64{math.Round(rng.NormFloat64()*1000) / 100, float64(100 + rng.IntN(50)), math.Round(temp*1000) / 1000, float64(rng.IntN(5))}
		if rng.IntN(20) == 0 {
			v[rng.IntN(4)] = []float64{math.NaN(), math.Inf(1), 1e300}[rng.IntN(3)]
		}
		all[s] = v
		if m := b.Add(s, v); m != nil {
			write(t, w, m)
		}
	}
	stop()
	return all
}

// durably: tests wait for the disc after each minute. It takes half a minute.
var durably = os.Getenv("NOONMARK_LONG") != ""

func newWriter(t *testing.T, opt Options) (*Writer, *Batch) {
	t.Helper()
	w, err := NewWriter(opt)
	if err != nil {
		t.Fatal(err)
	}
	if !durably {
		w.sync = func(*os.File) error { return nil }
	}
	b, err := NewBatch(opt.Columns)
	if err != nil {
		t.Fatal(err)
	}
	return w, b
}

func write(t *testing.T, w *Writer, m *Minute) {
	t.Helper()
	if ok, err := w.Append(m); !ok || err != nil {
		t.Fatal(ok, err)
	}
}

// of sums up a column over [from, to).
func (r recorded) of(column int, from, to int64) (s summary) {
	for t := from; t < to; t++ {
		if v := r[t]; v != nil && math.Abs(v[column]) < 1e100 {
			s.add(single(v[column]))
		}
	}
	return s
}

// compare compares a result with the truth.
func compare(t *testing.T, res *Result, truth recorded, from, to int64) {
	t.Helper()
	for c, col := range testColumns {
		s := res.Of(col.Name)
		if s == nil {
			t.Fatalf("no %s", col.Name)
		}
		tolerance := 1.01 * math.Pow10(-col.Digits) // the mean of rounded means
		for p := range res.Points {
			at := res.Start + int64(p)*res.Step
			want := truth.of(c, max(at, from), min(at+res.Step, to))
			if want.n == 0 {
				want = summary{0, math.NaN(), math.NaN(), math.NaN()}
			}
			same := func(got, want, within float64) bool {
				return math.IsNaN(got) && math.IsNaN(want) || math.Abs(got-want) <= within
			}
			if !same(s.Min[p], want.low, 1e-9) || !same(s.Max[p], want.high, 1e-9) || !same(s.Mean[p], want.mean, tolerance) {
				t.Fatalf("%s at %v, step %d s: %v %v %v, want %v", col.Name, res.Time(p), res.Step, s.Min[p], s.Mean[p], s.Max[p], want)
			}
		}
	}
}

func query(t *testing.T, dir string, from, to int64, points int) *Result {
	t.Helper()
	res, err := Open(dir).Query(Query{From: time.Unix(from, 0), To: time.Unix(to, 0), MaxPoints: points})
	if err != nil {
		t.Fatal(err)
	}
	if res.Points > points || res.Start > from || res.Start+int64(res.Points)*res.Step < to {
		t.Fatalf("%d points of %d s from %d, for [%d, %d) and %d points", res.Points, res.Step, res.Start, from, to, points)
	}
	return res
}

// compareSelection checks that a Selection whose columns are read one by one and two at once has what Query
// returns.
func compareSelection(t *testing.T, dir string, q Query) {
	t.Helper()
	res, err := Open(dir).Query(q)
	if err != nil {
		t.Fatal(err)
	}
	x, err := Open(dir).Select(q)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range res.Series {
		names = append(names, s.Name)
	}
	if x.Start != res.Start || x.Step != res.Step || x.Points != res.Points || !slices.Equal(x.Names, names) || !slices.Equal(x.Damage, res.Damage) {
		t.Fatalf("selected %d points of %d s from %d of %q, damage %v; want %d, %d, %d, %q, %v", x.Points, x.Step, x.Start, x.Names, x.Damage, res.Points, res.Step, res.Start, names, res.Damage)
	}
	same := func(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }
	for i, name := range names {
		for _, some := range [][]string{{name}, {names[(i+1)%len(names)], name}, {"nothing", name}} {
			list, err := x.Read(some...)
			if err != nil || len(list) != len(some) {
				t.Fatalf("%q: %d series, %v", some, len(list), err)
			}
			got, want := list[len(list)-1], res.Series[i]
			if got.Name != name || !slices.EqualFunc(got.Min, want.Min, same) || !slices.EqualFunc(got.Mean, want.Mean, same) || !slices.EqualFunc(got.Max, want.Max, same) {
				t.Fatalf("%s of %q, step %d s: %v, want %v", name, some, x.Step, got, want)
			}
			if some[0] == "nothing" && slices.ContainsFunc(list[0].Mean, func(v float64) bool { return !math.IsNaN(v) }) {
				t.Errorf("a column that does not exist has values: %v", list[0].Mean)
			}
		}
	}
}

func TestQueriesAgreeWithWhatWasRecorded(t *testing.T) {
	t.Parallel()
	const days = 3
	for seed := range uint64(2) {
		t.Logf("seed %d", seed)
		dir := t.TempDir()
		end := begin + days*86400 + 1234
		truth := record(t, dir, seed, begin, end)
		for _, x := range []struct {
			from, to int64
			points   int
			step     int64
		}{
			{begin, begin + 600, 600, 1},
			{begin + 3500, begin + 3500 + 7200, 10_000, 1}, // over midnight
			{end - 900, end, 1000, 1},
			{begin, begin + 7200, 1000, 10},
			{begin - 86400, begin + 3600, 100_000, 1}, // nothing before
			{begin, end, 5000, 60},
			{begin - begin%3600, end, 1000, 300},
			{begin - begin%86400, begin - begin%86400 + 4*86400, 100, 3600},
			{begin - begin%86400 - 400*86400, begin - begin%86400 + 20*86400, 500, 86400},
		} {
			res := query(t, dir, x.from, x.to, x.points)
			if res.Step != x.step || len(res.Damage) > 0 {
				t.Errorf("step %d, damage %v; want step %d", res.Step, res.Damage, x.step)
			}
			// Minutes and hours that the range cuts are not divided.
			from, to := x.from, x.to
			if x.step >= 60 {
				from, to = from-from%x.step, to+x.step
			}
			compare(t, res, truth, max(from, begin), min(to, end))
			compareSelection(t, dir, Query{From: time.Unix(x.from, 0), To: time.Unix(x.to, 0), MaxPoints: x.points})
		}
	}
}

func TestOldSecondsAreRemovedAndMinutesStay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, b := newWriter(t, Options{Dir: dir, Columns: testColumns, Days: 2})
	const days = 6
	truth := recorded{}
	for s := begin; s < begin+days*86400; s += 20 {
		v := []float64{float64(s % 977), 1, 2, 3}
		truth[s] = v
		if m := b.Add(s, v); m != nil {
			write(t, w, m)
		}
	}
	files, err := listFiles(dir, Seconds)
	if err != nil || len(files) != 3 || files[2].name != "2026-12-04.sec" {
		t.Fatal(files, err)
	}
	res := query(t, dir, begin, begin+3600, 10_000)
	if res.Step != 60 {
		t.Errorf("step %d of a time whose seconds are removed", res.Step)
	}
	compare(t, res, truth, begin, begin+3600)
	// A range that has seconds for a part only: minutes fill the rest.
	res = query(t, dir, begin+3*86400, begin+4*86400, 100_000)
	s := res.Of(Offset)
	if res.Step != 1 || s.Mean[30] != s.Mean[31] || math.IsNaN(s.Mean[0]) || s.Min[0] >= s.Max[0] {
		t.Errorf("step %d, %v %v %v", res.Step, s.Min[:3], s.Mean[:3], s.Max[:3])
	}
	// Seconds: only what there are seconds of.
	v, err := Open(dir).Seconds(Offset, time.Unix(begin+3*86400, 0), time.Unix(begin+4*86400, 0))
	if err != nil || v.Start != begin+3*86400 || len(v.Each) != 86400 || len(v.Damage) != 0 {
		t.Fatal(v, err)
	}
	known := 0
	for p, x := range v.Each {
		if !math.IsNaN(x) {
			known++
			if at := v.Start + int64(p); truth[at] == nil || truth[at][0] != x {
				t.Fatalf("%v at %d", x, at)
			}
		}
	}
	if want := 86400 - 3600; known != want/20 || v.Known != known {
		t.Errorf("%d seconds, want %d; said %d", known, want/20, v.Known)
	}
	// Too little room: seconds go first, then minutes, and the present files stay.
	w.opt.MaxSize = 1
	if err := w.shrink(); err != nil {
		t.Fatal(err)
	}
	var names []string
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if want := []string{"2026-12-04.sec", "2026-12.min", "2026.hour"}; !slices.Equal(names, want) {
		t.Errorf("%v, want %v", names, want)
	}
}

// A clock that was wrong by decades for a while costs one file, not the history.
func TestAWrongDateCostsNoHistory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	truth := record(t, dir, 7, begin, begin+7300)
	w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
	for _, at := range []int64{0, begin + 20*365*86400, -5e9, begin + 8000, begin + 8060} {
		if m := b.Add(at, []float64{1, 2, 3, 4}); m != nil {
			write(t, w, m)
		}
	}
	truth[begin+8000] = []float64{1, 2, 3, 4}
	compare(t, query(t, dir, begin, begin+8060, 10_000), truth, begin, begin+8060)
}

func TestAMinuteThatCannotBeWrittenCanBeGivenAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
	obstacle := filepath.Join(dir, Seconds.name(begin))
	if err := os.Mkdir(obstacle, 0o755); err != nil {
		t.Fatal(err)
	}
	b.Add(begin, []float64{1, 2, 3, 4})
	m := b.Close()
	if ok, err := w.Append(m); ok || err == nil {
		t.Fatal(ok, err)
	}
	if err := os.Remove(obstacle); err != nil {
		t.Fatal(err)
	}
	write(t, w, m)
	if v := query(t, dir, begin, begin+1, 1).Of(Offset).Mean[0]; v != 1 {
		t.Error(v)
	}
}

// /dev/full refuses every write as a full disc does.
func TestAFullDiscIsAnError(t *testing.T) {
	t.Parallel()
	f, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("/dev/full is missing:", err)
	}
	defer f.Close()
	if err := appendWhole(f, []byte("x"), syncData); err == nil || !strings.Contains(err.Error(), "no space") {
		t.Error(err)
	}
}

func TestColumnsThatAreNotPossible(t *testing.T) {
	t.Parallel()
	var many []Column
	for i := range MaxColumns + 1 {
		many = append(many, Column{fmt.Sprint("c", i), 0})
	}
	for _, x := range [][]Column{nil, many, {{"", 0}}, {{"a b", 0}}, {{"a", -1}}, {{"a", 10}}, {{"a", 1}, {"a", 2}}, {{strings.Repeat("x", MaxName+1), 0}}, {{"ä", 0}}} {
		if _, err := NewWriter(Options{Columns: x}); !errors.Is(err, ErrColumns) {
			t.Errorf("%v: %v", x, err)
		}
	}
	if err := checkColumns(append(ReferenceColumns(), Column{ColumnName(WitnessOf, "zeit.example ä\n"+strings.Repeat("x", 200)), 0})); err != nil {
		t.Error(err)
	}
}

func TestQueriesThatAreNotPossible(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := time.Unix(begin, 0)
	for _, q := range []Query{
		{From: at, To: at, MaxPoints: 1}, {From: at.Add(time.Hour), To: at, MaxPoints: 1}, {From: at, To: at.Add(time.Hour)},
		{From: at, To: at.Add(time.Hour), MaxPoints: MaxPoints + 1}, {From: at, To: at.AddDate(1000, 0, 0), MaxPoints: 9}, {MaxPoints: 9, To: at},
	} {
		if _, err := Open(dir).Query(q); !errors.Is(err, ErrQuery) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	for _, to := range []time.Time{at, at.Add(-time.Second), at.Add((MaxPoints + 1) * time.Second)} {
		if _, err := Open(dir).Seconds(Offset, at, to); !errors.Is(err, ErrQuery) {
			t.Errorf("seconds from %v to %v: %v", at, to, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")).Query(Query{From: at, To: at.Add(time.Hour), MaxPoints: 9}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, err := Open(filepath.Join(dir, "missing")).Seconds(Offset, at, at.Add(time.Hour)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	record(t, dir, 1, begin, begin+300)
	if _, err := Open(dir).Query(Query{From: at.Add(-30 * 24 * time.Hour), To: at, MaxPoints: MaxPoints}); err != nil {
		t.Error(err) // nothing there, nothing to hold
	}
	_, err := Open(dir).Query(Query{From: at.Add(-30 * 24 * time.Hour), To: at.Add(time.Hour), MaxPoints: MaxPoints})
	if !errors.Is(err, ErrQuery) {
		t.Errorf("four columns of %d points: %v", MaxPoints, err)
	}
	res, err := Open(dir).Query(Query{From: at.Add(-30 * 24 * time.Hour), To: at.Add(time.Hour), MaxPoints: MaxPoints, Columns: []string{Offset}})
	if err != nil || len(res.Series) != 1 || res.Step != 1 {
		t.Error(err)
	}
}

func TestReadingWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, b := newWriter(t, Options{Dir: dir, Columns: testColumns})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := begin; s < begin+3*3600; s++ {
			if m := b.Add(s, []float64{float64(s - begin), 1, 2, 3}); m != nil {
				if ok, err := w.Append(m); !ok || err != nil {
					t.Error(err)
				}
			}
		}
	}()
	last := -1
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		res := query(t, dir, begin, begin+3*3600, 180)
		if len(res.Damage) > 0 {
			t.Fatalf("%+v", res.Damage)
		}
		n := 0
		if s := res.Of(Offset); s != nil {
			for p, v := range s.Mean {
				if math.IsNaN(v) {
					break
				}
				if v != float64(p*60)+29.5 {
					t.Fatalf("minute %d is %v", p, v)
				}
				n++
			}
		}
		if n < last {
			t.Fatalf("%d minutes after %d", n, last)
		}
		last = n
	}
	if last != 179 { // the last minute is not complete
		t.Errorf("%d minutes", last)
	}
}

// A day of a real appliance's columns takes less than 4.2 MB: 29 MB a week.
func TestADayIsSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w, b := newWriter(t, Options{Dir: dir, Columns: ReferenceColumns()})
	rng := rand.New(rand.NewPCG(1, 2))
	temp, freq := 41.0, -2300.0
	midnight := begin - begin%86400
	for s := midnight; s <= midnight+86400; s++ {
		temp += rng.NormFloat64() * 0.003
		freq += rng.NormFloat64() * 0.05
		offset := rng.NormFloat64() * 12
		m := b.Add(s, []float64{offset, offset / 5, offset * 4 / 5, 95 + rng.Float64()*5, -freq, freq, temp, 12 + rng.NormFloat64()*0.2,
			float64(18 + rng.IntN(3)), 38 + rng.NormFloat64()*0.3, 2, 1, float64(30 + rng.IntN(20)), float64(3000 + rng.IntN(100)), 1})
		if m != nil {
			write(t, w, m)
		}
	}
	write(t, w, b.Close())
	for _, x := range []struct {
		name  string
		limit int64
	}{{Seconds.name(midnight), 29_000_000 / 7}, {Minutes.name(midnight), 200e3}, {Hours.name(midnight), 8e3}} {
		fi, err := os.Stat(filepath.Join(dir, x.name))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d octets", x.name, fi.Size())
		if fi.Size() > x.limit {
			t.Errorf("%s has %d octets, more than %d", x.name, fi.Size(), x.limit)
		}
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, _, ok := Open(dir).Range(); ok {
		t.Error("a range of nothing")
	}
	record(t, dir, 1, begin, begin+100)
	from, to, ok := Open(dir).Range()
	if !ok || from.Unix() > begin || to.Unix() < begin+100 || to.Sub(from) != 24*time.Hour {
		t.Error(from, to, ok)
	}
}
