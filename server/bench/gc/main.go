// Command gc shows whether garbage collections and TLS handshakes can be seen in
// the timestamps of answers.
//
//	make bench-gc          (no root needed)
//
// This process is the server: the workers and the NTS-KE service of ntsserve,
// over the loopback interface, and a heap for the collector to walk. A second
// process asks for the time with NTS at a steady rate and takes from each
// authenticated answer how much later the kernel saw it leave (the stamp that
// loopback gives a datagram, "wire") than its transmit timestamp says. In every
// other window a collection is forced every 10 ms and a third process does one
// NTS-KE handshake after the other.
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
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"syscall"
	"time"

	"noonmark/server"
	"noonmark/server/bench/stage"
	"noonmark/server/hwts"
	"noonmark/server/nts"
	"noonmark/server/ntske"
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
}

func main() {
	var o options
	flag.IntVar(&o.windows, "windows", 8, "windows of each kind, in turn")
	flag.DurationVar(&o.window, "d", 2*time.Second, "length of a window")
	flag.IntVar(&o.rate, "rate", 20000, "requests a second")
	flag.IntVar(&o.burst, "burst", 4, "requests sent at once")
	flag.IntVar(&o.heap, "heap", 32, "MB of live heap full of pointers")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.BoolVar(&o.plain, "plain", false, "plain NTP instead of NTS")
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
	Slack        float64 // root dispersion told, ns, largest
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
	srv, err := server.New(server.Config{
		Snapshot: filepath.Join(dir, "status"), Ring: ring,
		Endpoints: []server.Endpoint{{Socket: hwts.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}}},
	})
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + srv.Workers() + 1) // as ntsserve
	ke, err := ntske.NewServer(ntske.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Ring: ring, NTPPort: int(srv.Addrs()[0].Port()),
	})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go srv.Run(ctx)
	go ke.Serve(ctx, ln)
	<-srv.Ready()
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
	kinds := [2]window{}
	var collections, pauses uint32
	var shakes int64
	for i := range 2 * o.windows {
		busy := i%2 == 1
		shaken := func() {}
		collected := make(chan struct{})
		finish := make(chan struct{})
		if busy {
			c, out, err := child("-as-shake", ln.Addr().String())
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
		c, out, err := child("-as-load", ln.Addr().String())
		if err != nil {
			return err
		}
		var w window
		err = json.NewDecoder(out).Decode(&w)
		if e := c.Wait(); err == nil {
			err = e
		}
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
		k := &kinds[i%2]
		k.Asked, k.Valid, k.Late, k.Slack = k.Asked+w.Asked, k.Valid+w.Valid, append(k.Late, w.Late...), max(k.Slack, w.Slack)
	}
	t := table(o, kinds, collections, pauses, shakes)
	fmt.Print(t)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(t), 0o644); err != nil {
			return err
		}
	}
	if kinds[0].Valid == 0 || kinds[1].Valid == 0 {
		return errors.New("no valid answers")
	}
	return nil
}

func table(o options, kinds [2]window, collections, pause uint32, shakes int64) string {
	var b strings.Builder
	what := "NTS (AEAD 15)"
	if o.plain {
		what = "NTP"
	}
	fmt.Fprintf(&b, "Departure as the kernel stamped it minus transmit timestamp, in us; + = the timestamp was early, which the client sees as delay.\n"+
		"%s over loopback, %d requests/s in bursts of %d, %d windows of %v of each kind in turn, live heap %d MB, %s, %s.\n"+
		"Machine: %s.\nBeside the busy windows: %d collections (longest pause %v), %d handshakes.\n\n",
		what, o.rate, o.burst, o.windows, o.window, o.heap, runtime.Version(), time.Now().UTC().Format(time.DateOnly),
		stage.Machine(), collections, time.Duration(pause), shakes)
	b.WriteString("| | answers | lost | min | p0.01 | p1 | p50 | p99 | p99.99 | max | late, % | late by more than the dispersion told |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for i, name := range [...]string{"no collection, no handshakes", "a collection every 10 ms, handshakes"} {
		k := kinds[i]
		sort.Slice(k.Late, func(a, b int) bool { return k.Late[a] < k.Late[b] })
		q := func(p float64) string {
			if len(k.Late) == 0 {
				return "-"
			}
			at := int(math.Round(p * float64(len(k.Late)-1)))
			return fmt.Sprintf("%.2f", float64(k.Late[at])/1e3)
		}
		late := sort.Search(len(k.Late), func(i int) bool { return k.Late[i] >= 0 })
		beyond := sort.Search(len(k.Late), func(i int) bool { return float64(k.Late[i]) >= -k.Slack })
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %s | %s | %s | %.2f | %d |\n", name, k.Valid, max(0, k.Asked-k.Valid),
			q(0), q(0.0001), q(0.01), q(0.5), q(0.99), q(0.9999), q(1), 100*float64(late)/float64(max(1, len(k.Late))), beyond)
	}
	return b.String()
}
