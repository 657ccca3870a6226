package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/pps"
	"noonmark/refclock/status"
)

// bench is what calibrate measures with; real devices, or a test's.
type calBench struct {
	kernel, card pps.Source
	cross        func() (phc.Cross, error)
	every        time.Duration // between readings of the clocks
}

// calReport is what calibrate -json prints. Durations in ns, + = kernel late.
type calReport struct {
	Sure       bool   `json:"sure"`
	Why        string `json:"why,omitempty"` // it is not
	BiasNS     int64  `json:"bias_ns"`
	LowNS      int64  `json:"low_ns"`
	HighNS     int64  `json:"high_ns"`
	SpreadNS   int64  `json:"spread_ns"`
	ReadNS     int64  `json:"read_error_ns"`
	ChangeNS   int64  `json:"change_ns"`
	Pairs      int    `json:"pairs"`
	Unpaired   int    `json:"unpaired"`
	ConfigLine string `json:"config_line,omitempty"`
}

// runCalibrate is the calibrate command.
func runCalibrate(args []string, _ io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("refclockctl calibrate", flag.ContinueOnError)
	fl.SetOutput(stderr)
	dev := fl.String("pps", "/dev/pps0", "the kernel's PPS `DEVICE` whose lateness is measured")
	clock := fl.String("clock", "eth0", "the `CLOCK` that stamps the same pulse: an interface or /dev/ptpN")
	channel := fl.Int("channel", 0, "its external timestamp `CHANNEL`")
	pin := fl.Int("pin", 0, "its `PIN`; -1 leaves the pins alone")
	edge := fl.String("edge", "rising", "the `EDGE` that is the second: rising or falling")
	width := fl.Duration("width", 0, "how long the pulse is active, where the card stamps both edges; 0 = unknown")
	n := fl.Int("pulses", 120, "how many `PULSES` to measure")
	asJSON := fl.Bool("json", false, "print one JSON object")
	snap := fl.String("snapshot", status.DefaultPath, "the snapshot `FILE` by which a running refclockd is known")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return exitUsage
	}
	var kedge pps.KernelEdge
	if err := kedge.UnmarshalText([]byte(*edge)); err != nil || fl.NArg() > 0 || *n < 20 || *n > 86400 || *width < 0 || *width >= time.Second {
		fmt.Fprintln(stderr, "refclockctl: calibrate takes no arguments, -edge rising or falling, -pulses 20 to 86400, -width under 1s")
		return exitUsage
	}
	fail := func(err error) int {
		fmt.Fprintf(stderr, "refclockctl: %v\n", err)
		if errors.Is(err, fs.ErrPermission) {
			return exitNoPerm
		}
		return exitUnavailable
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	d, err := phc.Open(*clock)
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	if err := free(*snap, "/proc", *dev, fmt.Sprintf("/dev/ptp%d", d.Index())); err != nil {
		return fail(err)
	}
	x, err := phc.Open(*clock) // a descriptor of its own: Cross goes on while it waits
	if err != nil {
		return fail(err)
	}
	defer x.Close()
	edges := phc.Rising
	if kedge == pps.Clear {
		edges = phc.Falling
	}
	card, err := pps.NewExtTS(x, pps.ExtTSOptions{Channel: *channel, Pin: *pin, Edge: edges, Width: *width, Timeout: 10 * time.Second})
	if err != nil {
		return fail(err)
	}
	defer card.Close()
	kernel, err := pps.OpenKernel(*dev, pps.KernelOptions{Edge: kedge, Timeout: 10 * time.Second})
	if err != nil {
		return fail(err)
	}
	defer kernel.Close()
	fmt.Fprintf(stderr, "measuring %d pulses with %s and %s\n", *n, kernel, card)
	bias, err := measure(ctx, calBench{kernel, card, d.Cross, 100 * time.Millisecond}, *n)
	if err != nil && !errors.Is(err, pps.ErrUncertain) && !errors.Is(err, pps.ErrFewPairs) {
		return fail(err)
	}
	if werr := printBias(stdout, bias, err, *asJSON); werr != nil {
		fmt.Fprintf(stderr, "refclockctl: %v\n", werr)
		return exitSoftware
	}
	if err != nil {
		fmt.Fprintf(stderr, "refclockctl: no bias to be used: %v\n", err)
		return exitUnavailable
	}
	return exitOK
}

// printBias prints the outcome; unsure is why it is not to be used.
func printBias(w io.Writer, b pps.Bias, unsure error, asJSON bool) error {
	r := calReport{
		Sure: unsure == nil, BiasNS: int64(b.Median), LowNS: int64(b.Low), HighNS: int64(b.High), SpreadNS: int64(b.Spread),
		ReadNS: int64(b.Read), ChangeNS: int64(b.Drift), Pairs: b.Pairs, Unpaired: b.Unpaired,
	}
	if unsure != nil {
		r.Why = unsure.Error()
	} else {
		r.ConfigLine = fmt.Sprintf("bias = %q", b.Median)
	}
	var err error
	if asJSON {
		err = json.NewEncoder(w).Encode(r)
	} else {
		_, err = fmt.Fprintf(w, "pulses     %d with both stamps, %d with one\nkernel     %v late (median), 95 %% sure between %v and %v\nspread     %v; second half of the pulses %v later than the first\nnot known  up to %v, the time it takes to read both clocks\n",
			b.Pairs, b.Unpaired, b.Median, b.Low, b.High, b.Spread, b.Drift, b.Read)
		if err == nil && unsure == nil {
			_, err = fmt.Fprintf(w, "\nIn [pulse] of refclockd.toml, beside what else makes the pulse late:\n%s\n", r.ConfigLine)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errOutput, err)
	}
	return nil
}

// measure reads until n stamps of the kernel have come, or ctx ends, or a
// source fails.
func measure(ctx context.Context, b calBench, n int) (pps.Bias, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex // guards cal
	var cal pps.Calibration
	var wg sync.WaitGroup
	follow := func(s pps.Source, put func(pps.Edge) (done bool)) {
		wg.Go(func() {
			for {
				e, err := s.Next(ctx)
				switch {
				case ctx.Err() != nil:
					return
				case err != nil:
					cancel(fmt.Errorf("%s: %w", s, err))
					return
				}
				mu.Lock()
				done := put(e)
				mu.Unlock()
				if done {
					return
				}
			}
		})
	}
	got, enough := 0, make(chan struct{})
	follow(b.kernel, func(e pps.Edge) bool {
		cal.Kernel(e.Stamp)
		if got++; got == n {
			close(enough)
		}
		return got >= n
	})
	follow(b.card, func(e pps.Edge) bool {
		cal.Card(tai.Time(e.Stamp))
		return false
	})
	t := time.NewTicker(b.every)
	defer t.Stop()
	var end <-chan time.Time
	for going := true; going; {
		x, err := b.cross()
		if err != nil {
			cancel(err)
		} else {
			mu.Lock()
			cal.Cross(x)
			mu.Unlock()
		}
		select {
		case <-ctx.Done():
			going = false
		case <-enough: // the card's last stamp may come 0.3 s late
			enough, end = nil, time.After(time.Second)
		case <-end:
			going = false
		case <-t.C:
		}
	}
	why := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	if why != nil && !errors.Is(why, context.Canceled) {
		return pps.Bias{}, why
	}
	return cal.Bias()
}

// free refuses where another program uses one of the devices: two readers take
// each other's external timestamps away (before Linux 6.9), and who steers a
// clock disturbs the measurement.
func free(snapshot, proc string, devices ...string) error {
	if r, err := status.Open(snapshot); err == nil {
		var s status.Snapshot
		err = r.LoadAll(&s)
		r.Close()
		_, gone := os.Stat(filepath.Join(proc, fmt.Sprint(s.PID)))
		if age := phc.MonoRaw() - s.Mono; err == nil && gone == nil && age >= 0 && age < int64(5*time.Second) {
			return fmt.Errorf("refclockd (process %d) is running and owns the clock: stop it first", s.PID)
		}
	}
	fds, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return nil // the pattern is a constant
	}
	self := fmt.Sprint(os.Getpid())
	var who []string
	for _, fd := range fds {
		to, err := os.Readlink(fd)
		if err != nil || !slices.Contains(devices, to) {
			continue
		}
		pid := filepath.Base(filepath.Dir(filepath.Dir(fd)))
		if pid == self {
			continue
		}
		name := "?"
		if b, err := os.ReadFile(filepath.Join(proc, pid, "comm")); err == nil {
			name = strings.TrimSpace(string(b))
		}
		if w := fmt.Sprintf("%s (process %s) has %s open", name, pid, to); !slices.Contains(who, w) {
			who = append(who, w)
		}
	}
	if who != nil {
		return fmt.Errorf("%s: stop it first", strings.Join(who, ", "))
	}
	return nil
}
