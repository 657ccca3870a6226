package main

import (
	"context"
	"fmt"
	"io"
	"sync"

	"noonmark/internal/exitcode"
	"noonmark/internal/retry"
	"noonmark/server/ntsclient"
)

// watcher queries several servers at the same time.
type watcher struct {
	o *options

	mu             sync.Mutex // guards the next fields
	stdout, stderr io.Writer
	code           int
}

// watch queries all servers at o.interval, until it is interrupted or o.count lines of
// each are printed. The exit code is 0 if the last reading of every server is valid.
func watch(ctx context.Context, o *options, stdout, stderr io.Writer) int {
	w := &watcher{o: o, stdout: stdout, stderr: stderr}
	if !o.json {
		writeHeading(stdout)
	}
	var wg sync.WaitGroup
	for _, t := range o.hosts {
		wg.Go(func() { w.query(ctx, t) })
	}
	wg.Wait()
	return w.code
}

// query queries one server.
func (w *watcher) query(ctx context.Context, t target) {
	c, err := ntsclient.New(w.o.config(t))
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		fmt.Fprintln(w.stderr, "ntsquery:", err)
		w.code = max(w.code, exitcode.Usage)
		return
	}
	defer c.Close()
	last := 0
	for i := 0; (w.o.count == 0 || i < w.o.count) && ctx.Err() == nil; i++ {
		if i > 0 {
			retry.Sleep(ctx, w.o.interval)
		}
		if ctx.Err() != nil {
			break
		}
		r, err := c.Query(ctx)
		if ctx.Err() != nil {
			break
		}
		s := ntsclient.Sample{Best: r, Shown: r.Server.IsValid(), Ignored: c.Counters(), Err: err}
		if err == nil {
			s.Readings = 1
		}
		last = exitCode(err)
		w.print(t, &s)
	}
	w.mu.Lock()
	w.code = max(w.code, last)
	w.mu.Unlock()
}

// print prints one reading.
func (w *watcher) print(t target, s *ntsclient.Sample) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.o.json {
		writeJSON(w.stdout, t, s)
	} else {
		writeLine(w.stdout, t, s)
	}
}
