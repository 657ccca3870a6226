package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"noonmark/internal/appliance"
	"noonmark/phc"
	"noonmark/refclock/sim"
	"noonmark/refclock/status"
)

const (
	limit     = 2 * time.Minute // for -once: a lock takes about 10 s, and longer on a busy machine
	interval  = 2 * time.Second // between two readings
	lookEvery = 100 * time.Millisecond
)

// demo is one run.
type demo struct {
	out   io.Writer
	once  bool
	story bool
	bin   string
	seed  uint64

	chapter  int       // of the story that comes next
	started  time.Time // refclockd
	dir      string    // of this run's files, removed at the end
	children []*appliance.Child
	truth    sim.Truth
	snap     *status.Reader
	last     status.Snapshot // last one read
	done     bool            // there was the reading that -once asks for
}

// noState is a state that no snapshot has, so that the first one is shown.
const noState status.State = 255

func newDemo(out io.Writer) *demo { return &demo{out: out, last: status.Snapshot{State: noState}} }

// run starts the programs and reads their clock until ctx ends, or with -once
// until the first valid reading.
func (d *demo) run(ctx context.Context) (err error) {
	interrupted := ctx.Err // of the caller's context: ctx is one with a limit below
	if d.dir, err = os.MkdirTemp("", "noonmark-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	o := appliance.Options{Seed: d.seed}
	if d.story {
		o = storyOptions(d.seed)
	}
	site, err := appliance.Write(d.dir, o)
	if err != nil {
		return err
	}
	defer site.Close()
	defer func() {
		d.stopChildren()
		if err != nil && interrupted() == nil {
			d.showOutput()
		}
	}()
	if d.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no authenticated reading of a locked clock within %v", limit))
		defer cancel()
	}
	fmt.Fprintf(d.out, "simulated receiver, pulse and oscillator; refclockd; ntsserve on 127.0.0.1: NTP %d, NTS-KE %d\n", site.NTP, site.KE)
	if err := d.start("refclockd"); err != nil {
		return err
	}
	d.started = time.Now()
	if err := d.waitForSnapshot(ctx); err != nil {
		return cause(ctx, err)
	}
	defer d.snap.Close()
	if err := d.start("ntsserve", "RUNTIME_DIRECTORY="+site.ServerRuntime()); err != nil {
		return err
	}
	if err := d.start("refclockweb"); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "page %s\n", site.URL())
	if err := d.watch(ctx, fmt.Sprintf("localhost:%d", site.KE)); !errors.Is(err, errOver) {
		return cause(ctx, err)
	}
	return nil
}

// cause returns why the context ended, if it did, instead of the error.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// start starts a program with its configuration and more of the environment.
func (d *demo) start(name string, env ...string) error {
	c, err := appliance.StartChild(filepath.Join(d.bin, name), filepath.Join(d.dir, name+".log"), env, "-config", filepath.Join(d.dir, name+".toml"))
	if err == nil {
		d.children = append(d.children, c)
	}
	return err
}

func (d *demo) stopChildren() {
	for _, c := range d.children {
		c.Stop()
	}
}

// showOutput shows what the daemons wrote.
func (d *demo) showOutput() {
	for _, c := range d.children {
		fmt.Fprintf(d.out, "--- output of %s:\n%s", c.Name, c.Output())
	}
}

// checkChildren returns an error if a daemon has ended.
func (d *demo) checkChildren() error {
	for _, c := range d.children {
		select {
		case <-c.Ended():
			return fmt.Errorf("%s ended: %v", c.Name, c.Err())
		default:
		}
	}
	return nil
}

// waitForSnapshot waits for refclockd's truth and first snapshot.
func (d *demo) waitForSnapshot(ctx context.Context) error {
	for !d.openSnapshot() {
		if err := d.checkChildren(); err != nil {
			return err
		}
		if err := pause(ctx, lookEvery/2); err != nil {
			return err
		}
	}
	return nil
}

// openSnapshot reports whether truth and snapshot are there.
func (d *demo) openSnapshot() bool {
	b, err := os.ReadFile(filepath.Join(d.dir, sim.TruthName))
	if err != nil || json.Unmarshal(b, &d.truth) != nil {
		return false
	}
	r, err := status.Open(filepath.Join(d.dir, filepath.Base(status.DefaultPath)))
	if err != nil {
		return false
	}
	var s status.Snapshot
	if r.Load(&s) != nil {
		r.Close()
		return false
	}
	d.snap = r
	return true
}

// watch shows states as they change, and a reading every interval.
func (d *demo) watch(ctx context.Context, server string) error {
	next := time.Now()
	for {
		if err := errors.Join(d.checkChildren(), d.showState()); err != nil {
			return err
		}
		if d.story {
			if err := d.narrate(time.Since(d.started)); err != nil {
				return err
			}
		}
		if time.Now().After(next) && d.last.Usable(phc.MonoRaw()) {
			next = time.Now().Add(interval)
			if err := d.read(ctx, server); err != nil || d.done {
				return err
			}
		}
		if err := pause(ctx, lookEvery); err != nil {
			return err
		}
	}
}

// loadSnapshot reads the snapshot.
func (d *demo) loadSnapshot() error {
	err := d.snap.LoadAll(&d.last)
	if err == nil || errors.Is(err, status.ErrBusy) { // refclockd has lost its processor in the middle: the last one will do
		return nil
	}
	return fmt.Errorf("read snapshot: %w", err)
}

// showState prints a change of state.
func (d *demo) showState() error {
	before := d.last
	if err := d.loadSnapshot(); err != nil {
		return err
	}
	if s := &d.last; s.State != before.State || s.Reason != before.Reason {
		fmt.Fprintf(d.out, "refclockd  %-9s %-12s pulses %d, messages %d, correction %+.1f ppb\n", s.State, s.Reason, s.Pulses, s.Msgs, s.FreqPPB)
	}
	return nil
}

// errOutside: the error bound did not hold.
var errOutside = errors.New("the true error is outside the published bound")

// read makes one authenticated reading. With -once, a valid one of a locked clock
// is printed as JSON, and d.done is set.
func (d *demo) read(ctx context.Context, server string) error {
	reading, err := d.query(ctx, server)
	if err != nil || reading == nil {
		return err
	}
	// The served clock, the truth and the bound, all of one instant.
	if err := d.loadSnapshot(); err != nil {
		return err
	}
	mono := phc.MonoRaw()
	off, bound := d.last.ClockAt(mono).Sub(d.truth.At(mono)), d.last.BoundAt(mono)
	number := func(key string) float64 {
		v, ok := reading[key].(float64)
		if !ok {
			return math.NaN()
		}
		return v
	}
	fmt.Fprintf(d.out, "ntsquery   authenticated %v, aead %v, stratum %v, %v, delay %.1f us, root dispersion %.2f us | true error %+d ns, bound %d ns\n",
		reading["authenticated"], reading["aead"], reading["stratum"], reading["refid"], number("delay_ns")/1e3, number("root_dispersion_ns")/1e3, int64(off), int64(bound))
	if off.Abs() > bound {
		return fmt.Errorf("%w: %v, bound %v", errOutside, off, bound)
	}
	authenticated, _ := reading["authenticated"].(bool)
	if !d.once || !authenticated || !d.last.Usable(mono) || d.last.State != status.Locked {
		return nil
	}
	reading["true_offset_ns"], reading["bound_ns"] = int64(off), int64(bound)
	b, err := json.Marshal(reading)
	if err != nil {
		return err
	}
	d.done = true
	d.stopChildren() // nothing may come behind the last line
	fmt.Fprintf(d.out, "%s\n", b)
	return nil
}

// queryTimeout is for one reading, key exchange included.
const queryTimeout = 10 * time.Second

// query asks the server with ntsquery and returns what it printed; nil if it got
// no answer: the server may still be starting.
func (d *demo) query(ctx context.Context, server string) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(d.bin, "ntsquery"), "-json", "-n", "1", "-ca", filepath.Join(d.dir, "ca.pem"), server).Output()
	if err != nil {
		var ee *exec.ExitError
		message := []byte("\n")
		if errors.As(err, &ee) {
			message = ee.Stderr
		}
		fmt.Fprintf(d.out, "ntsquery   %v: %s", err, message)
		return nil, nil
	}
	var reading map[string]any
	if err := json.Unmarshal(out, &reading); err != nil {
		return nil, fmt.Errorf("ntsquery printed no JSON: %w", err)
	}
	return reading, nil
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
