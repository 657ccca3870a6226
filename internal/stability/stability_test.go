package stability

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// sp1065 returns the frequency data of NIST SP 1065, section 12.4: 1000 numbers of
// the generator n[i+1] = 16807 n[i] mod 2147483647, divided by its modulus.
func sp1065() []float64 {
	y := make([]float64, 1000)
	const modulus = 2147483647
	n := uint64(1234567890)
	for i := range y {
		y[i] = float64(n) / modulus
		n = 16807 * n % modulus
	}
	return y
}

// phaseOf integrates frequency data of one second to phase, ns, less a mean.
func phaseOf(y []float64, mean float64) []float64 {
	x := make([]float64, len(y)+1)
	for i, v := range y {
		x[i+1] = x[i] + (v-mean)*1e9
	}
	return x
}

func same(got, want, relative float64) bool { return math.Abs(got/want-1) <= relative }

// Table 31 of NIST SP 1065, page 108. It gives seven digits.
func TestPublishedValuesOfNISTSP1065(t *testing.T) {
	t.Parallel()
	y := sp1065()
	low, high, sum := y[0], y[0], 0.0
	for _, v := range y {
		low, high, sum = min(low, v), max(high, v), sum+v
	}
	if !same(high, 9.957453e-01, 1e-7) || !same(low, 1.371760e-03, 1e-6) || !same(sum/1000, 4.897745e-01, 1e-7) {
		t.Fatalf("the generator's maximum, minimum and mean are %v, %v, %v", high, low, sum/1000)
	}
	x := phaseOf(y, 0)
	for _, w := range []struct {
		m                          int
		normal, adev, mdev, tdevNS float64
	}{
		{1, 2.922319e-01, 2.922319e-01, 2.922319e-01, 1.687202e8},
		{10, 9.965736e-02, 9.159953e-02, 6.172376e-02, 3.563623e8},
		{100, 3.897804e-02, 3.241343e-02, 2.170921e-02, 1.253382e9},
	} {
		p := At(x, 1, w.m)
		if !same(p.ADEV, w.adev, 2e-7) || !same(p.MDEV, w.mdev, 2e-7) || !same(p.TDEV, w.tdevNS, 5e-7) {
			t.Errorf("m = %d: ADEV %.6e, MDEV %.6e, TDEV %.6e ns; published %.6e, %.6e, %.6e", w.m, p.ADEV, p.MDEV, p.TDEV, w.adev, w.mdev, w.tdevNS)
		}
		// The deviation without overlap is that of every m-th datum.
		var every []float64
		for i := 0; i < len(x); i += w.m {
			every = append(every, x[i])
		}
		if p := At(every, float64(w.m), 1); !same(p.ADEV, w.normal, 2e-7) {
			t.Errorf("m = %d: ADEV without overlap %.6e, published %.6e", w.m, p.ADEV, w.normal)
		}
	}
}

// PHASE.DAT of Stable32 is the same series less its mean. The values are those that
// Stable32 1.53 prints for it.
func TestValuesOfStable32(t *testing.T) {
	t.Parallel()
	x := phaseOf(sp1065(), 4.897744629e-01)
	for m, want := range map[int]float64{1: 5.0597e-01, 3: 1.2984, 7: 2.2922, 15: 2.9949, 31: 4.4550, 63: 6.5989, 127: 6.8061, 255: 7.8205, 511: 7.8205} {
		if p := At(x, 1, m); !same(p.MTIE, want*1e9, 5e-5) {
			t.Errorf("MTIE at %d: %.5g s, Stable32 has %.5g", m, p.MTIE*1e-9, want)
		}
	}
	for m, want := range map[int][2]float64{2: {2.0102e-01, 1.5821e-01}, 5: {1.3319e-01, 9.7166e-02}, 20: {5.3700e-02, 3.7814e-02}, 64: {3.6237e-02, 2.7871e-02}, 200: {1.6448e-02, 6.9915e-03}, 247: {1.1195e-02, 4.2609e-03}} {
		p := At(x, 1, m)
		if !same(p.ADEV, want[0], 5e-5) || !same(p.MDEV, want[1], 5e-5) {
			t.Errorf("m = %d: ADEV %.5g, MDEV %.5g; Stable32 has %.5g, %.5g", m, p.ADEV, p.MDEV, want[0], want[1])
		}
		if terms := 1001 - 2*m; p.Terms != terms {
			t.Errorf("m = %d: %d terms, Stable32 has %d", m, p.Terms, terms)
		}
	}
}

// direct computes a point by the definitions, with gaps left out.
func direct(x []float64, m int) (adev, mdev, mtie float64) {
	var a, d, n, k float64
	largest := math.NaN()
	for i := range x {
		if i+2*m < len(x) {
			if v := x[i+2*m] - 2*x[i+m] + x[i]; !math.IsNaN(v) {
				a, n = a+v*v, n+1
			}
		}
		if i+3*m <= len(x) {
			s := 0.0
			for j := i; j < i+m; j++ {
				s += x[j+2*m] - 2*x[j+m] + x[j]
			}
			if !math.IsNaN(s) {
				d, k = d+s*s/float64(m*m), k+1
			}
		}
		for j := i + 1; j < len(x) && j <= i+m; j++ {
			if v := math.Abs(x[i] - x[j]); !math.IsNaN(v) && !(v <= largest) {
				largest = v
			}
		}
	}
	scale := 1e-9 / float64(m)
	return scale * math.Sqrt(a/2/n), scale * math.Sqrt(d/2/k), largest
}

func TestGapsAreLeftOut(t *testing.T) {
	t.Parallel()
	const seed = 5
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, 700)
	for i := range x {
		x[i] = rng.NormFloat64()*10 + float64(i)
		if rng.IntN(40) == 0 || i > 300 && i < 350 {
			x[i] = math.NaN()
		}
	}
	for _, m := range []int{1, 2, 5, 17, 60} {
		adev, mdev, mtie := direct(x, m)
		p := At(x, 1, m)
		if !same(p.ADEV, adev, 1e-9) || !same(p.MTIE, mtie, 1e-12) || math.IsNaN(mdev) != math.IsNaN(p.MDEV) || !math.IsNaN(mdev) && !same(p.MDEV, mdev, 1e-9) {
			t.Errorf("m = %d: %v %v %v; by definition %v %v %v", m, p.ADEV, p.MDEV, p.MTIE, adev, mdev, mtie)
		}
	}
}

func TestDataThatAreNotEnough(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for _, x := range [][]float64{nil, {1, 2}, {nan, nan, nan, nan}, {1, nan, nan, 2, nan}} {
		if _, err := Compute(x, 1); !errors.Is(err, ErrTooFew) {
			t.Errorf("%v: %v", x, err)
		}
	}
	if _, err := Compute(make([]float64, MaxData+1), 1); !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	for _, tau := range []float64{0, -1, nan} {
		if _, err := Compute(make([]float64, 10), tau); err == nil {
			t.Errorf("tau0 %v", tau)
		}
	}
	p, err := Compute([]float64{1, nan, 2, nan, 3, nan}, 1)
	if err != nil || len(p) != 1 || !math.IsNaN(p[0].ADEV) || !math.IsNaN(p[0].MTIE) {
		t.Errorf("%+v %v", p, err)
	}
	if p, err = Compute(make([]float64, 1000), 1); err != nil || p[len(p)-1].M != 200 || p[0].ADEV != 0 {
		t.Errorf("%+v %v", p[len(p)-1], err)
	}
}

// What three independent transcriptions of ITU-T G.8272 have: the rows of allantools are
// its functions at points of each range, those of kshana also the ends of the ranges and
// the figures that the Recommendation prints, those of vse-sync-pp its own test.
func TestMasksAreThoseOfOthers(t *testing.T) {
	t.Parallel()
	const mtie, tdev = true, false
	none := math.NaN()
	for _, x := range []struct {
		source string
		class  int // of Masks
		mtie   bool
		tau    float64
		want   float64 // ns
	}{
		{"allantools, table 1", 0, mtie, 1, 25.275}, {"allantools, table 1", 0, mtie, 200, 80}, {"allantools, table 1", 0, mtie, 274, 100}, {"allantools, table 1", 0, mtie, 1e5, 100},
		{"allantools, table 2", 1, mtie, 1, 25.275}, {"allantools, table 2", 1, mtie, 54, 39.85}, {"allantools, table 2", 1, mtie, 55, 40}, {"allantools, table 2", 1, mtie, 1e5, 40},
		{"allantools, table 3", 0, tdev, 1, 3}, {"allantools, table 3", 0, tdev, 99, 3}, {"allantools, table 3", 0, tdev, 500, 15}, {"allantools, table 3", 0, tdev, 2000, 30},
		{"allantools, table 4", 1, tdev, 1, 1}, {"allantools, table 4", 1, tdev, 99, 1}, {"allantools, table 4", 1, tdev, 400, 4}, {"allantools, table 4", 1, tdev, 2000, 5},

		{"kshana, table 1", 0, mtie, 0.1, none}, {"kshana, table 1", 0, mtie, 0.11, 25.03025}, {"kshana, table 1", 0, mtie, 273, 100.075}, {"kshana, table 1", 0, mtie, 273.1, 100},
		{"kshana, table 2", 1, mtie, 54.5, 39.9875}, {"kshana, table 2", 1, mtie, 54.6, 40},
		{"kshana, table 3", 0, tdev, 100, 3}, {"kshana, table 3", 0, tdev, 101, 3.03}, {"kshana, table 3", 0, tdev, 1000, 30}, {"kshana, table 3", 0, tdev, 9999, 30}, {"kshana, table 3", 0, tdev, 10_000, none},
		{"kshana, table 4", 1, tdev, 100, 1}, {"kshana, table 4", 1, tdev, 101, 1.01}, {"kshana, table 4", 1, tdev, 500, 5}, {"kshana, table 4", 1, tdev, 99_999, 5}, {"kshana, table 4", 1, tdev, 100_000, none},
		{"kshana, figure 1", 0, mtie, 54.5, 39.9875},

		{"vse-sync-pp", 0, mtie, 100, 52.5}, {"vse-sync-pp", 0, mtie, 300, 100}, {"vse-sync-pp", 1, mtie, 300, 40},
		{"vse-sync-pp", 0, tdev, 100, 3}, {"vse-sync-pp", 0, tdev, 150, 4.5}, {"vse-sync-pp", 1, tdev, 100, 1}, {"vse-sync-pp", 1, tdev, 150, 1.5}, {"vse-sync-pp", 1, tdev, 550, 5},
	} {
		m := &Masks()[x.class]
		got, kind := m.TDEV(x.tau), "TDEV"
		if x.mtie {
			got, kind = m.MTIE(x.tau), "MTIE"
		}
		if math.IsNaN(got) != math.IsNaN(x.want) || math.Abs(got-x.want) > 1e-9 {
			t.Errorf("%s of %s at %v s is %v ns, %s has %v", kind, m.Name, x.tau, got, x.source, x.want)
		}
	}
	if a, b := Masks()[0].TE, Masks()[1].TE; a != 100 || b != 40 { // kshana, vse-sync-pp; Calnex, one-page summary of G.8272
		t.Errorf("time error %v and %v ns, want 100 and 40", a, b)
	}
}

func TestMasksOfG8272(t *testing.T) {
	t.Parallel()
	a, b := Masks()[0], Masks()[1]
	for _, x := range []struct {
		m          *Mask
		tau        float64
		mtie, tdev float64
	}{
		{&a, 0.05, math.NaN(), math.NaN()}, {&a, 1, 25.275, 3}, {&a, 100, 52.5, 3}, {&a, 150, 66.25, 4.5}, {&a, 1000, 100, 30}, {&a, 5000, 100, 30}, {&a, 20000, 100, math.NaN()},
		{&b, 1, 25.275, 1}, {&b, 54, 39.85, 1}, {&b, 100, 40, 1}, {&b, 150, 40, 1.5}, {&b, 600, 40, 5}, {&b, 1e6, 40, math.NaN()},
	} {
		eq := func(a, b float64) bool { return math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) < 1e-9 }
		if !eq(x.m.MTIE(x.tau), x.mtie) || !eq(x.m.TDEV(x.tau), x.tdev) {
			t.Errorf("%s at %v s: MTIE %v, TDEV %v; want %v, %v", x.m.Name, x.tau, x.m.MTIE(x.tau), x.m.TDEV(x.tau), x.mtie, x.tdev)
		}
	}
}

func TestComparisonWithAMask(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 1))
	x := make([]float64, 3000)
	for i := range x {
		x[i] = rng.NormFloat64() * 0.6
	}
	a, b := Masks()[0], Masks()[1]
	compare := func(m *Mask) Verdict {
		t.Helper()
		p, err := Compute(x, 1)
		if err != nil {
			t.Fatal(err)
		}
		return m.Compare(x, p)
	}
	if v := compare(&b); !v.Within() || v.MTIE < 0.1 || v.TDEV < 0.1 {
		t.Errorf("white noise of 0.6 ns: %+v", v)
	}
	x[1500] = 60 // beyond PRTC-B's 40 ns and MTIE
	if v := compare(&b); v.Within() || v.TE != 1.5 || v.MTIE <= 1 {
		t.Errorf("a datum of 60 ns: %+v", v)
	}
	for i := range x {
		x[i] = math.Sin(float64(i)/60) * 90 // wander of six minutes
	}
	if v := compare(&a); v.Within() || v.TE >= 1 || v.MTIE <= 1 || v.TDEV <= 1 {
		t.Errorf("wander: %+v", v)
	}
	if v := a.Compare(nil, nil); v.Within() {
		t.Errorf("nothing is within the mask: %+v", v)
	}
}

func TestExports(t *testing.T) {
	t.Parallel()
	x := []float64{12.5, math.NaN(), 0, -3}
	if err := Export(new(bytes.Buffer), "xls", x, time.Time{}, time.Second); err == nil || !strings.Contains(err.Error(), `"xls"`) {
		t.Error(err)
	}
	want := map[string]string{
		"csv":      "time,phase_ns\n2026-11-23T11:59:59Z,12.50\n2026-11-23T12:00:00Z,\n2026-11-23T12:00:01Z,0.00\n2026-11-23T12:00:02Z,-3.00\n",
		"stable32": "1.25000000000e-08\n0\n1.0e-18\n-3.00000000000e-09\n",
	}
	for _, format := range Formats() {
		var b bytes.Buffer
		if err := Export(&b, format, x, time.Unix(1795435199, 0), time.Second); err != nil || b.String() != want[format] || b.Len() == 0 {
			t.Errorf("%s: %v %q", format, err, &b)
		}
	}
}

// Recorded series with the results that Stable32 printed for them, as the project
// allantools publishes them (tests/gps, tests/Keysight53230A_ti_noise_floor,
// tests/Cs5071A): NOONMARK_DATA/stability/NAME/phase.txt or phase.txt.gz, phase in s,
// and adev.txt, mdev.txt, tdev.txt, mtie.txt.
func TestPublishedValuesOfRecordedSeries(t *testing.T) {
	t.Parallel()
	root := filepath.Join(os.Getenv("NOONMARK_DATA"), "stability")
	names, err := os.ReadDir(root)
	if os.Getenv("NOONMARK_DATA") == "" || err != nil {
		t.Skip("NOONMARK_DATA/stability with recorded series and the results of Stable32 is missing")
	}
	for _, n := range names {
		t.Run(n.Name(), func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(root, n.Name())
			x := numbers(t, dir, "phase.txt", 0, 1e9)
			compared := 0
			for _, k := range []struct {
				file string
				of   func(Point) float64
			}{
				{"oadev.txt", func(p Point) float64 { return p.ADEV }}, {"mdev.txt", func(p Point) float64 { return p.MDEV }},
				{"tdev.txt", func(p Point) float64 { return p.TDEV * 1e-9 }}, {"mtie.txt", func(p Point) float64 { return p.MTIE * 1e-9 }},
			} {
				if _, err := os.Stat(filepath.Join(dir, k.file)); err != nil {
					continue
				}
				factors := numbers(t, dir, k.file, 0, 1)
				column := map[string]int{"mtie.txt": 3}[k.file]
				if column == 0 {
					column = 5
				}
				values := numbers(t, dir, k.file, column, 1)
				worst := 0.0
				for i, m := range factors {
					got := k.of(At(x, 1, int(m)))
					worst = max(worst, math.Abs(got/values[i]-1))
					if !same(got, values[i], 2e-4) {
						t.Errorf("%s, m = %v: %.4e, Stable32 has %.4e", k.file, m, got, values[i])
					}
					compared++
				}
				t.Logf("%d data, %s: %d values, largest relative difference %.1e", len(x), k.file, len(values), worst)
			}
			if compared == 0 {
				t.Error("no results to compare with")
			}
		})
	}
}

// numbers reads a column of numbers. Lines that do not begin with a number are left
// out.
func numbers(t *testing.T, dir, name string, column int, scale float64) (all []float64) {
	t.Helper()
	path := filepath.Join(dir, name)
	f, err := os.Open(path)
	var r io.Reader = f
	if errors.Is(err, os.ErrNotExist) {
		if f, err = os.Open(path + ".gz"); err == nil {
			r, err = gzip.NewReader(f)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(r)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) <= column {
			continue
		}
		if _, err := strconv.ParseFloat(fields[0], 64); err != nil {
			continue
		}
		v, err := strconv.ParseFloat(fields[column], 64)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, v*scale)
	}
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}
