// Command gc shows whether garbage collections and TLS handshakes can be seen in
// the timestamps of answers.
//
//	make bench-gc          (root, or CAP_SYS_NICE, for all priorities)
//
// This process is the server: the workers and the NTS-KE service of ntsserve, on
// the loopback interface, and a large heap that the collector has to scan. A
// second process sends requests with NTS at a steady rate. From each
// authenticated answer it takes how much later than its transmit timestamp the
// answer left (the loopback interface gives a datagram its timestamp as it
// leaves); from an interleaved answer, the same of the previous answer. In every
// other window a collection is forced every 10 ms and a third process does one
// NTS-KE handshake after the other. For each priority of the workers there is a
// server of its own; the load takes them in turn.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"
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
	runtime.LockOSThread() // keeps the process's first thread, so that the workers run on threads that get names
	var o options
	flag.IntVar(&o.windows, "windows", 8, "windows of each kind, in turn")
	flag.DurationVar(&o.window, "d", 2*time.Second, "length of a window")
	flag.IntVar(&o.rate, "rate", 20000, "requests a second")
	flag.IntVar(&o.burst, "burst", 4, "requests sent at once")
	flag.IntVar(&o.heap, "heap", 32, "MB of live heap full of pointers")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.BoolVar(&o.plain, "plain", false, "plain NTP instead of NTS")
	flag.StringVar(&o.priorities, "priorities", "normal,realtime", "priorities of the workers to compare; those not permitted are left out")
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

// window is the load's report of one window.
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

func run(o options) error {
	dir, err := os.MkdirTemp("", "noonmark-gc")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b, stop, err := newBench(ctx, o, dir)
	if err != nil {
		return err
	}
	defer stop()
	heap := ballast(o.heap)
	defer runtime.KeepAlive(heap)
	for i := range o.windows * len(b.kinds) {
		if err := b.measure(b.kinds[i%len(b.kinds)]); err != nil {
			return err
		}
	}
	text := b.table()
	fmt.Print(text)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, k := range b.kinds {
		if len(k.Late) == 0 {
			return errors.New("no valid answers")
		}
	}
	return nil
}

// node is an object of the heap with a pointer for the collector to follow.
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
