package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/version"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// Exit codes of sysexits.h beside those of package config.
const (
	exitInterrupted = 130 // 128 + SIGINT, as shells have it
)

// priming is how many exchanges in basic mode come before the first interleaved
// one and are not counted: one for the stamp, and one more for chrony, which
// keeps stamps only for those who have shown that they want them.
const priming = 2

// tries is how often one reading is tried: datagrams get lost.
const tries = 3

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "ntsquery:", err)
		return exitCode(err)
	}
	if o.version {
		fmt.Fprintln(stdout, version.Text("ntsquery"))
		return exitcode.OK
	}
	if o.watch {
		return watch(ctx, o, stdout, stderr)
	}
	res := collect(ctx, o, o.hosts[0])
	if o.json {
		writeJSON(stdout, res)
	} else {
		writeText(stdout, res)
	}
	if res.err != nil {
		fmt.Fprintln(stderr, "ntsquery:", res.err)
	}
	return exitCode(res.err)
}

// result is what came of asking one server.
type result struct {
	target   target
	best     ntsclient.Reading // valid if err is nil; said by the server if shown
	shown    bool              // best holds something
	readings int               // valid ones
	lost     int               // requests without a valid answer
	jitter   time.Duration
	ignored  ntsclient.Counters
	err      error
}

func newClient(o *options, t target) (*ntsclient.Client, error) {
	c := o.client
	c.Host, c.Port = t.host, t.port
	return ntsclient.New(c)
}

// collect takes o.count readings of one server.
func collect(ctx context.Context, o *options, t target) result {
	res := result{target: t}
	c, err := newClient(o, t)
	if err != nil {
		res.err = fmt.Errorf("%w: %w", errUsage, err)
		return res
	}
	defer c.Close()
	var rs []ntsclient.Reading
	budget := o.count + tries - 1 // requests in all, so that a dead server does not cost count timeouts
	prime := 0
	if o.client.Interleaved {
		prime = priming
	}
	for i := 0; len(rs) < o.count && i < budget && ctx.Err() == nil; i++ {
		r, err := c.Query(ctx)
		if err == nil && prime > 0 && !r.Interleaved {
			prime--
			i--
			pause(ctx, min(o.interval, 100*time.Millisecond))
			continue
		}
		if prime = 0; err == nil {
			if rs = append(rs, r); len(rs) < o.count {
				pause(ctx, o.interval)
			}
			continue
		}
		res.err, res.lost = err, res.lost+1
		if r.Server.IsValid() {
			res.best, res.shown = r, true
		}
		if !transient(err) {
			break
		}
		pause(ctx, o.interval)
	}
	res.ignored = c.Counters()
	if i := ntsclient.Best(rs); i >= 0 {
		res.best, res.shown, res.err = rs[i], true, nil
		res.readings, res.jitter = len(rs), ntsclient.Jitter(rs, i)
	} else if res.err == nil {
		res.err = ctx.Err()
	}
	return res
}

// transient reports whether asking again may help.
func transient(err error) bool {
	return errors.Is(err, ntsclient.ErrNoAnswer) || errors.Is(err, ntsclient.ErrNAK) || errors.Is(err, ntsclient.ErrStepped)
}

// watch asks all servers at o.interval until interrupted or o.count lines of
// each are out. Its code is 0 if every server's last reading was valid.
func watch(ctx context.Context, o *options, stdout, stderr io.Writer) int {
	var mu sync.Mutex // guards the writers and code
	code := 0
	var wg sync.WaitGroup
	if !o.json {
		writeHeading(stdout)
	}
	for _, t := range o.hosts {
		wg.Go(func() {
			c, err := newClient(o, t)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				fmt.Fprintln(stderr, "ntsquery:", err)
				code = max(code, exitcode.Usage)
				return
			}
			defer c.Close()
			last := 0
			for i := 0; (o.count == 0 || i < o.count) && ctx.Err() == nil; i++ {
				if i > 0 && !pause(ctx, o.interval) {
					break
				}
				r, err := c.Query(ctx)
				if ctx.Err() != nil {
					break
				}
				res := result{target: t, best: r, shown: r.Server.IsValid(), err: err, ignored: c.Counters()}
				if err == nil {
					res.readings = 1
				}
				last = exitCode(err)
				mu.Lock()
				if o.json {
					writeJSON(stdout, res)
				} else {
					writeLine(stdout, res)
				}
				mu.Unlock()
			}
			mu.Lock()
			code = max(code, last)
			mu.Unlock()
		})
	}
	wg.Wait()
	return code
}

// pause waits and reports whether the context is still alive.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// exitCode maps an error to the code that usage promises.
func exitCode(err error) int {
	var na *ntsclient.NoAnswerError
	var kiss *ntsclient.KissError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var remote ntske.RemoteError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errUsage):
		return exitcode.Usage
	case errors.Is(err, os.ErrPermission), errors.Is(err, ntsclient.ErrDenied):
		return exitcode.Permission
	case errors.Is(err, errCA):
		return exitcode.NoInput
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &kiss) && kiss.Code == "RATE", errors.Is(err, ntsclient.ErrHoldOff):
		return exitcode.TempFail
	case errors.As(err, &na) && na.Ignored.Refused() > 0,
		errors.Is(err, ntsclient.ErrNAK), errors.Is(err, ntsclient.ErrInsane), errors.Is(err, ntske.ErrResponse),
		errors.As(err, &cert), errors.As(err, &alert), errors.As(err, &record), errors.As(err, &remote):
		return exitcode.Protocol
	}
	return exitcode.Unavailable
}
