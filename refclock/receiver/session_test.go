package receiver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"noonmark/phc"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/ubx"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/sim"
)

// onWire plays a u-blox receiver at the far side of a pseudo-terminal, and the
// port that configures it. Time runs twenty times as fast for both.
type onWire struct {
	pty  *sim.PTY
	mu   sync.Mutex // guards rx
	rx   *sim.UBlox
	port *receiver.Port
	c    tally
	log  syncBuffer
	msgs chan *gnss.Message
}

func newOnWire(t *testing.T, rx *sim.UBlox, rates []int, setup *ubx.Setup) *onWire {
	t.Helper()
	w := &onWire{pty: openPTY(t), rx: rx, msgs: make(chan *gnss.Message, 1024)}
	mono := func() int64 { return phc.MonoRaw() * 20 }
	w.port = &receiver.Port{
		Name: w.pty.Name(), Mono: mono, Out: w.msgs, Count: w.c.count, Log: slog.New(slog.NewTextHandler(&w.log, nil)), Rates: rates,
		Open: func() (io.ReadCloser, error) { return receiver.OpenSerial(w.pty.Name(), rates[0]) },
	}
	if setup != nil {
		w.port.Configure = func(rates []int) receiver.Configurator { return ubx.NewConfigurator(*setup, rates) }
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { w.port.Run(ctx) })
	wg.Go(func() { // what the host sends
		var b [1024]byte
		for {
			n, err := w.pty.Read(b[:])
			if err != nil {
				return
			}
			w.mu.Lock()
			a := w.rx.Host(b[:n], w.pty.Baud())
			w.mu.Unlock()
			w.pty.Write(a)
		}
	})
	wg.Go(func() { // what it says by itself
		tk := time.NewTicker(20 * time.Millisecond)
		defer tk.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tk.C:
			}
			w.mu.Lock()
			b := w.rx.Speak(w.pty.Baud(), []byte("$GPZDA,120000.00,23,11,2026,00,00*62\r\n"))
			w.mu.Unlock()
			w.pty.Write(b)
		}
	})
	t.Cleanup(func() {
		cancel()
		w.pty.Close()
		wg.Wait()
	})
	return w
}

// until waits for something that is to be said.
func (w *onWire) until(t *testing.T, word string) {
	t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !strings.Contains(w.log.String(), word) {
		if time.Now().After(end) {
			t.Fatalf("%q was not said:\n%s", word, w.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestConfigureOnWire(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, c := range []struct {
		name  string
		rx    func(*sim.UBlox)
		rates []int
		setup ubx.Setup
		want  string // to be said
		check func(*onWire) string
	}{
		{"an NMEA receiver", func(u *sim.UBlox) { u.Dead = true }, []int{9600, 38400}, ubx.Setup{}, "receiver not configured",
			func(w *onWire) string {
				if w.c.of(reason.SetupFailed) != 1 {
					return "not counted"
				}
				return ""
			}},
		{"a key that it lacks", func(u *sim.UBlox) { u.Lacks = func(k uint32) bool { return k == 0x2091017e } }, []int{38400}, ubx.Setup{}, "receiver configured",
			func(w *onWire) string {
				if w.c.of(reason.SetupRefused) != 1 || !strings.Contains(w.log.String(), "0x2091017e") || w.rx.Keys[0x20910007] != 1 {
					return fmt.Sprintf("%v, keys %#x", w.c.n, w.rx.Keys)
				}
				return ""
			}},
		{"an M8T, every refusal named", func(u *sim.UBlox) { u.Old, u.Naks = true, 0x0631 }, []int{38400}, ubx.Setup{Pulse: &ubx.Pulse{LengthUS: 100000}}, "receiver configured",
			func(w *onWire) string {
				if w.c.of(reason.SetupRefused) != 1 || !strings.Contains(w.log.String(), "CFG-TP5") || w.rx.Set[0x0631] != nil {
					return fmt.Sprintf("%v, set %x", w.c.n, w.rx.Set)
				}
				return ""
			}},
		{"an M8T, from another rate to a third", func(u *sim.UBlox) { u.Old, u.Mute = true, 1 }, []int{9600, 38400},
			ubx.Setup{Baud: 115200, Systems: []gnss.System{gnss.GPS, gnss.QZSS}, Pulse: &ubx.Pulse{LengthUS: 100000}, SurveySeconds: 3600, SurveyAcc: 3},
			"receiver configured",
			func(w *onWire) string {
				g, tm := w.rx.Set[0x063e], w.rx.Set[0x063d]
				if w.rx.Baud != 115200 || w.port.Baud() != 115200 || w.pty.Baud() != 115200 || w.rx.Layers != 0 || w.c.of(reason.SetupRefused) != 0 ||
					len(g) != 60 || g[8] != 1 || g[24] != 0 || g[48] != 1 || g[56] != 0 || len(tm) != 28 || tm[0] != 1 || w.rx.Set[0x0601|0x01<<24|0x07<<16][2] != 1 {
					return fmt.Sprintf("receiver at %d, port at %d, memories %d, refused %d, set %x", w.rx.Baud, w.port.Baud(), w.rx.Layers, w.c.of(reason.SetupRefused), w.rx.Set)
				}
				return ""
			}},
		{"an M8T, saved when asked", func(u *sim.UBlox) { u.Old = true }, []int{38400}, ubx.Setup{Layers: ubx.LayerRAM | ubx.LayerBBR | ubx.LayerFlash}, "receiver configured",
			func(w *onWire) string {
				if w.rx.Layers != byte(ubx.LayerBBR|ubx.LayerFlash) {
					return fmt.Sprintf("memories %d", w.rx.Layers)
				}
				return ""
			}},
		{"frames lost", func(u *sim.UBlox) { u.Mute = 2 }, []int{38400}, ubx.Setup{}, "receiver configured", nil},
		{"at another rate, to a third", func(u *sim.UBlox) {}, []int{9600, 38400}, ubx.Setup{Baud: 115200, Pulse: &ubx.Pulse{LengthUS: 100000}}, "receiver configured",
			func(w *onWire) string {
				if w.rx.Baud != 115200 || w.port.Baud() != 115200 || w.pty.Baud() != 115200 || w.rx.Keys[0x40050003] != 1e6 || w.rx.Layers != byte(ubx.LayerRAM) {
					return fmt.Sprintf("receiver at %d, port at %d and %d, memories %d, keys %#x", w.rx.Baud, w.port.Baud(), w.pty.Baud(), w.rx.Layers, w.rx.Keys)
				}
				return ""
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			u := sim.NewUBlox(38400, 3)
			c.rx(u)
			w := newOnWire(t, u, c.rates, &c.setup)
			w.until(t, c.want)
			w.mu.Lock()
			if c.check != nil {
				if why := c.check(w); why != "" {
					t.Errorf("%s\n%s", why, w.log.String())
				}
			}
			w.mu.Unlock()
			for m := range w.msgs { // and what it says now is understood
				if m.Source == "ZDA" || m.Source == "NAV-TIMEGPS" {
					break
				}
			}
		})
	}
}

// A receiver that loses its settings, as after a failure of its power, is
// configured again without a restart.
func TestConfigureAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	u := sim.NewUBlox(38400, 4)
	w := newOnWire(t, u, []int{38400}, &ubx.Setup{})
	w.until(t, "receiver configured")
	w.mu.Lock()
	u.Reset(38400)
	w.mu.Unlock()
	w.until(t, "lost its settings")
	end := time.Now().Add(20 * time.Second)
	for strings.Count(w.log.String(), "receiver configured") < 2 {
		if time.Now().After(end) {
			t.Fatalf("not configured again:\n%s", w.log.String())
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// The rate of a receiver that cannot be asked is found by listening.
func TestHuntOnWire(t *testing.T) {
	u := sim.NewUBlox(38400, 5)
	u.Dead = true
	w := newOnWire(t, u, []int{9600, 115200, 38400}, nil)
	deadline := time.After(20 * time.Second)
	for {
		select {
		case m := <-w.msgs:
			if m.Source != "ZDA" {
				continue
			}
			if w.port.Baud() != 38400 || w.c.of(reason.PortBaud) < 2 {
				t.Errorf("understood at %d baud after %d changes", w.port.Baud(), w.c.of(reason.PortBaud))
			}
			return
		case <-deadline:
			t.Fatalf("never understood; at %d baud after %d changes", w.port.Baud(), w.c.of(reason.PortBaud))
		}
	}
}
