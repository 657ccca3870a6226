package receiver_test

import (
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
	"noonmark/refclock/gnss/gnsstest"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
)

// Recorded streams go through a real pseudo-terminal into the serial reader. The
// seconds that come out are those of the recording, first and last epoch aside.
func TestRecordingsThroughARealTerminal(t *testing.T) {
	for _, name := range []string{"garmin17n", "meinberg-gps164", "quectel-l76k-nmea", "skytraq", "ublox-lea-4h", "ublox-neo-m9n-nmea"} {
		r := gnsstest.Recorded(t, "../gnss/testdata", name)
		t.Run(name, func(t *testing.T) {
			t.Parallel() // each waits for its port's read timeout at the end
			order := replay(t, r.Data)
			seen := map[string]bool{}
			for _, s := range order {
				seen[s] = true
			}
			for i, w := range r.Times {
				if !seen[w] && i > 0 && i < len(r.Times)-1 {
					t.Errorf("%s is missing", w)
				}
				delete(seen, w)
			}
			for i, s := range order {
				if seen[s] && i > 0 && i < len(order)-1 {
					t.Errorf("%s is not in the recording", s)
				}
			}
		})
	}
}

// replay writes a stream to a terminal that a Port reads, and returns the
// seconds that come out, in order.
func replay(t *testing.T, in []byte) (order []string) {
	t.Helper()
	pty := openPTY(t)
	defer pty.Close()
	msgs := make(chan *gnss.Message, 1<<16)
	var c tally
	port := &receiver.Port{
		Session: queued(receiver.Config{Name: pty.Name(), Decode: gnss.Config{Comments: true}}, msgs, &c), Mono: phc.MonoRaw,
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(pty.Name(), 115200) },
	}
	// The last sentence marks the end of what the reader has taken.
	in = nmea.Append(append(in[:len(in):len(in)], "\r\n"...), "GPTXT,01,01,02,end")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := port.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	waitFor(t, ctx, func() bool { return port.Opened() > 0 }) // opening a port drops what it held
	wg.Go(func() {
		for rest := in; len(rest) > 0 && ctx.Err() == nil; {
			n, _ := pty.Write(rest[:min(len(rest), 512)]) // what did not fit is written again
			rest = rest[n:]
		}
	})
	seen := map[string]bool{}
	for over := false; !over; {
		select {
		case <-ctx.Done():
			t.Error("the end of the stream did not come")
			over = true
		case m := <-msgs:
			gnsstest.CheckMessage(t, m)
			if m.Mono == 0 {
				t.Errorf("%s without the instant of its first octet", m.Source)
			}
			if s := gnsstest.Stamp(m); m.HasDate && m.Stated && !seen[s] {
				seen[s] = true
				order = append(order, s)
			}
			over = m.Source == "TXT" && m.Text == "end"
		}
	}
	cancel()
	wg.Wait()
	if c.of(reason.MessageQueue)+c.of(reason.PortGone) > 0 {
		t.Errorf("counted %v", c.n)
	}
	return order
}

// waitFor polls a condition that another goroutine makes true.
func waitFor(t *testing.T, ctx context.Context, ok func() bool) {
	t.Helper()
	tk := time.NewTicker(time.Millisecond)
	defer tk.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatal("the condition never held")
		case <-tk.C:
		}
	}
}

// A device that vanishes and returns is counted, logged with a reason, and read
// again.
func TestPortReadsAgainAfterTheDeviceVanished(t *testing.T) {
	t.Parallel()
	pty := openPTY(t)
	name := filepath.Join(t.TempDir(), "gps")
	if err := os.Symlink(pty.Name(), name); err != nil {
		t.Fatal(err)
	}
	msgs := make(chan *gnss.Message, 64)
	var c tally
	var log syncBuffer
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	port := &receiver.Port{
		Session: queued(receiver.Config{Name: name, Log: slog.New(slog.NewTextHandler(&log, nil))}, msgs, &c), Mono: phc.MonoRaw,
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(name, 9600) },
	}
	var wg sync.WaitGroup
	wg.Go(func() { port.Run(ctx) })
	read := func(p *sim.PTY) {
		t.Helper()
		for {
			p.Write([]byte(zda)) // opening drops what was there: repeat it until it is read
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
	waitFor(t, ctx, func() bool { return c.of(reason.PortMissing) > 0 })
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
	wg.Wait()
	if c.of(reason.PortGone) != 1 || port.Opened() != 2 {
		t.Errorf("gone %d times, opened %d times", c.of(reason.PortGone), port.Opened())
	}
	if got, want := c.history(), "+port_gone -port_gone +port_missing -port_missing"; got != want {
		t.Errorf("conditions %s, want %s", got, want)
	}
}

func TestOpenSerialErrorsNameTheRemedy(t *testing.T) {
	t.Parallel()
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

// A port that is first denied and then silent: the attempts back off, each condition
// begins once, the owner closes.
func TestPortDeniedThenSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		mono := func() int64 { return int64(time.Since(start)) + 1 }
		ctx, cancel := context.WithCancel(t.Context())
		var c tally
		var log syncBuffer
		tries, q := 0, &quietPort{}
		cfg := receiver.Config{Name: "gps", Log: slog.New(slog.NewTextHandler(&log, nil))}
		port := &receiver.Port{Session: queued(cfg, make(chan *gnss.Message), &c), Mono: mono, Open: func() (io.ReadCloser, error) {
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
		if got, want := c.history(), "+port_missing -port_missing +port_silent"; got != want {
			t.Errorf("conditions %s, want %s", got, want)
		}
		if d := c.detail(reason.PortSilent); d != "nothing came" {
			t.Error(d)
		}
	})
}

// A port reads what comes, returns nothing when nothing comes, and an error when the other
// end is gone.
func TestOpenSerialReadsWaitsAndEnds(t *testing.T) {
	t.Parallel()
	pty := openPTY(t)
	port, err := receiver.OpenSerial(pty.Name(), 9600)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	if n, err := port.Read(b); n != 0 || err != nil {
		t.Errorf("a silent port: %d octets, %v", n, err)
	}
	if _, err := pty.Write([]byte("$GPZDA")); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for len(got) < 6 {
		n, err := port.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b[:n]...)
	}
	if string(got) != "$GPZDA" {
		t.Errorf("read %q", got)
	}
	if err := pty.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := port.Read(b); n != 0 || err == nil {
		t.Errorf("after the other end was closed: %d octets, %v", n, err)
	}
	if err := port.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
