package recording

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock"
	"noonmark/refclock/clock"
	"noonmark/refclock/integrity"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/refclock/witness"
)

// samples are records of every kind.
func samples(mono int64) []Record {
	by := 5 * time.Millisecond
	return []Record{
		&PortStarted{true},
		&Octets{mono + 10, []byte("$GPZDA,120000.00,23,11,2026,00,00*62\r\n")},
		&Octets{mono + 20, nil},
		&PulseEnabled{phc.ExtTSGrant{Version: 2, Edges: phc.Rising, Certain: true}},
		&Stamp{phc.ExtTSEvent{Clock: tai.Time(mono) + 7e18, Channel: 1, Offset: true, Mono: mono + 30}},
		&Edge{pps.Edge{Scale: pps.System, Stamp: mono + 1.7e18, Mono: mono + 40, Seq: 9, Rising: true, Other: time.Millisecond}},
		&Dropped{true},
		&witness.Reading{Kind: witness.Answered, Mono: mono + 41, Name: "a.example", Of: mono + 2, Answer: integrity.Answer{Mono: mono + 39, UTC: mono + 1.7e18, Error: time.Millisecond}},
		&witness.Reading{Kind: witness.Silent, Mono: mono + 42, Name: "b.example", Err: errors.New("no route")},
		&witness.Reading{Kind: witness.Forgotten, Mono: mono + 43},
		&witness.Reading{Kind: witness.Concluded, Mono: mono + 44},
		&Step{Mono: mono + 50, TakesMessage: true, Of: mono + 10},
		&Step{Mono: mono + 60, TakesEdge: true, Of: mono + 40, Slept: 3, Disciplined: true, Calls: []Call{
			{Kind: CallOpen, After: mono + 61, Clock: Clock{MaxFreqPPB: 1e5, Index: -1}},
			{Kind: CallCross, After: mono + 62, Cross: phc.Cross{Clock: tai.Time(mono) + 7e18, Real: mono + 1.7e18, Mono: mono + 61, Width: 600}},
			{Kind: CallStep, After: mono + 63, By: -time.Hour},
			{Kind: CallAdjFreq, After: mono + 64, PPB: -2300.25},
			{Kind: CallFreqPPB, After: mono + 65, PPB: -2300.3},
		}},
		&Step{Mono: mono + 70, Slept: 3, Celsius: 41.5, CelsiusMono: mono + 69},
		&Step{Mono: mono + 80, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Compared: &pps.ComparedEdge{Index: 2, Edge: pps.Edge{Scale: pps.Clock, Stamp: mono, Mono: mono + 79, Seq: 1}}}},
		&Step{Mono: mono + 90, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Settings: &refclock.Settings{Bias: by, Table: tai.Builtin()}}},
		&Step{Mono: mono + 91, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Alarm: &integrity.Alarm{Code: reason.WitnessDisagrees, Detail: "a", Remedy: "b"}}},
		&Step{Mono: mono + 92, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Confirmed: &by}},
		&Step{Mono: mono + 93, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Relock: true}},
		&Step{Mono: mono + 93, Slept: 3, CelsiusMono: mono + 69, Input: refclock.Input{Port: &[]reason.Condition{{Code: reason.PortSilent}, {Code: reason.PortSlow}}}},
	}
}

// content is the content of a frame.
func content(mono int64) []byte {
	var e encoder
	e.record(&State{Mono: mono})
	for _, r := range samples(mono) {
		e.record(r)
	}
	return e.b
}

// written is a segment with n frames, and where each begins.
func written(t *testing.T, n int) (b []byte, at []int) {
	t.Helper()
	var z compressor
	b, err := z.append([]byte(magic), headFrame(Header{Version: FormatVersion, Run: "r", Program: "test"}))
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		at = append(at, len(b))
		if b, err = z.append(b, frame{uint64(i), content(int64(i+1) * 1e9)}); err != nil {
			t.Fatal(err)
		}
	}
	return b, at
}

// readAll reads a recording of one file.
func readAll(t *testing.T, b []byte) (all []Record, r *Reader) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x"+suffix)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, ErrFormat) {
			return all, r
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rec)
	}
}

// steps counts the steps, and the gaps.
func steps(all []Record) (n, gaps int) {
	for _, r := range all {
		switch r.(type) {
		case *Step:
			n++
		case *Gap:
			gaps++
		}
	}
	return n, gaps
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	const mono = 123456789012
	d := decoder{b: content(mono)}
	for i, want := range append([]Record{&State{Mono: mono}}, samples(mono)...) {
		got, err := d.next()
		if o, ok := got.(*Octets); ok && len(o.Data) == 0 {
			o.Data = nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("record %d: %+v, %v; want %+v", i, got, err, want)
		}
	}
	if r, err := d.next(); r != nil || err != nil {
		t.Errorf("after the end: %v, %v", r, err)
	}
}

// What nobody's clock can show is damage, whatever the checksum says: whoever plays it
// counts the seconds until then.
func TestImpossibleInstantsAreDamage(t *testing.T) {
	t.Parallel()
	const mono, day = int64(5e9), 24 * 3600 * int64(1e9)
	step := func(s Step) []Record { return []Record{&State{Mono: mono}, &s} }
	cross := func(at int64) []Call { return []Call{{Kind: CallCross, After: mono + 2, Cross: phc.Cross{Mono: at}}} }
	for name, c := range map[string]struct {
		frames [][]Record
		steps  int
	}{
		"a step":                                 {[][]Record{step(Step{Mono: math.MaxInt64})}, 0},
		"a step before":                          {[][]Record{step(Step{Mono: math.MinInt64 / 2})}, 0},
		"a reading":                              {[][]Record{step(Step{Mono: mono + 1, Calls: cross(1 << 62)})}, 0},
		"a call":                                 {[][]Record{step(Step{Mono: mono + 1, Calls: []Call{{Kind: CallStep, After: 2 * day}}})}, 0},
		"a state":                                {[][]Record{{&State{Mono: -1}, &Step{}}}, 0},
		"a later state":                          {[][]Record{step(Step{Mono: mono}), {&State{Mono: 500 * day}, &Step{Mono: 500 * day}}}, 1},
		"an earlier state":                       {[][]Record{{&State{Mono: 9 * day}, &Step{Mono: 9 * day}}, {&State{Mono: day}, &Step{Mono: day}}}, 1},
		"without a state":                        {[][]Record{{&Step{Mono: 2 * day}}}, 0},
		"a table":                                {[][]Record{step(Step{Mono: mono, Input: refclock.Input{Settings: &refclock.Settings{Tables: []*tai.Table{nil}}}})}, 0},
		"a process that was stopped for an hour": {[][]Record{step(Step{Mono: mono + 3600e9, Calls: cross(mono + 3600e9)})}, 1},
		"a disc that was away for a month":       {[][]Record{step(Step{Mono: mono}), {&State{Mono: 30 * day}, &Step{Mono: 30 * day}}}, 2},
	} {
		var z compressor
		b, err := z.append([]byte(magic), headFrame(Header{Version: FormatVersion, Run: "r"}))
		for i, records := range c.frames {
			var e encoder
			for _, r := range records {
				e.record(r)
			}
			if err == nil {
				b, err = z.append(b, frame{uint64(i), e.b})
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		all, _ := readAll(t, b)
		if n, gaps := steps(all); n != c.steps || n < len(c.frames) && gaps != 1 {
			t.Errorf("%s: %d steps, %d gaps, want %d", name, n, gaps, c.steps)
		}
	}
}

func TestErrorsOfTheClockKeepWhatCallersBranchOn(t *testing.T) {
	t.Parallel()
	for _, want := range classes[1:] {
		var e encoder
		e.call(&Call{Kind: CallCross, Err: fmt.Errorf("read /dev/ptp0: %w", want)})
		d := decoder{b: e.b}
		if c := d.call(); !errors.Is(c.Err, want) || c.Err.Error() != "read /dev/ptp0: "+want.Error() {
			t.Errorf("%v: %v", want, c.Err)
		}
	}
	if !clock.Gone(&recordedError{"x", phc.ErrGone}) {
		t.Error("a clock that is gone is not")
	}
}

// A loss of power cuts the file anywhere in its last frame.
func TestCutTailCostsTheLastFrameOnly(t *testing.T) {
	t.Parallel()
	b, at := written(t, 3)
	perFrame, _ := steps(samples(0))
	for end := at[2]; end < len(b); end++ {
		all, r := readAll(t, b[:end])
		if n, gaps := steps(all); n != 2*perFrame || gaps != 0 || r.Cut() != (end > at[2]) {
			t.Fatalf("cut at %d: %d steps, %d gaps, cut %v", end-at[2], n, gaps, r.Cut())
		}
	}
}

func TestFlippedBitCostsOneFrame(t *testing.T) {
	t.Parallel()
	b, at := written(t, 3)
	perFrame, _ := steps(samples(0))
	for i := at[1]; i < at[2]; i++ {
		for bit := range 8 {
			x := bytes.Clone(b)
			x[i] ^= 1 << bit
			all, r := readAll(t, x)
			if n, gaps := steps(all); n != 2*perFrame || gaps != 1 || r.Skipped() == 0 {
				t.Fatalf("octet %d, bit %d: %d steps, %d gaps, %d octets skipped", i-at[1], bit, n, gaps, r.Skipped())
			}
		}
	}
}

func TestOtherFilesAreNoRecordings(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{nil, []byte("start 2026-05-01T11:07:22Z\n"), []byte(magic), []byte(magic[:5])} {
		if all, _ := readAll(t, b); len(all) != 0 {
			t.Errorf("%q: %d records", b, len(all))
		}
	}
	var z compressor
	b, err := z.append([]byte(magic), headFrame(Header{Version: FormatVersion + 1}))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x"+suffix)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Next(); !errors.Is(err, ErrVersion) {
		t.Errorf("a later version: %v", err)
	}
}

func TestStoreStaysBelowItsLimitAndKeepsTheNewest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	other := filepath.Join(dir, "mine.txt")
	if err := os.WriteFile(other, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 30<<10)
	x := uint32(1)
	for i := range noise {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	var last uint64
	for run := range 2 {
		s := NewStore(Options{Dir: dir, Limit: MinLimit, Immediate: true})
		s.begin(Header{Version: FormatVersion, Run: fmt.Sprint(run)}, nil)
		for i := range uint64(100) {
			var e encoder
			e.record(&State{Mono: int64(i)})
			e.record(&Octets{int64(i), noise})
			s.put(frame{i, e.b})
			last = i
			all, err := list(dir)
			if err != nil {
				t.Fatal(err)
			}
			total := int64(0)
			for _, f := range all {
				total += f.size
			}
			if total > MinLimit {
				t.Fatalf("%d octets in %d segments", total, len(all))
			}
		}
		s.Close()
		if s.Lost() != 0 || s.Written() != 100 {
			t.Errorf("%d lost, %d written", s.Lost(), s.Written())
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var newest int64
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o, ok := rec.(*Octets); ok {
			newest = o.Mono
		}
	}
	if newest != int64(last) || r.run != "1" {
		t.Errorf("the newest is %d of run %s", newest, r.run)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error("a file of others was removed")
	}
}

// What cannot be written is lost and counted; nobody waits.
func TestUnwritableFolderLosesFramesAndRecovers(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := filepath.Join(base, "rec")
	if err := os.WriteFile(dir, []byte("a file in its place"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		s := NewStore(Options{Dir: dir, Limit: MinLimit})
		s.begin(Header{Version: FormatVersion, Run: "r"}, nil)
		for i := range uint64(3 * queueFrames) { // nobody takes them yet
			s.put(frame{i, content(1)})
		}
		if s.Lost() != 2*queueFrames {
			t.Errorf("%d lost, want %d", s.Lost(), 2*queueFrames)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		synctest.Wait()
		if s.Lost() != 3*queueFrames || s.Written() != 0 {
			t.Errorf("%d lost, %d written", s.Lost(), s.Written())
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s.put(frame{1000, content(1)})
		synctest.Wait()
		if s.Written() != 1 {
			t.Errorf("%d written after the folder came back", s.Written())
		}
		cancel()
		<-done
	})
}

func FuzzReader(f *testing.F) {
	var z compressor
	b, err := z.append([]byte(magic), headFrame(Header{Version: FormatVersion, Run: "r"}))
	if err != nil {
		f.Fatal(err)
	}
	if b, err = z.append(b, frame{0, content(1e9)}); err != nil {
		f.Fatal(err)
	}
	f.Add(b, false)
	f.Add(content(1e9), true)
	f.Fuzz(func(t *testing.T, b []byte, sealed bool) {
		if sealed { // records behind a right checksum
			var z compressor
			if len(b) > maxContent {
				return
			}
			x, err := z.append([]byte(magic), frame{0, b})
			if err != nil {
				t.Fatal(err)
			}
			b = x
		}
		s := frames{r: bytes.NewReader(b)}
		for {
			fr, _, err := s.next()
			if err != nil {
				return
			}
			d := decoder{b: fr.content}
			for {
				if r, err := d.next(); r == nil || err != nil {
					break
				}
			}
		}
	})
}
