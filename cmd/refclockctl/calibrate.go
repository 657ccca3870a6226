package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/refclock/pps"
	"noonmark/refclock/status"
)

const calibrateHelp = `usage: refclockctl calibrate [-pps DEVICE] [-clock CLOCK] [-channel N] [-pin N] [-edge EDGE] [-pulses N] [-json]

Measures how late the kernel's pulses are, by the external timestamps that a PTP
hardware clock makes of the same pulses. The result is the value of pulse.bias. No
other program may use the devices meanwhile, refclockd included.

`

// calReport is what calibrate -json prints. Durations in ns, + = kernel late. Its
// JSON keys are a contract.
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

// calibration is a command with its options.
type calibration struct {
	console
	dev, clock, snapshot string
	channel, pin, pulses int
	edge                 pps.KernelEdge
	width                time.Duration
	json                 bool
}

// pulseTimeout is how long one pulse is waited for.
const pulseTimeout = 10 * time.Second

// prepareCalibrate is the calibrate command.
func prepareCalibrate(fl *flag.FlagSet, con console) func([]string) error {
	c := calibration{console: con}
	fl.StringVar(&c.dev, "pps", "/dev/pps0", "the kernel's PPS `DEVICE` whose lateness is measured")
	fl.StringVar(&c.clock, "clock", "eth0", "the `CLOCK` that stamps the same pulse: an interface or /dev/ptpN")
	fl.IntVar(&c.channel, "channel", 0, "its external timestamp `CHANNEL`")
	fl.IntVar(&c.pin, "pin", 0, "its `PIN`; -1 leaves the pins as they are")
	fl.Func("edge", "the `EDGE` that is the second: rising (the default) or falling", func(s string) error { return c.edge.UnmarshalText([]byte(s)) })
	fl.DurationVar(&c.width, "width", 0, "how long the pulse is active, where the card stamps both edges; 0 = unknown")
	fl.IntVar(&c.pulses, "pulses", 120, "how many `PULSES` to measure")
	fl.BoolVar(&c.json, "json", false, "print one JSON object")
	fl.StringVar(&c.snapshot, "snapshot", status.DefaultPath, "the snapshot `FILE` that shows whether refclockd runs")
	return func(args []string) error {
		if err := noArgs(args); err != nil {
			return err
		}
		if c.pulses < 20 || c.pulses > 86400 {
			return usagef("-pulses %d is out of range; want 20 to 86400", c.pulses)
		}
		if c.width < 0 || c.width >= time.Second {
			return usagef("-width %v is out of range; want less than 1s", c.width)
		}
		return c.run()
	}
}

func calibrateCode(err error) int {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return exitcode.Permission
	case errors.Is(err, errOutput):
		return exitcode.Software
	}
	return exitcode.Unavailable
}

func (c *calibration) run() error {
	ctx, stop := interruptible()
	defer stop()
	d, err := phc.Open(c.clock)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := unused(doctor.ThisHost(""), c.snapshot, c.dev, d.Path()); err != nil {
		return err
	}
	x, err := phc.Open(c.clock) // a descriptor of its own: the clock is read while a stamp is waited for
	if err != nil {
		return err
	}
	defer x.Close()
	edges := phc.Rising
	if c.edge == pps.Clear {
		edges = phc.Falling
	}
	card, err := pps.NewExtTS(x, pps.ExtTSOptions{Channel: c.channel, Pin: c.pin, Edge: edges, Width: c.width, Timeout: pulseTimeout})
	if err != nil {
		return err
	}
	defer card.Close()
	kernel, err := pps.OpenKernel(c.dev, pps.KernelOptions{Edge: c.edge, Timeout: pulseTimeout})
	if err != nil {
		return err
	}
	defer kernel.Close()
	fmt.Fprintf(c.err, "measuring %d pulses with %s and %s\n", c.pulses, kernel, card)
	bench := pps.Bench{Kernel: kernel, Card: card, Cross: d.Cross, Every: 100 * time.Millisecond}
	bias, err := bench.Measure(ctx, c.pulses)
	if err != nil && !errors.Is(err, pps.ErrUncertain) && !errors.Is(err, pps.ErrFewPairs) {
		return err
	}
	if err := printBias(c.out, bias, err, c.json); err != nil {
		return written(err)
	}
	if err != nil {
		return fmt.Errorf("no bias to be used: %w", err)
	}
	return nil
}

// unused refuses devices that another program uses: two readers take each
// other's external timestamps away (before Linux 6.9), and a program that steers
// the clock disturbs the measurement.
func unused(h *doctor.Host, snapshot string, devices ...string) error {
	if pid, runs := h.Refclockd(snapshot); runs {
		return fmt.Errorf("refclockd (pid %d) is running and steers the clock: stop it first", pid)
	}
	var users []string
	for _, d := range devices {
		for _, p := range h.Holders(d) {
			users = append(users, fmt.Sprintf("%v has %s open", p, d))
		}
	}
	if users != nil {
		return fmt.Errorf("%s: stop it first", strings.Join(users, ", "))
	}
	return nil
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
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, `pulses     %d with both stamps, %d with one
kernel     %v late (median), 95 %% confidence between %v and %v
spread     %v; second half of the pulses %v later than the first
uncertain  up to %v, the time that reading both clocks takes
`, b.Pairs, b.Unpaired, b.Median, b.Low, b.High, b.Spread, b.Drift, b.Read)
	if err == nil && unsure == nil {
		_, err = fmt.Fprintf(w, "\nIn [pulse] of refclockd.toml, plus other delays of the pulse:\n%s\n", r.ConfigLine)
	}
	return err
}
