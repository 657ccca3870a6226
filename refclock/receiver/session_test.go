package receiver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/phc"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
)

// line is the serial line to a u-blox receiver, in virtual time. Like the port of
// OpenSerial it can be written to and set to another rate, and a read of a silent
// line returns nothing after half a second.
type line struct {
	mu   sync.Mutex // guards all below
	rx   *sim.UBlox
	baud int           // of the host
	in   []byte        // on the way to the host
	more chan struct{} // something came
}

func (l *line) Read(b []byte) (int, error) {
	select {
	case <-l.more:
	case <-time.After(500 * time.Millisecond):
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	n := copy(b, l.in)
	if l.in = l.in[n:]; len(l.in) > 0 {
		l.wake()
	}
	return n, nil
}

func (l *line) Write(b []byte) (int, error) {
	time.Sleep(20 * time.Millisecond) // the way there and back
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in = append(l.in, l.rx.Host(b, l.baud)...)
	l.wake()
	return len(b), nil
}

func (l *line) SetBaud(baud int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.baud = baud
	return nil
}

func (l *line) Close() error { return nil }

// wake lets a Read return; the caller holds mu.
func (l *line) wake() {
	select {
	case l.more <- struct{}{}:
	default:
	}
}

// speak sends the receiver's burst of one second.
func (l *line) speak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.in = append(l.in, l.rx.Speak(l.baud, []byte(zda))...)
	l.wake()
}

// bench runs a Port on a line.
type bench struct {
	line
	port receiver.Port
	c    tally
	log  syncBuffer
	msgs chan *gnss.Message
}

// start starts a Port; it ends with the test's bubble.
func start(t *testing.T, rx *sim.UBlox, rates []int, setup *ubx.Setup) *bench {
	t.Helper()
	began := time.Now()
	b := &bench{line: line{rx: rx, more: make(chan struct{}, 1)}, msgs: make(chan *gnss.Message, 1024)}
	cfg := receiver.Config{Name: "line", Log: slog.New(slog.NewTextHandler(&b.log, nil)), Rates: rates}
	if setup != nil {
		cfg.Configure = func(rates []int) receiver.Configurator { return ubx.NewConfigurator(*setup, rates) }
	}
	b.port = receiver.Port{
		Session: queued(cfg, b.msgs, &b.c), Mono: func() int64 { return int64(time.Since(began)) + 1 },
		Open: func() (io.ReadCloser, error) { b.SetBaud(rates[0]); return &b.line, nil },
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { b.port.Run(ctx) })
	wg.Go(func() {
		tk := time.NewTicker(time.Second)
		defer tk.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tk.C:
				b.speak()
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return b
}

// waitLog waits until a line of the log contains a text n times.
func (b *bench) waitLog(t *testing.T, text string, n int) {
	t.Helper()
	for range 600 {
		if strings.Count(b.log.String(), text) >= n {
			return
		}
		time.Sleep(time.Second)
	}
	t.Fatalf("%q is not in the log %d times after ten minutes:\n%s", text, n, b.log.String())
}

// waitMessage waits for a message of one of these sources.
func (b *bench) waitMessage(t *testing.T, sources ...string) {
	t.Helper()
	for len(b.msgs) > 0 {
		<-b.msgs
	}
	end := time.After(time.Minute)
	for {
		select {
		case m := <-b.msgs:
			for _, s := range sources {
				if m.Source == s {
					return
				}
			}
		case <-end:
			t.Fatalf("no %v came:\n%s", sources, b.log.String())
		}
	}
}

func TestSessionConfiguresTheReceiver(t *testing.T) {
	for _, c := range []struct {
		name  string
		rx    func(*sim.UBlox)
		rates []int
		setup ubx.Setup
		want  string // in the log
		check func(*bench) string
	}{
		{"an NMEA receiver", func(u *sim.UBlox) { u.Dead = true }, []int{9600, 38400}, ubx.Setup{}, "receiver not configured",
			func(b *bench) string {
				if b.c.of(reason.SetupFailed) != 1 {
					return "not counted"
				}
				return ""
			}},
		{"a key that it lacks", func(u *sim.UBlox) { u.Lacks = func(k uint32) bool { return k == 0x2091017e } }, []int{38400}, ubx.Setup{}, "receiver configured",
			func(b *bench) string {
				if b.c.of(reason.SetupRefused) != 1 || !strings.Contains(b.log.String(), "0x2091017e") || b.rx.Keys[0x20910007] != 1 {
					return fmt.Sprintf("%v, keys %#x", b.c.n, b.rx.Keys)
				}
				return ""
			}},
		{"an M8T, each refusal is named", func(u *sim.UBlox) { u.Old, u.Naks = true, 0x0631 }, []int{38400}, ubx.Setup{Pulse: &ubx.Pulse{LengthUS: 100000}}, "receiver configured",
			func(b *bench) string {
				if b.c.of(reason.SetupRefused) != 1 || !strings.Contains(b.log.String(), "CFG-TP5") || b.rx.Set[0x0631] != nil {
					return fmt.Sprintf("%v, set %x", b.c.n, b.rx.Set)
				}
				return ""
			}},
		{"an M8T, from another rate to a third", func(u *sim.UBlox) { u.Old, u.Mute = true, 1 }, []int{9600, 38400},
			ubx.Setup{Baud: 115200, Systems: []gnss.System{gnss.GPS, gnss.QZSS}, Pulse: &ubx.Pulse{LengthUS: 100000}, SurveySeconds: 3600, SurveyAcc: 3},
			"receiver configured",
			func(b *bench) string {
				g, tm := b.rx.Set[0x063e], b.rx.Set[0x063d]
				if b.rx.Baud != 115200 || b.port.Baud() != 115200 || b.baud != 115200 || b.rx.Layers != 0 || b.c.of(reason.SetupRefused) != 0 ||
					len(g) != 60 || g[8] != 1 || g[24] != 0 || g[48] != 1 || g[56] != 0 || len(tm) != 28 || tm[0] != 1 || b.rx.Set[0x0601|0x01<<24|0x07<<16][2] != 1 {
					return fmt.Sprintf("receiver at %d, port at %d, memories %d, refused %d, set %x", b.rx.Baud, b.port.Baud(), b.rx.Layers, b.c.of(reason.SetupRefused), b.rx.Set)
				}
				return ""
			}},
		{"an M8T, saved on request", func(u *sim.UBlox) { u.Old = true }, []int{38400}, ubx.Setup{Layers: ubx.LayerRAM | ubx.LayerBBR | ubx.LayerFlash}, "receiver configured",
			func(b *bench) string {
				if b.rx.Layers != byte(ubx.LayerBBR|ubx.LayerFlash) {
					return fmt.Sprintf("memories %d", b.rx.Layers)
				}
				return ""
			}},
		{"frames lost", func(u *sim.UBlox) { u.Mute = 2 }, []int{38400}, ubx.Setup{}, "receiver configured", nil},
		{"at another rate, to a third", func(u *sim.UBlox) {}, []int{9600, 38400}, ubx.Setup{Baud: 115200, Pulse: &ubx.Pulse{LengthUS: 100000}}, "receiver configured",
			func(b *bench) string {
				if b.rx.Baud != 115200 || b.port.Baud() != 115200 || b.baud != 115200 || b.rx.Keys[0x40050003] != 1e6 || b.rx.Layers != byte(ubx.LayerRAM) {
					return fmt.Sprintf("receiver at %d, port at %d and %d, memories %d, keys %#x", b.rx.Baud, b.port.Baud(), b.baud, b.rx.Layers, b.rx.Keys)
				}
				return ""
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				u := sim.NewUBlox(38400, 3)
				c.rx(u)
				b := start(t, u, c.rates, &c.setup)
				b.waitLog(t, c.want, 1)
				b.mu.Lock()
				if c.check != nil {
					if why := c.check(b); why != "" {
						t.Errorf("%s\n%s", why, b.log.String())
					}
				}
				b.mu.Unlock()
				b.waitMessage(t, "ZDA", "NAV-TIMEGPS")
			})
		})
	}
}

// A receiver that loses its settings, as after a power failure, is configured
// again without a restart.
func TestSessionConfiguresAgainAfterSettingsAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := sim.NewUBlox(38400, 4)
		b := start(t, u, []int{38400}, &ubx.Setup{})
		b.waitLog(t, "receiver configured", 1)
		b.mu.Lock()
		u.Reset(38400)
		b.mu.Unlock()
		lost := time.Now()
		b.waitLog(t, "lost its settings", 1)
		if d := time.Since(lost); d < 60*time.Second || d > 70*time.Second {
			t.Errorf("noticed after %v", d)
		}
		b.waitLog(t, "receiver configured", 2)
	})
}

// The rate of a receiver that does not answer is found by listening.
func TestSessionFindsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := sim.NewUBlox(38400, 5)
		u.Dead = true
		b := start(t, u, []int{9600, 115200, 38400}, nil)
		b.waitMessage(t, "ZDA")
		if b.port.Baud() != 38400 || b.c.of(reason.PortBaud) < 2 {
			t.Errorf("understood at %d baud after %d changes", b.port.Baud(), b.c.of(reason.PortBaud))
		}
	})
}

// A real terminal takes rates and answers as the line of the other tests does.
func TestSessionOnARealTerminal(t *testing.T) {
	t.Parallel()
	pty, u := openPTY(t), sim.NewUBlox(38400, 6)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	var c tally
	var log syncBuffer
	msgs := make(chan *gnss.Message, 1024)
	port := &receiver.Port{
		Session: queued(receiver.Config{
			Name: pty.Name(), Log: slog.New(slog.NewTextHandler(&log, nil)), Rates: []int{38400},
			Configure: func(rates []int) receiver.Configurator { return ubx.NewConfigurator(ubx.Setup{Baud: 115200}, rates) },
		}, msgs, &c),
		Mono: func() int64 { return phc.MonoRaw() * 20 }, // all waits take a twentieth
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(pty.Name(), 38400) },
	}
	var wg sync.WaitGroup
	wg.Go(func() { port.Run(ctx) })
	wg.Go(func() {
		var b [1024]byte
		for {
			n, err := pty.Read(b[:])
			if err != nil {
				return
			}
			pty.Write(u.Host(b[:n], pty.Baud()))
		}
	})
	defer func() {
		cancel()
		pty.Close()
		wg.Wait()
	}()
	waitFor(t, ctx, func() bool { return strings.Contains(log.String(), "receiver configured") })
	if port.Baud() != 115200 || pty.Baud() != 115200 {
		t.Errorf("port at %d, terminal at %d baud:\n%s", port.Baud(), pty.Baud(), log.String())
	}
	waitFor(t, ctx, func() bool {
		pty.Write([]byte(zda))
		select {
		case m := <-msgs:
			return m.Source == "ZDA"
		default:
			return false
		}
	})
}

// steady is a port that delivers the same number of octets every tenth of a
// second, as sentences, and then ends the test.
type steady struct {
	now    *int64 // mono
	at     int
	octets int // each read
	reads  int // left
	done   func()
}

func (s *steady) Read(b []byte) (int, error) {
	if s.reads--; s.reads < 0 {
		s.done()
		return 0, io.EOF
	}
	*s.now += 1e8
	for i := range s.octets {
		b[i] = zda[(s.at+i)%len(zda)]
	}
	s.at += s.octets
	return s.octets, nil
}

func (s *steady) Close() error { return nil }

// A rate that is too low for what is sent is one condition, and counted.
func TestSessionWarnsOfAFullPort(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		baud   int
		octets int // each read
		want   int
	}{
		{"full", 4800, 46, 3},
		{"roomy", 9600, 46, 0},
		{"USB, where the rate means nothing", 9600, 300, 0},
	} {
		var n tally
		var log syncBuffer
		now := int64(1e9)
		ctx, cancel := context.WithCancel(t.Context())
		p := &receiver.Port{
			Session: queued(receiver.Config{Name: "test", Rates: []int{c.baud}, Log: slog.New(slog.NewTextHandler(&log, nil))}, make(chan *gnss.Message, 4096), &n),
			Mono:    func() int64 { return now },
			Open: func() (io.ReadCloser, error) {
				return &steady{now: &now, octets: c.octets, reads: 350, done: cancel}, nil
			},
		}
		p.Run(ctx)
		cancel()
		began := strings.Count(n.history(), "+port_slow")
		if got := n.of(reason.PortSlow); int(got) != c.want || began != min(c.want, 1) {
			t.Errorf("%s: counted %d times, want %d; began %d times", c.name, got, c.want, began)
		}
	}
}
