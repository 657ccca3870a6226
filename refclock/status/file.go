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

// DefaultPath is where refclockd publishes and everybody else looks.
const DefaultPath = "/run/refclock/status"

// cells is the file's memory, shared between processes. Every access is an
// atomic 64-bit load or store, so a torn word cannot be seen; the sequence
// lock makes the words agree.
type cells []atomic.Uint64

// Writer publishes snapshots. One process at a time may hold one for a path
// (a lock on the file sees to it); its methods are for one goroutine.
type Writer struct {
	c cells
	m mapping
	b body
	n uint64
}

// Create opens or makes the file at path, with its directory, for publishing.
// An existing file is reused in place, so that readers keep their mapping
// across a restart of the writer. It fails if another process publishes there.
func Create(path string) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create snapshot directory: %w", err)
	}
	m, err := mapWriter(path)
	if err != nil {
		return nil, fmt.Errorf("create snapshot %s: %w", path, err)
	}
	w := &Writer{c: m.cells(), m: m}
	if w.c[wSeq].Load()&1 == 1 { // the writer before us died while writing: nothing is published
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

// Close ends publishing. The last snapshot stays in the file and ages.
func (w *Writer) Close() error { return w.m.close() }

// Reader reads snapshots. Load is for one goroutine at a time per Reader;
// open one for each.
type Reader struct {
	path string
	c    cells
	m    mapping
	b    body
	boot uint64

	slept    func() time.Duration
	asleep   time.Duration // the last it told
	asleepAt time.Time
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

// sleptEvery is how often it is asked whether the machine slept: two calls of
// the system, each dearer than the rest of Load. CLOCK_MONOTONIC, by which it is
// counted, stands still in a sleep, so this is how long one can go unnoticed
// after it: less than any card takes to wake up.
const sleptEvery = time.Millisecond

// sleptNow returns how long the machine has slept.
func (r *Reader) sleptNow() time.Duration {
	if now := time.Now(); r.asleepAt.IsZero() || now.Sub(r.asleepAt) >= sleptEvery {
		r.asleep, r.asleepAt = r.slept(), now
	}
	return r.asleep
}

// Close unmaps the snapshot.
func (r *Reader) Close() error { return r.m.close() }

// Replaced reports whether the file at the path is no longer the mapped one;
// then the caller closes this Reader and opens another.
func (r *Reader) Replaced() bool { return r.m.replaced(r.path) }

// Load reads the snapshot without its text fields. It takes no lock and does
// not allocate.
func (r *Reader) Load(s *Snapshot) error { return r.load(s, false) }

// LoadAll reads the snapshot with its text fields.
func (r *Reader) LoadAll(s *Snapshot) error { return r.load(s, true) }

func (r *Reader) load(s *Snapshot, text bool) error {
	r.m.refresh()
	for try := 0; try < 1000; try++ {
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
			if s.Slept != 0 && s.Outslept(r.sleptNow()) {
				return ErrSlept
			}
			return nil
		}
	}
	return ErrBusy
}

// bootID names this boot of the machine: CLOCK_MONOTONIC_RAW readings of two
// boots don't compare. It is 0 where the kernel gives none.
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
