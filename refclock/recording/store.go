package recording

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/liveness"
	"noonmark/internal/retry"
)

const (
	// suffix is that of a segment's name; before it stands its number.
	suffix = ".nmrec"
	// queueFrames is how many closed frames wait for the disc at most: some minutes,
	// and some MB.
	queueFrames = 64
	// segments is how many of them a recording has about, so that the oldest part
	// can be removed.
	segments = 16
	// MinLimit is the least Options.Limit.
	MinLimit = 1 << 20
	// syncEvery is how often what was written is made to survive a loss of power. The
	// system alone waits half a minute and more; every frame of 5 s would wear out a
	// memory card, which rewrites a block of megabytes each time.
	syncEvery = 10 * time.Second
	// stuckAfter is how long a disc may take. Cards that clean up pause for seconds.
	stuckAfter = 30 * time.Second
)

// Options describe a Store.
type Options struct {
	Dir   string // made if it is missing
	Limit int64  // octets that all segments take together; at least MinLimit
	Log   *slog.Logger
	// Immediate: frames are written at once, by the caller, for a simulation whose
	// time waits. Run is not used.
	Immediate bool
}

// Store keeps frames in segments, the files of one directory. It removes the oldest
// so that all together stay below a limit. It never makes those wait who give it
// frames: what the disc is too slow for, or refuses, is lost and counted.
type Store struct {
	opt     Options
	flush   func() // closes the open frame; set by begin
	queue   chan frame
	head    Header
	written atomic.Uint64
	lost    atomic.Uint64
	dropped atomic.Uint64 // of the lost, since it was logged: the queue was full
	working liveness.Work

	// Of Run, or of those who call put when Immediate.
	create   func(path string) (output, error)
	z        compressor
	buf      []byte
	out      segmentFile
	number   int // of the next segment
	attempts retry.Backoff
	slow     retry.Backoff
	again    time.Time // no attempt before it
}

// output is a file that is written.
type output interface {
	io.WriteCloser
	Sync() error
}

// segmentFile is the segment that is being written.
type segmentFile struct {
	output        // nil: none is
	path   string // of it
	size   int64
	whole  bool // it has a frame
	synced bool // a loss of power costs nothing of it
	named  bool // nor its name
}

// NewStore returns a Store. Nothing is read or written yet.
func NewStore(opt Options) *Store {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	opt.Limit = max(opt.Limit, MinLimit)
	return &Store{opt: opt, queue: make(chan frame, queueFrames), create: create}
}

// Written returns the number of frames that were written. It is for any goroutine.
func (s *Store) Written() uint64 { return s.written.Load() }

// Lost returns the number of frames that were not. It is for any goroutine.
func (s *Store) Lost() uint64 { return s.lost.Load() }

// String names the task in logs.
func (s *Store) String() string { return "recording" }

// Ready returns nil: nobody waits for a recording.
func (s *Store) Ready() <-chan struct{} { return nil }

// Hanging returns an error if the disc does not answer.
func (s *Store) Hanging() error { return s.working.Stuck(stuckAfter) }

// Run writes until ctx ends, and then what is queued.
func (s *Store) Run(ctx context.Context) error {
	defer s.close()
	t := time.NewTicker(syncEvery)
	defer t.Stop()
	for {
		select {
		case f := <-s.queue:
			s.write(f)
		case <-t.C:
			s.sync()
		case <-ctx.Done():
			if s.flush != nil {
				s.flush()
			}
			for {
				select {
				case f := <-s.queue:
					s.write(f)
				default:
					return ctx.Err()
				}
			}
		}
	}
}

// Close ends an Immediate store.
func (s *Store) Close() { s.close() }

// begin begins a run: h is the header of its segments, and flush closes a frame that
// is open at the end.
func (s *Store) begin(h Header, flush func()) { s.head, s.flush = h, flush }

// put takes a frame.
func (s *Store) put(f frame) {
	if s.opt.Immediate {
		s.write(f)
		return
	}
	select {
	case s.queue <- f:
	default:
		s.lost.Add(1)
		s.dropped.Add(1)
	}
}

// write writes a frame, or loses it.
func (s *Store) write(f frame) {
	if time.Now().Before(s.again) {
		s.lost.Add(1)
		return
	}
	s.working.Begin()
	defer s.working.End()
	if err := s.append(f); err != nil {
		s.lost.Add(1)
		s.failed(err)
		return
	}
	s.attempts.Reset()
	s.written.Add(1)
}

// sync makes what was written survive a loss of power.
func (s *Store) sync() {
	if n := s.dropped.Swap(0); n == 0 {
		s.slow.Reset()
	} else if _, log := s.slow.Failed(); log {
		s.opt.Log.Warn("recording has gaps, because the disc is too slow", "frames", n)
	}
	if s.out.output == nil || s.out.synced {
		return
	}
	s.working.Begin()
	defer s.working.End()
	err := s.out.Sync()
	if err == nil && !s.out.named {
		err = durable.SyncDir(s.opt.Dir)
	}
	if err != nil {
		s.failed(err)
		return
	}
	s.out.synced, s.out.named = true, true
}

// failed ends the segment, and waits before the next attempt.
func (s *Store) failed(err error) {
	s.close()
	s.again = time.Now().Add(s.attempts.Next())
	if n, log := s.attempts.Failed(); log {
		s.opt.Log.Warn("recording cannot be written", "error", err, "attempt", n)
	}
}

// append writes a frame to the segment, or to a new one.
func (s *Store) append(f frame) (err error) {
	if s.buf, err = s.z.append(s.buf[:0], f); err != nil {
		return err
	}
	if s.out.output != nil && s.out.size+int64(len(s.buf)) > s.opt.Limit/segments {
		s.close()
	}
	if s.out.output == nil {
		if err := s.open(); err != nil {
			return err
		}
	}
	n, err := s.out.Write(s.buf)
	s.out.size += int64(n)
	s.out.whole, s.out.synced = s.out.whole || err == nil, false
	return err
}

// open begins a segment.
func (s *Store) open() error {
	if err := os.MkdirAll(s.opt.Dir, 0o750); err != nil {
		return err
	}
	old, err := list(s.opt.Dir)
	if err != nil {
		return err
	}
	if len(old) > 0 {
		s.number = max(s.number, old[len(old)-1].number+1)
	}
	if err := s.shrink(old); err != nil {
		return err
	}
	head, err := s.z.append([]byte(magic), headFrame(s.head))
	if err != nil {
		return err
	}
	s.out = segmentFile{path: filepath.Join(s.opt.Dir, fmt.Sprintf("%08d%s", s.number, suffix))}
	if s.out.output, err = s.create(s.out.path); err != nil {
		s.out = segmentFile{}
		return err
	}
	s.number++
	n, err := s.out.Write(head)
	s.out.size = int64(n)
	return err
}

// create makes the file of a segment.
func create(path string) (output, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// headFrame is the frame that a segment begins with. Its number counts as none.
func headFrame(h Header) frame {
	var e encoder
	e.record(&h)
	return frame{noNumber, e.b}
}

// noNumber is the number of the frames that are not counted.
const noNumber = 1<<64 - 1

// shrink removes the oldest segments, so that there is room for another.
func (s *Store) shrink(old []segment) error {
	total := s.opt.Limit / segments
	for _, x := range old {
		total += x.size
	}
	for _, x := range old {
		if total <= s.opt.Limit {
			break
		}
		if err := os.Remove(x.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		total -= x.size
	}
	return nil
}

// close ends the segment. One without a frame is removed: a full disc would get another
// one with each attempt, of which no limit counts the name.
func (s *Store) close() {
	if s.out.output == nil {
		return
	}
	// Errors show with the next frame, or do not matter any more.
	s.out.Sync()
	s.out.Close()
	if !s.out.whole {
		os.Remove(s.out.path)
	}
	s.out = segmentFile{}
}

// segment is a file of a recording.
type segment struct {
	path   string
	number int
	size   int64
}

// list returns the segments of a directory, the oldest first.
func list(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), suffix)
		number, err := strconv.Atoi(name)
		if !ok || err != nil || number < 0 || !e.Type().IsRegular() {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // it was removed meanwhile
		}
		all = append(all, segment{filepath.Join(dir, e.Name()), number, info.Size()})
	}
	slices.SortFunc(all, func(a, b segment) int { return a.number - b.number })
	return all, nil
}
