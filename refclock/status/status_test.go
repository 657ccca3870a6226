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
		State: Holdover, Kind: PHCClock, Stratum: 1, LeapSign: -1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1, Epoch: 7,
		Mono: 1e15, Clock: 18e17, RatePPB: -2300.25, LineErr: 11, Bound: 250, BoundRate: 3.5, Limit: 100_000,
		TAIOffset: 37, LeapAt: 19e17, RefTime: 18e17 - 5, RootDelay: 3, OffsetNS: -4.5, FreqPPB: 2301, NoiseNS: 2.25,
		LeapPast: 17e17, PastSign: 1, Slept: 1 << 60, PulseMono: 1e15 - 7, Pulses: 1, BadPulses: 2, Missed: 3, MsgMono: 1e15 - 9, Msgs: 4, BadMsgs: 5,
		Reason: "missing_pulses", Pulse: "/dev/pps0", Receiver: "/dev/ttyAMA0", ClockDev: "eth0",
	}
}

func TestWriteAndRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "status")
	if _, err := Open(path); !errors.Is(err, ErrNone) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got Snapshot
	if err := r.Load(&got); !errors.Is(err, ErrNone) {
		t.Errorf("before the first snapshot: %v", err)
	}
	s := full()
	w.Write(&s)
	if err := r.LoadAll(&got); err != nil || got != s {
		t.Errorf("read %+v, %v; wrote %+v", got, err, s)
	}
	if s.PID != uint32(os.Getpid()) || s.Updates != 1 {
		t.Errorf("pid %d, updates %d", s.PID, s.Updates)
	}
	s.Reason, s.ClockDev = strings.Repeat("x", 200), strings.Repeat("y", 200)
	w.Write(&s)
	if err := r.LoadAll(&got); err != nil || len(got.Reason) != lenReason || len(got.ClockDev) != lenClockDev || got.Receiver != s.Receiver {
		t.Errorf("long texts: %d, %d, %q, %v", len(got.Reason), len(got.ClockDev), got.Receiver, err)
	}
	if n := testing.AllocsPerRun(100, func() { r.Load(&got) }); n != 0 && runtime.GOOS == "linux" {
		t.Errorf("Load allocates %v times", n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.LoadAll(&got); err != nil || got.Updates != 2 {
		t.Errorf("after the writer's end: %v", err)
	}
	// A new writer reuses the file in place.
	w, err = Create(path)
	if err != nil {
		t.Fatal(err)
	}
	s.Epoch++
	w.Write(&s)
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
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	s := full()
	w.Write(&s)
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
		{"phc index", int32(le.Uint32(b[40:])), int32(-1)},
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
		{"rest", strings.Trim(string(b[425:432])+string(b[440:]), "\x00"), ""},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.what, c.got, c.want)
		}
	}
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
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS == "linux" {
		if _, err := Create(path); err == nil || !strings.Contains(err.Error(), "another process") {
			t.Errorf("second writer: %v", err)
		}
	}
	if _, err := Create(filepath.Join(path, "x")); err == nil {
		t.Error("a file was used as a directory")
	}
	s := full()
	w.Write(&s)
	w.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what string
		off  int
		b    byte
		want error
	}{
		{"another magic", 0, 'X', ErrFormat},
		{"another version", 8, 2, ErrFormat},
		{"another size", 12, 65, ErrFormat},
		{"never published", 16, 0, ErrNone},
		{"always being written", 16, 3, ErrBusy},
		{"another boot", 24, good[24] + 1, ErrOldBoot},
	} {
		b := append([]byte(nil), good...)
		b[c.off] = c.b
		p := filepath.Join(dir, "bad")
		os.Remove(p)
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Load(&s); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		r.Close()
	}
	// A writer that died while writing leaves no snapshot.
	b := append([]byte(nil), good...)
	b[16] = 5
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err = Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Load(&s); !errors.Is(err, ErrNone) {
		t.Errorf("after the writer died while writing: %v", err)
	}
}

// TestNoTearing: readers never see parts of two snapshots.
func TestNoTearing(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs shared memory: not on", runtime.GOOS)
	}
	path := filepath.Join(t.TempDir(), "status")
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Write(&Snapshot{})
	const n = 20000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		r, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer r.Close()
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
		w.Write(&Snapshot{Mono: i, Clock: tai.Time(i), Bound: time.Duration(i), BadMsgs: uint64(i)})
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
	w, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
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
		w.Write(&s)
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
