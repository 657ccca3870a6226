package status

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/phc/tai"
)

func full() Snapshot {
	return Snapshot{
		State: Holdover, Kind: PHCClock, Stratum: 1, LeapSign: -1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: 3, Epoch: 7,
		Mono: 1e15, Clock: 18e17, RatePPB: -2300.25, LineErr: 11, Bound: 250, BoundRate: 3.5, Limit: 100_000,
		TAIOffset: 37, LeapAt: 19e17, RefTime: 18e17 - 5, RootDelay: 3, OffsetNS: -4.5, FreqPPB: 2301, NoiseNS: 2.25,
		LeapPast: 17e17, PastSign: 1, Slept: 1 << 60, PulseMono: 1e15 - 7, Pulses: 1, BadPulses: 2, Missed: 3, MsgMono: 1e15 - 9, Msgs: 4, BadMsgs: 5,
		Reason: "missing_pulses", Pulse: "/dev/pps0", Receiver: "/dev/ttyAMA0", ClockDev: "eth0",
	}
}

// open opens a snapshot at the instant of full, 1e15.
func open(t testing.TB, path string) *Reader {
	t.Helper()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.clocks = fullTime
	return r
}

// fullTime are the clocks at which full holds.
func fullTime() (real, mono int64) { return 18e17, 1e15 }

// create opens a snapshot for publishing.
func create(t testing.TB, path string) *Writer {
	t.Helper()
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// publish publishes a snapshot.
func publish(t testing.TB, w *Writer, s *Snapshot) {
	t.Helper()
	if err := w.Write(s); err != nil {
		t.Fatal(err)
	}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "status")
	if _, err := Open(path); !errors.Is(err, ErrNone) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	w := create(t, path)
	r := open(t, path)
	var got Snapshot
	if err := r.Load(&got); err != ErrNone {
		t.Errorf("before the first snapshot: %v", err)
	}
	s := full()
	publish(t, w, &s)
	if err := r.LoadAll(&got); err != nil || got != s {
		t.Errorf("read %+v, %v; wrote %+v", got, err, s)
	}
	if s.PID != uint32(os.Getpid()) || s.Updates != 1 {
		t.Errorf("pid %d, updates %d", s.PID, s.Updates)
	}
	s.Reason, s.ClockDev = strings.Repeat("x", 200), strings.Repeat("y", 200)
	publish(t, w, &s)
	if err := r.LoadAll(&got); err != nil || len(got.Reason) != lenReason || len(got.ClockDev) != lenClockDev || got.Receiver != s.Receiver {
		t.Errorf("long texts: %d, %d, %q, %v", len(got.Reason), len(got.ClockDev), got.Receiver, err)
	}
	s.Reason = "a\x1b[31mred\x00"
	publish(t, w, &s)
	if err := r.LoadAll(&got); err != nil || got.Reason != "a?[31mred" {
		t.Errorf("text with a terminal escape: %q, %v", got.Reason, err)
	}
	if n := testing.AllocsPerRun(100, func() { r.Load(&got) }); n != 0 && runtime.GOOS == "linux" {
		t.Errorf("Load allocates %v times", n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.LoadAll(&got); err != nil || got.Updates != 3 {
		t.Errorf("after the writer's end: %v", err)
	}
	// A new writer reuses the file in place.
	w = create(t, path)
	if err := r.Load(&got); err != nil || got.Updates != 3 {
		t.Errorf("the writer has restarted, and not written yet: %v", err)
	}
	s.Epoch++
	publish(t, w, &s)
	if err := r.Load(&got); err != nil || got.Epoch != s.Epoch || r.Replaced() {
		t.Errorf("after a restart: epoch %d, %v, replaced %v", got.Epoch, err, r.Replaced())
	}
	w.Close()
	os.Remove(path)
	if !r.Replaced() {
		t.Error("a removed file was not noticed")
	}
}

// TestFormat: the bytes are those of FORMAT.md, a contract with programs in other
// languages.
func TestFormat(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	s := full()
	publish(t, w, &s)
	b, err := os.ReadFile(path)
	if err != nil || len(b) != 512 {
		t.Fatal(len(b), err)
	}
	le := binary.LittleEndian
	u := func(off int) uint64 { return le.Uint64(b[off:]) }
	f := func(off int) float64 { return math.Float64frombits(u(off)) }
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"magic", string(b[:8]), "NOONMARK"},
		{"version", u(8), uint64(64<<32 | 1)},
		{"sequence", u(16), uint64(2)},
		{"state", b[32], byte(3)},
		{"kind", b[33], byte(1)},
		{"stratum", b[34], byte(1)},
		{"leap sign", int8(b[35]), int8(-1)},
		{"refid", string([]byte{b[39], b[38], b[37], b[36]}), "GPS\x00"},
		{"phc index", int32(le.Uint32(b[40:])), int32(3)},
		{"pid", le.Uint32(b[44:]), uint32(os.Getpid())},
		{"epoch", le.Uint32(b[48:]), uint32(7)},
		{"tai offset", int32(le.Uint32(b[52:])), int32(37)},
		{"mono", int64(u(56)), int64(1e15)},
		{"clock", int64(u(64)), int64(18e17)},
		{"rate", f(72), -2300.25},
		{"line error", u(80), uint64(11)},
		{"bound", u(88), uint64(250)},
		{"bound rate", f(96), 3.5},
		{"limit", u(104), uint64(100000)},
		{"leap at", u(112), uint64(19e17)},
		{"reference time", u(120), uint64(18e17 - 5)},
		{"root delay", u(128), uint64(3)},
		{"offset", f(136), -4.5},
		{"frequency", f(144), 2301.0},
		{"noise", f(152), 2.25},
		{"updates", u(160), uint64(1)},
		{"pulse mono", u(168), uint64(1e15 - 7)},
		{"pulses", [3]uint64{u(176), u(184), u(192)}, [3]uint64{1, 2, 3}},
		{"message mono", u(200), uint64(1e15 - 9)},
		{"messages", [2]uint64{u(208), u(216)}, [2]uint64{4, 5}},
		{"reason", string(b[224:239]), "missing_pulses\x00"},
		{"pulse", string(b[288:298]), "/dev/pps0\x00"},
		{"receiver", string(b[336:349]), "/dev/ttyAMA0\x00"},
		{"clock device", string(b[384:389]), "eth0\x00"},
		{"leap past", u(416), uint64(17e17)},
		{"sign of the leap past", int8(b[424]), int8(1)},
		{"slept", u(432), uint64(1 << 60)},
		{"time namespace", u(440), w.id.space},
		{"shift of its clocks", u(448), uint64(w.id.shift)},
		{"rest", strings.Trim(string(b[425:432])+string(b[456:504]), "\x00"), ""},
		{"checksum", u(504), checksum(b)},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
}

// checksum is the algorithm of FORMAT.md.
func checksum(b []byte) uint64 {
	h := uint64(0x4b52414d4e4f4f4e)
	for i := range 63 {
		h ^= binary.LittleEndian.Uint64(b[8*i:])
		h = h<<29 | h>>35
		h *= 0x9e3779b97f4a7c15
	}
	if h == 0 {
		return 1
	}
	return h
}

// seal sets the checksum of a changed file.
func seal(b []byte) []byte {
	binary.LittleEndian.PutUint64(b[504:], checksum(b))
	return b
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "status")
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrNone) {
		t.Errorf("short file: %v", err)
	}
	w := create(t, path)
	if runtime.GOOS == "linux" {
		if _, err := Create(path); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("second writer: %v", err)
		}
	}
	if _, err := Create(filepath.Join(path, "x")); err == nil {
		t.Error("a file was used as a directory")
	}
	s := full()
	publish(t, w, &s)
	w.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what   string
		off    int
		b      []byte
		unseal bool // the checksum is that of the good file
		want   error
	}{
		{"another magic", 0, []byte{'X'}, false, ErrFormat},
		{"a hole", 0, make([]byte, 512), true, ErrNone},
		{"another version", 8, []byte{2}, false, ErrFormat},
		{"another size", 12, []byte{65}, false, ErrFormat},
		{"never published", 16, []byte{0}, false, ErrNone},
		{"always being written", 16, []byte{3}, false, ErrBusy},
		{"parts of two snapshots", 64, []byte{1}, true, ErrBusy},
		{"another boot", 24, []byte{good[24] + 1}, false, ErrOldBoot},
		{"clocks that are shifted", 440, []byte{1, 1, 1, 1, 1, 1, 1, 1, 1}, false, ErrOtherClock},
		{"another namespace with the same clocks", 440, []byte{1, 1, 1, 1, 1, 1, 1, 1}, false, nil},
		{"a writer without a checksum", 504, make([]byte, 8), true, nil},
	} {
		b := append([]byte(nil), good...)
		copy(b[c.off:], c.b)
		if !c.unseal {
			seal(b)
		}
		p := filepath.Join(dir, "bad")
		os.Remove(p)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := open(t, p)
		if err := r.Load(&s); err != c.want {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	// A writer that died while writing leaves no snapshot.
	b := append([]byte(nil), good...)
	b[16] = 5
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	create(t, path)
	if err := open(t, path).Load(&s); err != ErrNone {
		t.Errorf("after the writer died while writing: %v", err)
	}
}

// Each impossible value is refused by its name.
func TestImplausibleValuesAreRefused(t *testing.T) {
	t.Parallel()
	const real, mono = int64(18e17), int64(1e15)
	for _, c := range []struct {
		what string
		edit func(*Snapshot)
		want error
	}{
		{"rate", func(s *Snapshot) { s.RatePPB = 1e9 }, badRate},
		{"rate is not a number", func(s *Snapshot) { s.RatePPB = math.NaN() }, badNumber},
		{"measurement is infinite", func(s *Snapshot) { s.OffsetNS = math.Inf(-1) }, badNumber},
		{"negative bound", func(s *Snapshot) { s.Bound = -1 }, badBound},
		{"negative error of the line", func(s *Snapshot) { s.LineErr = -1 }, badBound},
		{"limit of a century", func(s *Snapshot) { s.Limit = math.MaxInt64 }, badBound},
		{"bound that shrinks", func(s *Snapshot) { s.BoundRate = -1 }, badBoundRate},
		{"bound that never grows", func(s *Snapshot) { s.BoundRate = 0 }, badBoundRate},
		{"bound that grows by seconds a second", func(s *Snapshot) { s.BoundRate = 1e10 }, badBoundRate},
		{"from the future", func(s *Snapshot) { s.Mono = mono + 2e9 }, badMono},
		{"before the boot", func(s *Snapshot) { s.Mono = -1 }, badMono},
		{"68 years ahead", func(s *Snapshot) { s.Clock += 1 << 31 * 1e9; s.LeapAt = 0 }, badClock},
		{"30 years behind", func(s *Snapshot) { s.Clock -= 946e15; s.RefTime, s.LeapAt, s.LeapPast = s.Clock, 0, 0 }, badClock},
		{"measured in the future", func(s *Snapshot) { s.RefTime = s.Clock + 2e9 }, badRefTime},
		{"TAI - UTC", func(s *Snapshot) { s.TAIOffset = -1 }, badOffset},
		{"TAI - UTC of an hour", func(s *Snapshot) { s.TAIOffset = 3600 }, badOffset},
		{"leap second of two seconds", func(s *Snapshot) { s.LeapSign = 2 }, badLeap},
		{"leap second in a century", func(s *Snapshot) { s.LeapAt = math.MaxInt64 }, badLeap},
		{"stratum", func(s *Snapshot) { s.Stratum = 17 }, badStratum},
		{"state", func(s *Snapshot) { s.State = 9 }, badKind},
		{"kind", func(s *Snapshot) { s.Kind = 9 }, badKind},
		{"root delay", func(s *Snapshot) { s.RootDelay = -1 }, badDelay},
		{"clock that no card has", func(s *Snapshot) { s.PHCIndex = -1 }, badPHC},

		{"as it was", func(*Snapshot) {}, nil},
		{"no bound", func(s *Snapshot) { s.Bound = math.MaxInt64 }, nil},
		{"nothing known", func(s *Snapshot) { *s = Snapshot{Stratum: 16, PHCIndex: -1, Mono: 5} }, nil},
		{"a second behind", func(s *Snapshot) { s.Mono -= 1e9 }, nil},
	} {
		s := full()
		c.edit(&s)
		if err := s.implausible(real, mono); err != c.want || c.want != nil && !errors.Is(err, ErrImplausible) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
	}
	s := full()
	s.Clock -= 946e15
	s.RefTime, s.LeapAt, s.LeapPast = s.Clock, 0, 0
	if err := s.implausible(0, mono); err != nil {
		t.Errorf("a system clock that was never set says nothing: %v", err)
	}
}

// None of many random contents with a good seal is served.
func TestHostileContentsAreNeverServed(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	s := full()
	publish(t, w, &s)
	w.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r := open(t, path)
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seed := uint64(20261128)
	rnd := rand.New(rand.NewPCG(seed, 1))
	served, refused := 0, map[Refusal]int{}
	for i := range 20000 {
		b := append([]byte(nil), good...)
		for k := 32; k < 504; k++ { // everything under the lock
			if i%2 == 0 || k < 224 { // every other one with good texts
				b[k] = byte(rnd.Uint32())
			}
		}
		b[32], b[33], b[34] = byte(2+i%2), byte(1+rnd.IntN(3)), byte(1+rnd.IntN(15)) // locked or in holdover, a stratum to serve
		if i%2 == 1 {
			copy(b[416:504], good[416:504]) // the same namespace
		}
		if _, err := f.WriteAt(seal(b), 0); err != nil {
			t.Fatal(err)
		}
		switch err := r.LoadAll(&s); {
		case err != nil:
			refused[RefusalOf(err)]++
		case s.Usable(1e15):
			served++
		}
	}
	if served > 0 {
		t.Errorf("seed %d: %d of 20000 are served", seed, served)
	}
	if refused[ErrImplausible] < 5000 || refused[ErrNone] > 0 {
		t.Errorf("seed %d: refused as %v", seed, refused)
	}
}

// TestNoTearing: readers never see parts of two snapshots.
func TestNoTearing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	publish(t, w, &Snapshot{PHCIndex: -1})
	const n = 20000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		r := open(t, path)
		wg.Go(func() {
			var s Snapshot
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch err := r.Load(&s); {
				case errors.Is(err, ErrBusy):
				case err != nil:
					t.Errorf("load: %v", err)
					return
				case int64(s.Clock) != s.Mono || int64(s.BadMsgs) != s.Mono || int64(s.Bound) != s.Mono:
					t.Errorf("torn: %+v", s)
					return
				}
			}
		})
	}
	for i := range int64(n) {
		if err := w.Write(&Snapshot{PHCIndex: -1, Mono: i, Clock: tai.Time(i), Bound: time.Duration(i), BadMsgs: uint64(i)}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestReadings(t *testing.T) {
	t.Parallel()
	s, ins, old := full(), full(), full()
	ins.LeapSign = 1
	old.LeapPast, old.PastSign = 0, 0
	for _, c := range []struct {
		what string
		got  any
		want any
	}{
		{"clock a second later", s.ClockAt(1e15 + 1e9), tai.Time(18e17 + 1e9 - 2300)},
		{"clock a second earlier", s.ClockAt(1e15 - 1e9), tai.Time(18e17 - 1e9 + 2300)},
		{"bound now", s.BoundAt(1e15), time.Duration(261)},
		{"bound ten seconds later", s.BoundAt(1e15 + 10e9), time.Duration(296)},
		{"bound before", s.BoundAt(1e15 - 10e9), time.Duration(261)},
		{"usable", s.Usable(1e15), true},
		{"usable when the writer died long ago", s.Usable(1e15 + 40_000e9), false},
		{"deletion, the day before", s.LeapIndicator(19e17 - 86399e9 - 1), uint8(0)},
		{"deletion, its day", s.LeapIndicator(19e17 - 86399e9), uint8(2)},
		{"deletion, last instant", s.LeapIndicator(19e17 - 1), uint8(2)},
		{"deletion over", s.LeapIndicator(19e17), uint8(0)},
		{"insertion, the day before", ins.LeapIndicator(19e17 - 86401e9 - 1), uint8(0)},
		{"insertion, its day", ins.LeapIndicator(19e17 - 86401e9), uint8(1)},
		{"second 60", ins.LeapIndicator(19e17 - 1), uint8(1)},
		{"insertion over", ins.LeapIndicator(19e17), uint8(0)},
		{"offset before", s.OffsetAt(19e17 - 1), 37},
		{"offset after", s.OffsetAt(19e17), 36},
		{"offset inserted", ins.OffsetAt(19e17), 38},
		{"offset before the leap past", s.OffsetAt(17e17 - 1), 36},
		{"offset since the leap past", s.OffsetAt(17e17), 37},
		{"offset when the last leap second is unknown", old.OffsetAt(17e17 - 1), 37},
		{"near a leap", s.NearLeap(19e17-1, time.Second) && s.NearLeap(17e17+1, time.Second), true},
		{"far from leaps", s.NearLeap(18e17, time.Second) || (&Snapshot{}).NearLeap(1, time.Second), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
	for what, edit := range map[string]func(*Snapshot){
		"state":          func(s *Snapshot) { s.State = Acquiring },
		"no clock":       func(s *Snapshot) { s.Kind = NoClock },
		"never measured": func(s *Snapshot) { s.RefTime = 0 },
		"stratum 16":     func(s *Snapshot) { s.Stratum = 16 },
		"stratum 0":      func(s *Snapshot) { s.Stratum = 0 },
		"limit":          func(s *Snapshot) { s.Limit = 260 },
		"no bound":       func(s *Snapshot) { s.Bound = math.MaxInt64 },
		"NaN":            func(s *Snapshot) { s.BoundRate = math.NaN() },
	} {
		x := full()
		edit(&x)
		if x.Usable(1e15 + 1) {
			t.Errorf("usable with bad %s", what)
		}
	}
	if b := (&Snapshot{Bound: math.MaxInt64, BoundRate: 1e30}).BoundAt(1e18); b != math.MaxInt64 {
		t.Errorf("bound wraps to %v", b)
	}
	if State(9).String() != "invalid" || ClockKind(9).String() != "invalid" || Locked.String() != "locked" || SimClock.String() != "sim" {
		t.Error("names")
	}
}

// FuzzDecode: what any bytes decode to encodes and decodes to the same.
func FuzzDecode(f *testing.F) {
	var b body
	s := full()
	b.encode(&s)
	raw := make([]byte, 8*len(b))
	for i, w := range b {
		binary.LittleEndian.PutUint64(raw[8*i:], w)
	}
	f.Add(raw)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range raw {
		raw[i] = byte(r.Uint32())
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b, c, d body
		for i := range b {
			if len(raw) >= 8*(i+1) {
				b[i] = binary.LittleEndian.Uint64(raw[8*i:])
			}
		}
		var s Snapshot
		b.decode(&s, true)
		s.ClockAt(s.Mono + 1e9)
		s.BoundAt(s.Mono + 1e9)
		s.Usable(s.Mono)
		s.LeapIndicator(s.Clock)
		c.encode(&s)
		c.decode(&s, true)
		d.encode(&s)
		if c != d {
			t.Error("encode and decode differ")
		}
	})
}

// TestReaderSlept: a snapshot from before the machine slept is refused, because
// CLOCK_MONOTONIC_RAW stood still meanwhile, unless its writer does not say how
// long the machine had slept.
func TestReaderSlept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "status")
	w := create(t, path)
	r := open(t, path)
	var now time.Duration
	r.slept = func() time.Duration { return now }
	for _, c := range []struct {
		written, now time.Duration
		want         error
	}{
		{1, MinSleep + 1, ErrSlept},
		{1, time.Hour, ErrSlept},
		{time.Hour, 2 * time.Hour, ErrSlept},
		{0, time.Hour, nil},
		{1, 0, nil},
		{1, MinSleep, nil},
		{time.Hour, time.Hour + 100, nil},
		{time.Hour, time.Hour - 100, nil},
	} {
		s := full()
		s.Slept = c.written
		publish(t, w, &s)
		now, r.askedAt = c.now, time.Time{}
		if err := r.Load(&s); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("slept %v when written, now %v: %v, want %v", c.written, c.now, err, c.want)
		}
	}
	s := full()
	if n := testing.AllocsPerRun(100, func() { r.askedAt = time.Time{}; r.Load(&s) }); n != 0 {
		t.Errorf("Load allocates %v times", n)
	}
}
