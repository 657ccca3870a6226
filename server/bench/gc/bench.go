package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"noonmark/server/bench/stage"
	"noonmark/server/nts"
	"noonmark/server/threads"
)

// kind is a kind of window: one row of the table.
type kind struct {
	at          *site
	interleaved bool
	busy        bool // with collections and handshakes
	window
	involuntary int64         // times that the worker's thread lost its processor while it had something to do
	waited      time.Duration // that it waited for a processor
	measured    time.Duration // length of all windows
}

// bench has the servers and what the windows measured.
type bench struct {
	o     options
	self  string // this program
	ca    string
	kinds []*kind

	collections uint32
	pause       time.Duration // longest pause of a collection
	handshakes  int64
}

// newBench starts the servers. stop ends what they need.
func newBench(ctx context.Context, o options, dir string) (b *bench, stop func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	b = &bench{o: o, self: self, ca: filepath.Join(dir, "cert.pem")}
	key := filepath.Join(dir, "key.pem")
	if err := stage.Certificate(b.ca, key, net.IPv4(127, 0, 0, 1)); err != nil {
		return nil, nil, err
	}
	pair, err := tls.LoadX509KeyPair(b.ca, key)
	if err != nil {
		return nil, nil, err
	}
	if stop, err = stage.Publish(filepath.Join(dir, "status"), 100*time.Millisecond); err != nil {
		return nil, nil, err
	}
	sites, err := openSites(o.priorities, dir, pair)
	if err == nil {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) // as ntsserve with one worker
		err = b.start(ctx, sites)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return b, stop, nil
}

// openSites opens a server for each of the priorities that is permitted.
func openSites(priorities, dir string, pair tls.Certificate) (sites []*site, err error) {
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		return nil, err
	}
	for _, name := range strings.Split(priorities, ",") {
		p, err := threads.ParsePriority(name)
		if err != nil {
			return nil, err
		}
		t, err := open(p, dir, pair, ring)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench-gc: priority %s is left out: %v\n", name, err)
			continue
		}
		sites = append(sites, t)
	}
	if len(sites) == 0 {
		return nil, errors.New("none of the priorities is permitted")
	}
	return sites, nil
}

// start starts the servers and sets the kinds of windows to measure: each server
// with basic answers, the last with interleaved ones too.
func (b *bench) start(ctx context.Context, sites []*site) error {
	for _, t := range sites {
		if err := t.start(ctx); err != nil {
			return err
		}
		b.kinds = append(b.kinds, &kind{at: t}, &kind{at: t, busy: true})
	}
	last := sites[len(sites)-1]
	b.kinds = append(b.kinds, &kind{at: last, interleaved: true}, &kind{at: last, interleaved: true, busy: true})
	return nil
}

// measure measures one window of a kind.
func (b *bench) measure(k *kind) error {
	stopDisturbing := func() {}
	if k.busy {
		var err error
		if stopDisturbing, err = b.disturb(k.at); err != nil {
			return err
		}
	} else {
		debug.SetGCPercent(-1) // no collection at all
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lost, waited, since := k.at.usage()
	w, err := b.load(k)
	l, t, now := k.at.usage()
	k.involuntary, k.waited, k.measured = k.involuntary+l-lost, k.waited+t-waited, k.measured+now.Sub(since)
	stopDisturbing()
	runtime.ReadMemStats(&after)
	debug.SetGCPercent(100)
	if err != nil {
		return err
	}
	if k.busy {
		b.collections += after.NumGC - before.NumGC
		for n := before.NumGC; n < after.NumGC; n++ {
			b.pause = max(b.pause, time.Duration(after.PauseNs[n%256]))
		}
	}
	k.add(w)
	return nil
}

// load runs the load's process for one window.
func (b *bench) load(k *kind) (w window, err error) {
	c, out, err := b.child("-as-load", k.at.ln.Addr().String(), fmt.Sprintf("-interleaved=%v", k.interleaved))
	if err != nil {
		return w, err
	}
	err = json.NewDecoder(out).Decode(&w)
	return w, errors.Join(err, c.Wait())
}

// disturb forces collections and starts the process that does handshakes. stop
// returns when both have ended.
func (b *bench) disturb(t *site) (stop func(), err error) {
	c, out, err := b.child("-as-shake", t.ln.Addr().String())
	if err != nil {
		return nil, err
	}
	finish, collected := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(collected)
		t := time.NewTicker(10 * time.Millisecond)
		defer t.Stop()
		for {
			select {
			case <-finish:
				return
			case <-t.C:
				runtime.GC()
			}
		}
	}()
	return func() {
		close(finish)
		<-collected
		c.Process.Signal(syscall.SIGTERM)
		var n int64
		fmt.Fscan(out, &n)
		c.Wait()
		b.handshakes += n
	}, nil
}

// child starts this program again as the load or the handshakes.
func (b *bench) child(arg ...string) (*exec.Cmd, *bufio.Reader, error) {
	c := exec.Command(b.self, append([]string{"-ca", b.ca, "-rate", fmt.Sprint(b.o.rate), "-burst", fmt.Sprint(b.o.burst),
		"-d", b.o.window.String(), fmt.Sprintf("-plain=%v", b.o.plain)}, arg...)...)
	c.Stderr, c.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := c.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	return c, bufio.NewReaderSize(out, 1<<20), c.Start()
}
