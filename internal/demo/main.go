// Command demo runs the virtual appliance on this machine: a receiver, pulses
// and an oscillator in software, refclockd, ntsserve on loopback with a private
// certificate authority made on the spot, and ntsquery against it. It shows the
// lock being won and every reading's true error beside the bound that was
// claimed for it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// limit is how long -once may take: the lock comes within 10 s.
const limit = 50 * time.Second

// interval is the time between two readings.
const interval = 2 * time.Second

func run(args []string, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("demo", flag.ContinueOnError)
	fl.SetOutput(stderr)
	d := &demo{out: stdout, seen: status.Snapshot{State: 255}}
	fl.BoolVar(&d.once, "once", false, "stop after the first authenticated reading of a locked clock and print it as JSON")
	fl.StringVar(&d.bin, "bin", "bin", "the `DIR` with the programs")
	fl.Uint64Var(&d.seed, "seed", 1, "of the virtual appliance's noise")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 64
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := d.run(ctx)
	if err != nil && ctx.Err() == nil {
		fmt.Fprintln(stderr, "demo:", err)
		return 1
	}
	if d.once && !d.done {
		return 1 // interrupted before there was a reading
	}
	return 0
}

// demo is one run.
type demo struct {
	out  io.Writer
	once bool
	bin  string
	seed uint64

	dir   string
	truth truth
	snap  *status.Reader
	seen  status.Snapshot // last printed
	kids  []*child
	done  bool
}

// truth is refclockd's sim-truth.json: true TAI at one instant of
// CLOCK_MONOTONIC_RAW; the two run at the same rate.
type truth struct {
	Mono0 int64 `json:"mono0"`
	TAI0  int64 `json:"tai0"`
}

func (t truth) at(mono int64) tai.Time { return tai.Time(t.TAI0 + mono - t.Mono0) }

func (d *demo) run(ctx context.Context) (err error) {
	if d.dir, err = os.MkdirTemp("", "noonmark-demo-"); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	defer func() {
		for _, k := range d.kids { // before the directory goes
			k.stop()
		}
		if err != nil && ctx.Err() == nil {
			for _, k := range d.kids {
				fmt.Fprintf(d.out, "--- %s said:\n%s", k.name, k.said())
			}
		}
	}()
	if d.once {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("no authenticated reading of a locked clock within %v", limit))
		defer cancel()
	}
	udp, tcp, err := freePorts()
	if err != nil {
		return err
	}
	if err := writeCertificates(d.dir); err != nil {
		return err
	}
	files := map[string]string{"refclockd.toml": fmt.Sprintf(refclockdTOML, d.dir, d.dir, d.seed), "ntsserve.toml": fmt.Sprintf(ntsserveTOML, d.dir, udp, tcp, d.dir, d.dir, udp, d.dir)}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	fmt.Fprintf(d.out, "virtual receiver, pulses and oscillator; refclockd; ntsserve on 127.0.0.1: NTP %d, NTS-KE %d\n", udp, tcp)
	for _, name := range [...]string{"refclockd", "ntsserve"} {
		if err := d.start(name, "-config", filepath.Join(d.dir, name+".toml")); err != nil {
			return err
		}
		if name == "refclockd" {
			if err := d.waitSnapshot(ctx); err != nil {
				return cause(ctx, err)
			}
			defer d.snap.Close()
		}
	}
	return cause(ctx, d.watch(ctx, fmt.Sprintf("localhost:%d", tcp)))
}

// cause prefers why a context ended over that it did.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

const refclockdTOML = `runtime_dir = %q
state_dir = %q
[clock]
source = "sim"
[pulse]
source = "sim"
[sim]
seed = %d
`

const ntsserveTOML = `[source]
type = "snapshot"
path = "%s/status"
[[endpoint]]
address = "127.0.0.1:%d"
nts = "allow"
[ke]
listen = "127.0.0.1:%d"
certificate = "%s/server.pem"
key = "%s/server.key"
server = "localhost"
port = %d
[keys]
file = "%s/keys"
`

// start starts one of the programs.
func (d *demo) start(name string, args ...string) error {
	k, err := startChild(filepath.Join(d.bin, name), filepath.Join(d.dir, name+".log"), args...)
	if err == nil {
		d.kids = append(d.kids, k)
	}
	return err
}

// alive complains if a program has ended.
func (d *demo) alive() error {
	for _, k := range d.kids {
		select {
		case <-k.ended:
			return fmt.Errorf("%s ended: %v", k.name, k.err)
		default:
		}
	}
	return nil
}

// waitSnapshot waits for refclockd's truth and first snapshot.
func (d *demo) waitSnapshot(ctx context.Context) error {
	for {
		b, err := os.ReadFile(filepath.Join(d.dir, "sim-truth.json"))
		if err == nil {
			err = json.Unmarshal(b, &d.truth)
		}
		if err == nil {
			d.snap, err = status.Open(filepath.Join(d.dir, "status"))
		}
		var s status.Snapshot
		if err == nil && d.snap.Load(&s) == nil {
			return nil
		}
		if err := d.alive(); err != nil {
			return err
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// watch shows states as they change and a reading every interval.
func (d *demo) watch(ctx context.Context, server string) error {
	next := time.Now()
	for {
		if err := d.alive(); err != nil {
			return err
		}
		if err := d.show(); err != nil {
			return err
		}
		m := phc.MonoRaw()
		if time.Now().After(next) && d.seen.Usable(m) {
			next = time.Now().Add(interval)
			done, err := d.read(ctx, server)
			if err != nil || done {
				return err
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// show prints a change of state.
func (d *demo) show() error {
	was := d.seen
	if err := d.snap.LoadAll(&d.seen); err != nil {
		return fmt.Errorf("read snapshot: %w", err)
	}
	s := &d.seen
	if s.State != was.State || s.Reason != was.Reason {
		fmt.Fprintf(d.out, "refclockd  %-9s %-12s pulses %d, messages %d, correction %+.1f ppb\n", s.State, s.Reason, s.Pulses, s.Msgs, s.FreqPPB)
	}
	return nil
}

// errOutside says that the promise was broken.
var errOutside = errors.New("the true error is outside the claimed bound")

// read makes one authenticated reading. It is done when one was all that was
// wanted.
func (d *demo) read(ctx context.Context, server string) (done bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(d.bin, "ntsquery"), "-json", "-n", "1", "-ca", filepath.Join(d.dir, "ca.pem"), server).Output()
	if err != nil {
		fmt.Fprintf(d.out, "ntsquery   %v: %s\n", err, stderrOf(err))
		return false, nil // the server may still be starting; -once has its limit
	}
	var r map[string]any
	if err := json.Unmarshal(out, &r); err != nil {
		return false, fmt.Errorf("ntsquery printed no JSON: %w", err)
	}
	// The served clock and the truth at one instant, and what was claimed then.
	if err := d.snap.LoadAll(&d.seen); err != nil {
		return false, fmt.Errorf("read snapshot: %w", err)
	}
	m := phc.MonoRaw()
	off := d.seen.ClockAt(m).Sub(d.truth.at(m))
	bound := d.seen.BoundAt(m)
	num := func(key string) float64 {
		v, ok := r[key].(float64)
		if !ok {
			return math.NaN()
		}
		return v
	}
	fmt.Fprintf(d.out, "ntsquery   authenticated %v, aead %v, stratum %v, %v, delay %.1f us, root dispersion %.2f us | true error %+d ns, claimed within %d ns\n",
		r["authenticated"], r["aead"], r["stratum"], r["refid"], num("delay_ns")/1e3, num("root_dispersion_ns")/1e3, int64(off), int64(bound))
	if off.Abs() > bound {
		return false, fmt.Errorf("%w: %v, claimed %v", errOutside, off, bound)
	}
	if auth, _ := r["authenticated"].(bool); !d.once || !auth || !d.seen.Usable(m) || d.seen.State != status.Locked {
		return false, nil
	}
	r["true_offset_ns"], r["bound_ns"] = int64(off), int64(bound)
	b, err := json.Marshal(r)
	if err != nil {
		return false, err
	}
	d.done = true
	for _, k := range d.kids { // what they say must not come after the last line
		k.stop()
	}
	fmt.Fprintf(d.out, "%s\n", b)
	return true, nil
}

func stderrOf(err error) []byte {
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return ee.Stderr
	}
	return nil
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
