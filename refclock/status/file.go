package status

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/phc"
)

// DefaultPath is where refclockd publishes by default.
const DefaultPath = "/run/refclock/status"

// cells is the file's memory, shared between processes. Every access is an
// atomic 64-bit load or store, so no word is torn; the sequence lock makes the
// words consistent.
type cells []atomic.Uint64

// Writer publishes snapshots. A lock on the file ensures that there is only one
// writer for a path. Its methods are for one goroutine.
type Writer struct {
	c cells
	m mapping
	b body
	n uint64
}

// Create opens or makes the file at path, and its directory, for publishing. An
// existing file is reused in place, so that the mappings of readers stay valid
// when the writer restarts. It fails if another process publishes there.
func Create(path string) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create snapshot directory: %w", err)
	}
	m, err := mapWriter(path)
	if err != nil {
		return nil, fmt.Errorf("create snapshot %s: %w", path, err)
	}
	w := &Writer{c: m.cells(), m: m}
	if w.c[wSeq].Load()&1 == 1 { // the last writer died while writing: there is no snapshot
		w.c[wSeq].Store(0)
	}
	w.c[wBoot].Store(bootID())
	w.c[wVer].Store(version | words<<32)
	w.c[wMagic].Store(magic)
	return w, nil
}

// Write publishes s. PID and Updates are filled in.
func (w *Writer) Write(s *Snapshot) {
	w.n++
	s.Updates, s.PID = w.n, uint32(os.Getpid())
	w.b.encode(s)
	seq := w.c[wSeq].Load()
	w.c[wSeq].Store(seq + 1)
	for i := range w.b {
		w.c[wBody+i].Store(w.b[i])
	}
	w.c[wSeq].Store(seq + 2)
	w.m.flush()
}

// Close ends publishing. The last snapshot stays in the file.
func (w *Writer) Close() error { return w.m.close() }

// Reader reads snapshots. It is for one goroutine; open one for each.
type Reader struct {
	path string
	c    cells
	m    mapping
	b    body
	boot uint64

	slept   func() time.Duration // time for which the machine has slept in total
	last    time.Duration        // its last result
	askedAt time.Time            // of that
}

// Open maps the snapshot at path for reading. If nothing has been published
// yet the error wraps ErrNone.
func Open(path string) (*Reader, error) {
	m, err := mapReader(path)
	if err != nil {
		return nil, fmt.Errorf("open snapshot %s: %w (%w)", path, ErrNone, err)
	}
	return &Reader{path: path, c: m.cells(), m: m, boot: bootID(), slept: phc.Slept}, nil
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

// Close unmaps the snapshot.
func (r *Reader) Close() error { return r.m.close() }

// Replaced reports whether the file at the path is not the mapped one any more.
// Then the caller closes this Reader and opens another.
func (r *Reader) Replaced() bool { return r.m.replaced(r.path) }

// Load reads the snapshot without its text fields. It takes no lock and does
// not allocate.
func (r *Reader) Load(s *Snapshot) error { return r.load(s, false) }

// LoadAll reads the snapshot with its text fields.
func (r *Reader) LoadAll(s *Snapshot) error { return r.load(s, true) }

func (r *Reader) load(s *Snapshot, text bool) error {
	r.m.refresh()
	for try := range 1000 {
		seq := r.c[wSeq].Load()
		if seq == 0 {
			return ErrNone
		}
		if seq&1 == 1 {
			if try > 10 {
				runtime.Gosched()
			}
			continue
		}
		for i := range r.b {
			r.b[i] = r.c[wBody+i].Load()
		}
		if r.c[wMagic].Load() != magic || r.c[wVer].Load() != version|words<<32 {
			return ErrFormat
		}
		if boot := r.c[wBoot].Load(); boot != r.boot {
			return ErrOldBoot
		}
		if r.c[wSeq].Load() == seq {
			r.b.decode(s, text)
			if s.Slept != 0 && s.SleptSince(r.sleptNow()) {
				return ErrSlept
			}
			return nil
		}
	}
	return ErrBusy
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
