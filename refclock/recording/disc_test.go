package recording

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// disc is a disc that forgets what was not synced when it loses power, and that can hang
// or be full.
type disc struct {
	mu     sync.Mutex
	names  []string
	files  map[string]*discFile
	syncs  int
	refuse error         // of each write; nil: none
	hold   chan struct{} // not nil: Sync waits until it is closed
}

type discFile struct {
	d             *disc
	real          *os.File // its name is there, as other parts expect
	written, safe []byte
}

func (d *disc) create(path string) (output, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	x := &discFile{d: d, real: f}
	d.files[path] = x
	d.names = append(d.names, path)
	return x, nil
}

func (f *discFile) Write(b []byte) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.d.refuse != nil {
		return 0, f.d.refuse
	}
	f.written = append(f.written, b...)
	return len(b), nil
}

func (f *discFile) Sync() error {
	if hold := f.d.held(); hold != nil {
		<-hold
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.syncs++
	f.safe = f.written[:len(f.written):len(f.written)]
	return nil
}

func (f *discFile) Close() error { return f.real.Close() }

func (d *disc) held() chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hold
}

// safe is what a loss of power would leave now: the newest instant.
func (d *disc) safe(t *testing.T) (newest int64) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range d.names {
		all, _ := readAll(t, d.files[name].safe)
		for _, r := range all {
			if s, ok := r.(*Step); ok {
				newest = max(newest, s.Mono)
			}
		}
	}
	return newest
}

// onDisc runs a store on a disc in virtual time. feed gives it a frame of the present
// instant, as a recorder does every 5 s.
func onDisc(t *testing.T, log *slog.Logger, f func(s *Store, d *disc, feed func(frames int))) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := NewStore(Options{Dir: dir, Limit: 16 * MinLimit, Log: log})
		d := &disc{files: map[string]*discFile{}}
		s.create = d.create
		s.working.Clock = func() int64 { return 1 + int64(time.Since(began)) }
		s.begin(Header{Version: FormatVersion, Run: "r"}, func() {})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		number := uint64(0)
		f(s, d, func(frames int) {
			for range frames {
				time.Sleep(time.Duration(frameFor))
				s.put(frame{number, content(int64(time.Since(began)))})
				number++
				synctest.Wait()
			}
		})
		cancel()
		<-done
	})
}

// A loss of power costs the open frame and what was written since the last sync, whatever
// the length of a segment; and a memory card is not written to more often than that.
func TestLossOfPowerCostsAFewSeconds(t *testing.T) {
	t.Parallel()
	onDisc(t, nil, func(s *Store, d *disc, feed func(int)) {
		began := time.Now()
		for range 100 {
			feed(1)
			if lost := int64(time.Since(began)) - d.safe(t); lost > int64(syncEvery)+int64(frameFor) {
				t.Fatalf("after %v a loss of power costs %v", time.Since(began), time.Duration(lost))
			}
		}
		if most := int(time.Since(began) / syncEvery); d.syncs > most || len(d.names) != 1 {
			t.Errorf("%d syncs in %v, %d segments", d.syncs, time.Since(began), len(d.names))
		}
	})
}

// A disc that hangs holds up nobody. What does not fit into the queue is lost and counted,
// the task shows that it hangs, and the log says it afterwards.
func TestDiscThatHangsWhileItSyncs(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	onDisc(t, slog.New(slog.NewTextHandler(&log, nil)), func(s *Store, d *disc, feed func(int)) {
		feed(10)
		hold := make(chan struct{})
		d.mu.Lock()
		d.hold = hold
		d.mu.Unlock()
		before := s.Written()
		feed(queueFrames + 30)
		if lost := s.Lost(); s.Hanging() == nil || s.Written() > before+3 || lost < 20 || lost > 30 {
			t.Errorf("hanging: %v; %d written, %d lost", s.Hanging(), s.Written()-before, s.Lost())
		}
		close(hold)
		d.mu.Lock()
		d.hold = nil
		d.mu.Unlock()
		lost := s.Lost()
		feed(10)
		if s.Hanging() != nil || s.Lost() != lost || s.Written()+lost != 10+queueFrames+30+10 {
			t.Errorf("afterwards: %v; %d written, %d lost", s.Hanging(), s.Written(), s.Lost())
		}
		if n := strings.Count(log.String(), "because the disc is too slow"); n != 1 {
			t.Errorf("logged %d times:\n%s", n, &log)
		}
	})
}

// A full disc gets no new name with each attempt.
func TestFullDiscIsNotLitteredWithFiles(t *testing.T) {
	t.Parallel()
	onDisc(t, nil, func(s *Store, d *disc, feed func(int)) {
		feed(5)
		d.mu.Lock()
		d.refuse = fmt.Errorf("write: %w", syscall.ENOSPC)
		d.mu.Unlock()
		feed(1000)
		all, err := list(s.opt.Dir)
		if err != nil || len(all) != 1 || s.Lost() < 900 {
			t.Errorf("%d files, %v; %d lost", len(all), err, s.Lost())
		}
		d.mu.Lock()
		d.refuse = nil
		d.mu.Unlock()
		lost := s.Lost()
		feed(10)
		if all, err = list(s.opt.Dir); err != nil || len(all) != 2 || s.Lost() > lost+4 {
			t.Errorf("afterwards %d files, %v; %d lost", len(all), err, s.Lost()-lost)
		}
	})
}

// Another program's file with the next number is left alone.
func TestNumberOfASegmentThatIsTaken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := NewStore(Options{Dir: dir, Limit: MinLimit, Immediate: true})
	s.begin(Header{Version: FormatVersion, Run: "r"}, nil)
	s.put(frame{0, content(1e9)})
	s.Close()
	if err := os.WriteFile(filepath.Join(dir, "00000001"+suffix), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.put(frame{1, content(2e9)})
	s.Close()
	if _, err := os.Stat(filepath.Join(dir, "00000002"+suffix)); errors.Is(err, os.ErrNotExist) || s.Lost() != 0 {
		t.Errorf("%v; %d lost", err, s.Lost())
	}
}
