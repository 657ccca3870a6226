package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
)

// dataDir finds the recorded streams (from gpsd's tests) or skips.
func dataDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("NOONMARK_DATA")
	if dir == "" {
		dir = "../../shared/data"
	}
	dir = filepath.Join(dir, "gnss")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("recorded receiver streams missing (set NOONMARK_DATA): %v", err)
	}
	return dir
}

func openPTY(t *testing.T) *sim.PTY {
	t.Helper()
	p, err := sim.OpenPTY()
	if err != nil {
		t.Skipf("needs a pseudo-terminal: %v", err)
	}
	return p
}

// tally counts reasons; a test's engine.
type tally struct {
	mu sync.Mutex
	n  map[reason.Code]int
}

func (c *tally) count(r reason.Code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[reason.Code]int{}
	}
	c.n[r]++
}

func (c *tally) of(r reason.Code) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n[r]
}

// TestReplay plays recorded streams of real receivers through a real
// pseudo-terminal into the serial reader: the seconds that come out are those
// that gpsd found, first and last epoch aside, and nothing void is called valid.
func TestReplay(t *testing.T) {
	dir := dataDir(t)
	logs, _ := filepath.Glob(filepath.Join(dir, "*.log.times"))
	if len(logs) == 0 {
		t.Skipf("no recorded streams in %s", dir)
	}
	for _, times := range logs {
		name := strings.TrimSuffix(times, ".times")
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel() // each waits for its port's read timeout at the end
			in, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(times)
			if err != nil {
				t.Fatal(err)
			}
			pty := openPTY(t)
			msgs := make(chan *gnss.Message, 1<<16)
			var c tally
			port := &receiver.Port{
				Name: pty.Name(), Mono: phc.MonoRaw, Out: msgs, Count: c.count, Log: slog.New(slog.DiscardHandler), Decode: gnss.Config{Comments: true},
				Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(pty.Name(), 115200) },
			}
			// Only what the reader has taken counts: a last sentence with
			// nothing behind it is waited for.
			const end = "\r\n$GPTXT,01,01,02,end*00\r\n"
			var x byte
			for _, b := range []byte("GPTXT,01,01,02,end") {
				x ^= b
			}
			in = append(in, strings.Replace(end, "*00", fmt.Sprintf("*%02X", x), 1)...)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			done := make(chan error, 1)
			go func() { done <- port.Run(ctx) }()
			for port.Opened() == 0 && ctx.Err() == nil { // opening a port throws away what it held
				time.Sleep(time.Millisecond)
			}
			go func() {
				for len(in) > 0 && ctx.Err() == nil {
					n, _ := pty.Write(in[:min(len(in), 512)]) // what did not fit goes again
					in = in[n:]
				}
			}()
			var order []string
			seen := map[string]bool{}
			for over := false; !over; {
				select {
				case <-ctx.Done():
					t.Error("the end of the stream did not come")
					over = true
				case m := <-msgs:
					if m.Valid && !m.Stated {
						t.Errorf("valid without being stated: %+v", m)
					}
					if m.Mono == 0 {
						t.Errorf("%s without the instant of its first byte", m.Source)
					}
					if m.HasDate && m.Stated {
						s := fmt.Sprintf("%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", m.Year, m.Month, m.Day, m.Hour, m.Minute, m.Second, m.Nanos/1e6)
						if !seen[s] {
							seen[s] = true
							order = append(order, s)
						}
					}
					over = m.Source == "TXT" && m.Text == "end"
				}
			}
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			pty.Close()
			want := strings.Fields(string(text))
			for i, w := range want {
				if !seen[w] && i > 0 && i < len(want)-1 {
					t.Errorf("%s is missing", w)
				}
				delete(seen, w)
			}
			delete(seen, "2019-04-06T23:57:26.020Z") // gpsd skips this whole epoch
			for i, s := range order {
				if seen[s] && i > 0 && i < len(order)-1 {
					t.Errorf("%s is not gpsd's", s)
				}
			}
			if c.of(reason.MessageQueue)+c.of(reason.PortGone) > 0 {
				t.Errorf("counted %v", c.n)
			}
		})
	}
}

// A device that vanishes and returns: said with a reason, counted, read again.
func TestPortVanishes(t *testing.T) {
	pty := openPTY(t)
	name := filepath.Join(t.TempDir(), "gps")
	if err := os.Symlink(pty.Name(), name); err != nil {
		t.Fatal(err)
	}
	msgs := make(chan *gnss.Message, 64)
	var c tally
	var log syncBuffer
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	port := &receiver.Port{
		Name: name, Mono: phc.MonoRaw, Out: msgs, Count: c.count, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(name, 9600) },
	}
	done := make(chan error, 1)
	go func() { done <- port.Run(ctx) }()
	const zda = "$GPZDA,120000.00,23,11,2026,00,00*62\r\n"
	read := func(p *sim.PTY) {
		t.Helper()
		for {
			p.Write([]byte(zda)) // opening throws away what was there: say it until it is heard
			select {
			case m := <-msgs:
				if m.Source != "ZDA" || !m.HasDate {
					t.Errorf("read %+v", m)
				}
				return
			case <-ctx.Done():
				t.Fatalf("nothing was read\n%s", log.String())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	read(pty)
	os.Remove(name)
	pty.Close()
	for c.of(reason.PortMissing) == 0 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	pty = openPTY(t)
	defer pty.Close()
	if err := os.Symlink(pty.Name(), name); err != nil {
		t.Fatal(err)
	}
	for len(msgs) > 0 {
		<-msgs
	}
	read(pty)
	cancel()
	<-done
	if c.of(reason.PortGone) != 1 || port.Opened() != 2 {
		t.Errorf("gone %d times, opened %d times", c.of(reason.PortGone), port.Opened())
	}
	for _, w := range []string{"port_gone", "port_missing"} {
		if !strings.Contains(log.String(), w) {
			t.Errorf("the log does not say %q:\n%s", w, log.String())
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestOpenSerialErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := receiver.OpenSerial(filepath.Join(dir, "none"), 9600); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "connected") {
		t.Errorf("missing: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := receiver.OpenSerial(file, 9600); err == nil {
		t.Error("a file was opened as a serial port")
	}
	t.Run("permission", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("needs an ordinary user: root may open everything")
		}
		if err := os.Chmod(file, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := receiver.OpenSerial(file, 9600); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("denied: %v", err)
		}
	})
}

// quietPort is a port on which nothing comes.
type quietPort struct{ closed bool }

func (q *quietPort) Read([]byte) (int, error) {
	time.Sleep(500 * time.Millisecond)
	return 0, nil
}

func (q *quietPort) Close() error { q.closed = true; return nil }

// A port that is first denied and then silent, in virtual time: the attempts
// back off, the log repeats nothing too often, the owner closes.
func TestPortMissingThenSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		mono := func() int64 { return int64(time.Since(start)) + 1 }
		ctx, cancel := context.WithCancel(t.Context())
		var c tally
		var log syncBuffer
		tries, q := 0, &quietPort{}
		port := &receiver.Port{Name: "gps", Mono: mono, Count: c.count, Log: slog.New(slog.NewTextHandler(&log, nil)), Out: make(chan *gnss.Message), Open: func() (io.ReadCloser, error) {
			if tries++; time.Since(start) < 10*time.Minute {
				return nil, fmt.Errorf("open gps: %w", fs.ErrPermission)
			}
			return q, nil
		}}
		var wg sync.WaitGroup
		wg.Go(func() { port.Run(ctx) })
		time.Sleep(20 * time.Minute)
		cancel()
		wg.Wait()
		if tries < 40 || tries > 60 || c.of(reason.PortMissing) != tries-1 || c.of(reason.PortSilent) != 1 || !q.closed {
			t.Errorf("%d attempts, counted %v, closed %v", tries, c.n, q.closed)
		}
		if n := strings.Count(log.String(), "\n"); n > 12 {
			t.Errorf("%d lines in twenty minutes:\n%s", n, log.String())
		}
		for _, w := range []string{"port_missing", "port_silent"} {
			if !strings.Contains(log.String(), w) {
				t.Errorf("the log lacks %q", w)
			}
		}
	})
}
