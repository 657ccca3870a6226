// Command gc shows whether garbage collections and TLS handshakes can be seen in
// the timestamps of answers.
//
//	make bench-gc          (root, or CAP_SYS_NICE, for all priorities)
//
// This process is the server: the workers and the NTS-KE service of ntsserve,
// over the loopback interface, and a heap for the collector to walk. A second
// process asks for the time with NTS at a steady rate and takes from each
// authenticated answer how much later the kernel saw it leave (the stamp that
// loopback gives a datagram, "wire") than its transmit timestamp says; of an
// interleaved answer, how much later than it says the answer before left. In
// every other window a collection is forced every 10 ms and a third process does
// one NTS-KE handshake after the other. Each priority of the workers has a server
// of its own, asked in turn.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"noonmark/server/bench/stage"
	"noonmark/server/nts"
	"noonmark/server/threads"
)

type options struct {
	windows int
	window  time.Duration
	rate    int
	burst   int
	heap    int
	out     string
	asLoad  string // the load's process: host:port of NTS-KE
	asShake string // the handshakes' process
	ca      string
	plain   bool

	interleaved bool
	priorities  string
}

func main() {
	runtime.LockOSThread() // the first thread: the workers shall have others, which have names
	var o options
	flag.IntVar(&o.windows, "windows", 8, "windows of each kind, in turn")
	flag.DurationVar(&o.window, "d", 2*time.Second, "length of a window")
	flag.IntVar(&o.rate, "rate", 20000, "requests a second")
	flag.IntVar(&o.burst, "burst", 4, "requests sent at once")
	flag.IntVar(&o.heap, "heap", 32, "MB of live heap full of pointers")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.BoolVar(&o.plain, "plain", false, "plain NTP instead of NTS")
	flag.StringVar(&o.priorities, "priorities", "normal,high,realtime", "priorities of the workers to compare; what is not permitted is left out")
	flag.BoolVar(&o.interleaved, "interleaved", false, "internal")
	flag.StringVar(&o.asLoad, "as-load", "", "internal")
	flag.StringVar(&o.asShake, "as-shake", "", "internal")
	flag.StringVar(&o.ca, "ca", "", "internal")
	flag.Parse()
	var err error
	switch {
	case o.asLoad != "":
		err = load(o)
	case o.asShake != "":
		err = shake(o)
	default:
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-gc:", err)
		os.Exit(1)
	}
}

// window is what the load reports of one window.
type window struct {
	Asked, Valid int
	Late         []int64 // ns, departure minus transmit timestamp
	Stay         []int64 // ns from the receive timestamp to the departure
	Slack        float64 // largest root dispersion, ns
}

func (w *window) add(x window) {
	w.Asked, w.Valid, w.Late, w.Slack = w.Asked+x.Asked, w.Valid+x.Valid, append(w.Late, x.Late...), max(w.Slack, x.Slack)
	w.Stay = append(w.Stay, x.Stay...)
}

// kind is one row of the table.
type kind struct {
	at          *site
	interleaved bool
	busy        bool // with collections and handshakes
	window
	involuntary int64         // times that the worker's thread lost its processor while it had something to do
	waited      time.Duration // that it waited to get one
	tasked      time.Duration // of all windows
}

// node makes the heap something to walk.
type node struct {
	next *node
	_    [6]uint64
}

func ballast(mb int) (head *node) {
	for range mb << 20 / 56 {
		head = &node{next: head}
	}
	return head
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "noonmark-gc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := stage.Certificate(cert, key, net.IPv4(127, 0, 0, 1)); err != nil {
		return err
	}
	stop, err := stage.Publish(filepath.Join(dir, "status"), 100*time.Millisecond)
	if err != nil {
		return err
	}
	defer stop()
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return err
	}
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		return err
	}
	var sites []*site
	for _, name := range strings.Split(o.priorities, ",") {
		p, err := threads.ParsePriority(name)
		if err != nil {
			return err
		}
		t, err := open(p, dir, pair, ring)
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench-gc: priority %s is left out: %v\n", name, err)
			continue
		}
		sites = append(sites, t)
	}
	if len(sites) == 0 {
		return errors.New("none of the priorities is permitted")
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2) // as ntsserve with one worker
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var kinds []*kind
	for _, t := range sites {
		if err := t.start(ctx); err != nil {
			return err
		}
		kinds = append(kinds, &kind{at: t}, &kind{at: t, busy: true})
	}
	last := sites[len(sites)-1]
	kinds = append(kinds, &kind{at: last, interleaved: true}, &kind{at: last, interleaved: true, busy: true})
	heap := ballast(o.heap)
	defer runtime.KeepAlive(heap)

	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := func(arg ...string) (*exec.Cmd, *bufio.Reader, error) {
		c := exec.Command(self, append([]string{"-ca", cert, "-rate", fmt.Sprint(o.rate), "-burst", fmt.Sprint(o.burst),
			"-d", o.window.String(), fmt.Sprintf("-plain=%v", o.plain)}, arg...)...)
		c.Stderr, c.SysProcAttr = os.Stderr, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		out, err := c.StdoutPipe()
		if err != nil {
			return nil, nil, err
		}
		return c, bufio.NewReaderSize(out, 1<<20), c.Start()
	}
	var collections, pauses uint32
	var shakes int64
	for i := range o.windows * len(kinds) {
		k := kinds[i%len(kinds)]
		busy := k.busy
		shaken := func() {}
		collected := make(chan struct{})
		finish := make(chan struct{})
		if busy {
			c, out, err := child("-as-shake", k.at.ln.Addr().String())
			if err != nil {
				return err
			}
			shaken = func() {
				c.Process.Signal(syscall.SIGTERM)
				var n int64
				fmt.Fscan(out, &n)
				c.Wait()
				shakes += n
			}
			go func() {
				defer close(collected)
				for t := time.NewTicker(10 * time.Millisecond); ; {
					select {
					case <-finish:
						t.Stop()
						return
					case <-t.C:
						runtime.GC()
					}
				}
			}()
		} else {
			close(collected)
			debug.SetGCPercent(-1) // none at all
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		lost, waited, since := k.at.usage()
		c, out, err := child("-as-load", k.at.ln.Addr().String(), fmt.Sprintf("-interleaved=%v", k.interleaved))
		if err != nil {
			return err
		}
		var w window
		err = json.NewDecoder(out).Decode(&w)
		if e := c.Wait(); err == nil {
			err = e
		}
		l, t, now := k.at.usage()
		k.involuntary, k.waited, k.tasked = k.involuntary+l-lost, k.waited+t-waited, k.tasked+now.Sub(since)
		close(finish)
		<-collected
		shaken()
		runtime.ReadMemStats(&after)
		debug.SetGCPercent(100)
		if err != nil {
			return err
		}
		if busy {
			collections += after.NumGC - before.NumGC
			for k := before.NumGC; k < after.NumGC; k++ {
				pauses = max(pauses, uint32(after.PauseNs[k%256]))
			}
		}
		k.add(w)
	}
	t := table(o, kinds, collections, pauses, shakes)
	fmt.Print(t)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(t), 0o644); err != nil {
			return err
		}
	}
	for _, k := range kinds {
		if len(k.Late) == 0 {
			return errors.New("no valid answers")
		}
	}
	return nil
}

func table(o options, kinds []*kind, collections, pause uint32, shakes int64) string {
	var b strings.Builder
	what := "NTS (AEAD 15)"
	if o.plain {
		what = "NTP"
	}
	fmt.Fprintf(&b, "The kernel's transmit timestamp minus the answer's, in us; + = the answer's was early, which the client sees as delay.\n"+
		"%s over loopback, %d requests/s in bursts of %d, %d windows of %v of each kind in turn, live heap %d MB, %s, %s.\n"+
		"Machine: %s.\nDuring the busy windows: %d collections (longest pause %v), %d handshakes.\n\n",
		what, o.rate, o.burst, o.windows, o.window, o.heap, runtime.Version(), time.Now().UTC().Format(time.DateOnly),
		stage.Machine(), collections, time.Duration(pause), shakes)
	b.WriteString("| priority | mode | collections, handshakes | answers | lost | min | p0.01 | p1 | p50 | p99 | p99.99 | max | late, % | late by more than the root dispersion | preempted, 1/s | waited for a processor, ms/s | in the server, p50 | p99 | p99.99 |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, k := range kinds {
		slices.Sort(k.Late)
		slices.Sort(k.Stay)
		of := func(v []int64, p float64) string {
			return fmt.Sprintf("%.2f", float64(v[int(math.Round(p*float64(len(v)-1)))])/1e3)
		}
		q := func(p float64) string { return of(k.Late, p) }
		late := sort.Search(len(k.Late), func(i int) bool { return k.Late[i] >= 0 })
		beyond := sort.Search(len(k.Late), func(i int) bool { return float64(k.Late[i]) >= -k.Slack })
		if len(k.Late) == 0 {
			continue
		}
		mode, beside := "basic", "no"
		if k.interleaved {
			mode = "interleaved"
		}
		if k.busy {
			beside = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %.2f | %d | %.0f | %.1f | %s | %s | %s |\n", k.at.priority, mode, beside,
			len(k.Late), max(0, k.Asked-k.Valid), q(0), q(0.0001), q(0.01), q(0.5), q(0.99), q(0.9999), q(1),
			100*float64(late)/float64(max(1, len(k.Late))), beyond,
			float64(k.involuntary)/k.tasked.Seconds(), k.waited.Seconds()*1e3/k.tasked.Seconds(), of(k.Stay, 0.5), of(k.Stay, 0.99), of(k.Stay, 0.9999))
	}
	return b.String()
}
