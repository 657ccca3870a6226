package status

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"noonmark/internal/durable"
	"noonmark/phc"
)

// DefaultPath is where refclockd publishes by default.
const DefaultPath = "/run/refclock/status"

// everybodyReads is the mode of the file: readers are other users. It does not depend on
// the umask of the writer.
const everybodyReads = 0o644

// Writer publishes snapshots. A lock on the file ensures that there is only one
// writer for a path. Its methods are for one goroutine.
type Writer struct {
	path string
	f    *os.File
	m    image
	buf  [Size]byte
	n    uint64  // snapshots written
	id   clockID // of this process
}

// Create opens or makes the file at path, and its directory, for publishing. An
// existing file is reused in place, so that readers need not open it again when
// the writer restarts. It fails if another process publishes there, if the
// directory belongs to another user, and if there is no room for the file.
func Create(path string) (*Writer, error) {
	w := &Writer{path: path}
	if err := w.open(); err != nil {
		return nil, fmt.Errorf("create snapshot %s: %w", path, err)
	}
	return w, nil
}

// open opens the file, and prepares it for the first snapshot.
func (w *Writer) open() error {
	dir := filepath.Dir(w.path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := checkDir(dir); err != nil {
		return err
	}
	f, err := openWriter(w.path)
	if err != nil {
		return explainSpace(err)
	}
	w.f, w.m = f, image{}
	var old [Size]byte
	if n, _ := f.ReadAt(old[:], 0); n == Size {
		w.m.get(&old)
	}
	if w.m[wSeq]&1 == 1 { // the last writer died while writing: there is no snapshot
		w.m[wSeq] = 0
	}
	w.id = clocksHere()
	w.m[wMagic], w.m[wVer], w.m[wBoot] = magic, version|words<<32, bootID()
	w.m[wSpace], w.m[wShift] = w.id.space, uint64(w.id.shift)
	w.m[wSum] = 0
	if w.m[wSeq] != 0 {
		w.m[wSum] = w.m.sum()
	}
	if err := w.store(0); err != nil {
		f.Close()
		return explainSpace(err)
	}
	return nil
}

// explainSpace says which file system is full.
func explainSpace(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: the file system is full; free some space there", err)
	}
	return err
}

// checkDir refuses a directory in which another user than this one or root can
// replace files.
func checkDir(dir string) error {
	fi, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if err := checkOwner(dir, fi); err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		return err
	}
	if fi, err = os.Stat(dir); err != nil {
		return err
	}
	return checkOwner(dir, fi)
}

// store writes the words from on to the file.
func (w *Writer) store(from int) error {
	b := w.buf[8*from:]
	w.m.put(b, from)
	_, err := w.f.WriteAt(b, int64(8*from))
	return err
}

// storeSeq writes the sequence alone.
func (w *Writer) storeSeq(seq uint64) error {
	b := w.buf[8*wSeq : 8*wSeq+8]
	binary.LittleEndian.PutUint64(b, seq)
	_, err := w.f.WriteAt(b, 8*wSeq)
	return err
}

// lookEvery is at how many writes the writer looks whether its file is still the one
// at its path: about once a second. To look costs more than to write.
const lookEvery = 4

// Write publishes s. PID and Updates are filled in. A file that was truncated is made
// whole by the next write, one that was removed or replaced is made anew by the fourth
// at the latest. After an error there is no snapshot, or the last one; the next Write
// tries again.
func (w *Writer) Write(s *Snapshot) error {
	w.n++
	s.Updates, s.PID = w.n, uint32(os.Getpid())
	if err := w.write(s); err != nil {
		return fmt.Errorf("write snapshot %s: %w", w.path, explainSpace(err))
	}
	return nil
}

func (w *Writer) write(s *Snapshot) error {
	if w.f == nil || w.n%lookEvery == 0 && replaced(w.f, w.path) {
		w.release()
		if err := w.open(); err != nil {
			return err
		}
	}
	m := &w.m
	seq := m[wSeq] &^ 1
	m.body().encode(s)
	m[wSpace], m[wShift] = w.id.space, uint64(w.id.shift)
	m[wSeq] = seq + 2
	m[wSum] = m.sum()
	m[wSeq] = seq + 1
	// Also the head, which is gone if the file was truncated. A reader that sees a part of
	// this write and the sequence from before finds the checksum wrong.
	err := w.store(0)
	m[wSeq] = seq + 2
	if err == nil {
		err = w.storeSeq(seq + 2)
	}
	return err
}

// release closes the file, if it is open.
func (w *Writer) release() error {
	if w.f == nil {
		return nil
	}
	err := w.f.Close()
	w.f = nil
	return err
}

// Close ends publishing. The last snapshot stays in the file.
func (w *Writer) Close() error { return w.release() }

// Reader reads snapshots. It is for one goroutine; open one for each. It reads a
// copy of the file, which another program may truncate or replace at any time.
type Reader struct {
	path string
	f    *os.File
	m    image
	buf  [Size]byte
	id   identity

	clocks  func() (real, mono int64) // CLOCK_REALTIME and CLOCK_MONOTONIC_RAW, ns
	slept   func() time.Duration      // time for which the machine has slept in total
	last    time.Duration             // its last result
	askedAt time.Time                 // of that
}

// identity is what this process knows of its own clocks, and of the file.
type identity struct {
	boot     uint64
	clocks   clockID
	volatile bool // the file cannot be from before the last boot
}

// Open opens the snapshot at path for reading. If nothing has been published yet
// the error wraps ErrNone, and ErrNotFile if there is something else than a file.
func Open(path string) (*Reader, error) {
	f, err := openReader(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s: %w", path, err)
	}
	return &Reader{
		path: path, f: f, id: identity{bootID(), clocksHere(), onMemory(f)}, slept: phc.Slept,
		clocks: func() (real, mono int64) { return time.Now().UnixNano(), phc.MonoRaw() },
	}, nil
}

// notFile is the error of something else than a file; nil for a file.
func notFile(m fs.FileMode) error {
	if err := durable.CheckRegular(m); err != nil {
		return fmt.Errorf("%w (%w); remove it", ErrNotFile, err)
	}
	return nil
}

// sleptEvery is the interval of checks whether the machine slept: they take
// system calls, each slower than the rest of Load. CLOCK_MONOTONIC, which measures
// it, stands still during sleep, so a sleep goes unnoticed for so long after it:
// less than any card takes to wake up.
const sleptEvery = time.Millisecond

// sleptNow returns the time for which the machine has slept, at most sleptEvery
// old.
func (r *Reader) sleptNow() time.Duration {
	if now := time.Now(); r.askedAt.IsZero() || now.Sub(r.askedAt) >= sleptEvery {
		r.last, r.askedAt = r.slept(), now
	}
	return r.last
}

// Close closes the file.
func (r *Reader) Close() error { return r.f.Close() }

// Replaced reports whether the file at the path is not the open one any more, or
// has no room for a snapshot. Then the caller closes this Reader and opens another.
func (r *Reader) Replaced() bool { return replaced(r.f, r.path) }

// replaced reports whether the file at a path is another one than f, or too short.
func replaced(f *os.File, path string) bool {
	a, err := os.Lstat(path)
	if err != nil {
		return true
	}
	b, err := f.Stat()
	return err != nil || !os.SameFile(a, b) || b.Size() < Size
}

// Load reads the snapshot without its text fields. Its errors are a Refusal or
// wrap one. It takes no lock and does not allocate.
func (r *Reader) Load(s *Snapshot) error {
	real, mono := r.clocks()
	return r.load(s, false, real, mono)
}

// LoadAt is Load for a caller that has just read CLOCK_REALTIME and
// CLOCK_MONOTONIC_RAW, ns.
func (r *Reader) LoadAt(s *Snapshot, real, mono int64) error { return r.load(s, false, real, mono) }

// LoadAll reads the snapshot with its text fields.
func (r *Reader) LoadAll(s *Snapshot) error {
	real, mono := r.clocks()
	return r.load(s, true, real, mono)
}

// maxTries limits how often a snapshot is read that is being written: the writer
// takes a few microseconds.
const maxTries = 100

func (r *Reader) load(s *Snapshot, text bool, real, mono int64) error {
	for try := range maxTries {
		if try > 2 {
			runtime.Gosched()
		}
		switch whole, err := r.read(); {
		case err != nil:
			return err
		case !whole:
			continue
		}
		if err := r.check(); err != nil {
			return err
		}
		r.m.body().decode(s, text)
		if s.Slept != 0 && s.SleptSince(r.sleptNow()) {
			return ErrSlept
		}
		return s.implausible(real, mono)
	}
	return ErrBusy
}

// read copies the file. whole: it is one snapshot, whatever that contains.
func (r *Reader) read() (whole bool, err error) {
	if n := readAt(r.f, &r.buf); n != Size {
		return false, ErrNone // truncated
	}
	r.m.get(&r.buf)
	m := &r.m
	switch {
	case m[wSeq] == 0 || m[wMagic] == 0:
		return false, ErrNone
	case m[wMagic] != magic || m[wVer] != version|words<<32:
		return false, ErrFormat
	case m[wSeq]&1 == 1:
		return false, nil
	case m[wSum] != 0:
		return m[wSum] == m.sum(), nil
	}
	// The writer has no checksum: two equal copies are one snapshot.
	var again image
	if readAt(r.f, &r.buf) != Size {
		return false, ErrNone
	}
	again.get(&r.buf)
	return again == *m, nil
}

// check refuses a snapshot whose writer read other clocks than this process does.
func (r *Reader) check() error {
	m := &r.m
	// A container may have a boot identifier of its own. A file in memory is from
	// this boot anyway.
	if m[wBoot] != r.id.boot && !r.id.volatile {
		return ErrOldBoot
	}
	if !r.id.clocks.same(clockID{m[wSpace], int64(m[wShift])}) {
		return ErrOtherClock
	}
	return nil
}

// bootID identifies this boot of the machine: readings of CLOCK_MONOTONIC_RAW in
// two boots do not compare. It is 0 if the kernel gives none.
func bootID() uint64 {
	t, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return 0
	}
	b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(string(t)), "-", ""))
	if err != nil || len(b) < 8 {
		return 0
	}
	var v uint64
	for i := 0; i < 8; i++ {
		v |= uint64(b[i]) << (8 * i)
	}
	return v
}
