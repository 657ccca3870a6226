// Package calibrate measures how late the kernel's pulses are, by the external
// timestamps that a PTP hardware clock makes of the same pulses.
package calibrate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"noonmark/internal/doctor"
	"noonmark/phc"
	"noonmark/refclock/pps"
)

// Options are what is measured with what.
type Options struct {
	Device   string         // the kernel's PPS device
	Clock    string         // an interface or /dev/ptpN
	Snapshot string         // refclockd's, which shows whether it runs
	Channel  int            // of external timestamps
	Pin      int            // -1 leaves the pins as they are
	Edge     pps.KernelEdge // the one that is the second
	Width    time.Duration  // of the pulse; 0: unknown
	Pulses   int            // how many to measure
}

// Report is the outcome. Durations in ns, + = kernel late. Its
// JSON keys are a contract.
type Report struct {
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

	unsure error // why it is not to be used
}

// pulseTimeout is how long one pulse is waited for.
const pulseTimeout = 10 * time.Second

// Measure measures until ctx ends or there are enough pulses. It says on progress
// what it does. A report that is not sure says why; an error is a measurement that
// did not come about.
func (c *Options) Measure(ctx context.Context, progress io.Writer) (*Report, error) {
	d, err := phc.Open(c.Clock)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	if err := unused(doctor.ThisHost(""), c.Snapshot, c.Device, d.Path()); err != nil {
		return nil, err
	}
	edges := phc.Rising
	if c.Edge == pps.Clear {
		edges = phc.Falling
	}
	card, err := pps.OpenCard(c.Clock, pps.ExtTSOptions{Channel: c.Channel, Pin: c.Pin, Edge: edges, Width: c.Width, Timeout: pulseTimeout})
	if err != nil {
		return nil, err
	}
	defer card.Close()
	kernel, err := pps.OpenKernel(c.Device, pps.KernelOptions{Edge: c.Edge, Timeout: pulseTimeout})
	if err != nil {
		return nil, err
	}
	defer kernel.Close()
	fmt.Fprintf(progress, "measuring %d pulses with %s and %s\n", c.Pulses, kernel, card)
	bench := pps.Bench{Kernel: kernel, Card: card, Cross: d.Cross, Every: 100 * time.Millisecond}
	bias, err := bench.Measure(ctx, c.Pulses)
	if err != nil && !errors.Is(err, pps.ErrUncertain) && !errors.Is(err, pps.ErrFewPairs) {
		return nil, err
	}
	return newReport(&bias, err), nil
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

// newReport describes a bias; unsure is why it is not to be used.
func newReport(b *pps.Bias, unsure error) *Report {
	r := &Report{
		Sure: unsure == nil, BiasNS: int64(b.Median), LowNS: int64(b.Low), HighNS: int64(b.High), SpreadNS: int64(b.Spread),
		ReadNS: int64(b.Read), ChangeNS: int64(b.Drift), Pairs: b.Pairs, Unpaired: b.Unpaired, unsure: unsure,
	}
	if unsure != nil {
		r.Why = unsure.Error()
	} else {
		r.ConfigLine = fmt.Sprintf("bias = %q", b.Median)
	}
	return r
}

// Err is nil if the bias is to be used.
func (r *Report) Err() error {
	if r.unsure == nil {
		return nil
	}
	return fmt.Errorf("no bias to be used: %w", r.unsure)
}

// Write writes the report as text or as one JSON object.
func (r *Report) Write(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	d := func(ns int64) time.Duration { return time.Duration(ns) }
	_, err := fmt.Fprintf(w, `pulses     %d with both stamps, %d with one
kernel     %v late (median), 95 %% confidence between %v and %v
spread     %v; second half of the pulses %v later than the first
uncertain  up to %v, the time that reading both clocks takes
`, r.Pairs, r.Unpaired, d(r.BiasNS), d(r.LowNS), d(r.HighNS), d(r.SpreadNS), d(r.ChangeNS), d(r.ReadNS))
	if err == nil && r.unsure == nil {
		_, err = fmt.Fprintf(w, "\nIn [pulse] of refclockd.toml, plus other delays of the pulse:\n%s\n", r.ConfigLine)
	}
	return err
}
