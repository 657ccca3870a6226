// Command labtool is the tool of the lab's scenarios inside the guest. It prints
// what the packages phc and pps report, simulates a receiver on a
// pseudo-terminal, creates certificates, and compares clocks with labclock's
// true time.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"noonmark/phc"
	"noonmark/refclock/pps"
)

// sysfs is the folder of labclock's settings and true offsets.
const sysfs = "/sys/devices/platform/labclock/"

type command struct {
	args, help string
	run        func(ctx context.Context, args []string, out io.Writer) error
}

var commands = map[string]command{
	"caps":     {"CLOCK", "the capabilities of a PTP clock", caps},
	"cross":    {"CLOCK [N]", "cross timestamps and their widths", cross},
	"adj":      {"CLOCK|system PPB", "set a clock's frequency", adj},
	"step":     {"CLOCK|system DURATION", "step a clock", step},
	"pps":      {"DEVICE N [clear]", "pulses of a kernel PPS device", kernelPPS},
	"extts":    {"CLOCK PIN N [WIDTH]", "pulses as external timestamps, rising edge, channel 0", extTS},
	"nmea":     {"LINK [-delay D] [-lie D] [-leap POSIX [-sign 1|-1]] [-void] [-timtp SIGN]", "simulate a receiver on a pseudo-terminal; LINK becomes a symbolic link to it", nmea},
	"truth":    {"FILE [-for D] [-every D] [-max NS] [-rms NS]", "statistics of a true offset; fails if a limit is exceeded", truth},
	"covers":   {"[-status FILE] [-for D] [-every D] [-want STATE] [-record NAME]", "compare refclockd's bound with the true error; fails if the bound does not contain it", covers},
	"against":  {"CLOCK [-for D] [-every D] [-max NS] [-rms NS] [-status FILE]", "compare any PTP clock with the true time; fails if a limit is exceeded", against},
	"leap":     {"POSIX [-sign 1|-1] [-for D] [-every D] [-max NS]", "error of the system clock through a leap second; fails if the limit is exceeded", leap},
	"load":     {"ADDRESS [-rate N] [-for D] [-max NS] [-leap POSIX -sign 1|-1]", "send a stream of NTP requests and compare each answer with the true time", load},
	"readvar":  {"ADDRESS", "system variables of an NTP daemon, as ntpq prints them", readvar},
	"txstamp":  {"INTERFACE ADDRESS N", "transmit timestamps of the interface's card, read from the error queue", txstamp},
	"plot":     {"NAME [-log] [-title TEXT]", "draw the lines of covers -record NAME, read from standard input, as SVG", plotLines},
	"hellos":   {"ADDRESS:PORT N", "open N connections to NTS-KE, each with a ClientHello that lacks its end, and hold them", hellos},
	"hwtstamp": {"INTERFACE [off]", "the receive filters that the interface's driver grants; off: switch all timestamps off", hwtstamp},
	"cert":     {"DIR HOST...", "create a private CA and a server certificate", cert},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, ok := command{}, false
	if len(args) > 0 {
		c, ok = commands[args[0]]
	}
	if !ok {
		fmt.Fprintln(stderr, "usage:")
		for _, n := range slices.Sorted(maps.Keys(commands)) {
			fmt.Fprintf(stderr, "  labtool %s %s\n        %s\n", n, commands[n].args, commands[n].help)
		}
		return 64
	}
	switch err := c.run(ctx, args[1:], stdout); {
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "usage: labtool %s %s\n", args[0], c.args)
		return 64
	case err != nil && !errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "labtool %s: %v\n", args[0], err)
		return 1
	}
	return 0
}

var errUsage = errors.New("usage")

// readNS reads a number from one of labclock's files.
func readNS(name string) (int64, error) {
	b, err := os.ReadFile(sysfs + name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

func caps(_ context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	d, err := phc.Open(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	f, err := d.FreqPPB()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s index=%d freq_ppb=%.3f %+v\n", d, d.Index(), f, d.Caps())
	pins, err := d.Pins()
	for _, p := range pins {
		fmt.Fprintf(out, "pin %d %s %v channel %d\n", p.Index, p.Name, p.Func, p.Channel)
	}
	return err
}

func cross(_ context.Context, args []string, out io.Writer) error {
	n := 1
	if len(args) == 2 {
		n, _ = strconv.Atoi(args[1])
	} else if len(args) != 1 {
		return errUsage
	}
	d, err := phc.Open(args[0])
	if err != nil {
		return err
	}
	defer d.Close()
	for range n {
		c, err := d.Cross()
		if err != nil {
			return err
		}
		took := phc.MonoRaw() - c.Mono
		fmt.Fprintf(out, "clock=%d real=%d mono=%d width=%v method=%s done_after=%v\n", c.Clock, c.Real, c.Mono, c.Width, d.CrossMethod(), time.Duration(took))
	}
	return nil
}

func adj(_ context.Context, args []string, _ io.Writer) error {
	if len(args) != 2 {
		return errUsage
	}
	ppb, err := strconv.ParseFloat(args[1], 64)
	if err != nil {
		return err
	}
	c, err := steerable(args[0])
	if err != nil {
		return err
	}
	return c.AdjFreq(ppb)
}

func step(_ context.Context, args []string, _ io.Writer) error {
	if len(args) != 2 {
		return errUsage
	}
	by, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	c, err := steerable(args[0])
	if err != nil {
		return err
	}
	return c.Step(by)
}

type steered interface {
	AdjFreq(ppb float64) error
	Step(time.Duration) error
}

// steerable opens a clock and leaves it open until the program ends. "system" is
// CLOCK_REALTIME.
func steerable(name string) (steered, error) {
	if name == "system" {
		return phc.OpenSystem(func(int64) int { return 37 })
	}
	return phc.Open(name)
}

func kernelPPS(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 2 || len(args) > 3 {
		return errUsage
	}
	opt := pps.KernelOptions{Timeout: 5 * time.Second}
	if len(args) == 3 {
		if err := opt.Edge.UnmarshalText([]byte(args[2])); err != nil {
			return err
		}
	}
	k, err := pps.OpenKernel(args[0], opt)
	if err != nil {
		return err
	}
	defer k.Close()
	return edges(ctx, k, args[1], out)
}

func extTS(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 3 || len(args) > 4 {
		return errUsage
	}
	opt := pps.ExtTSOptions{Timeout: 5 * time.Second}
	var err error
	if opt.Pin, err = strconv.Atoi(args[1]); err != nil {
		return err
	}
	if len(args) == 4 {
		if opt.Width, err = time.ParseDuration(args[3]); err != nil {
			return err
		}
	}
	s, err := pps.OpenCard(args[0], opt)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(out, "granted %+v\n", s.Grant())
	err = edges(ctx, s, args[2], out)
	for _, r := range pps.Discards() {
		if n := s.Count(r); n > 0 {
			fmt.Fprintf(out, "%v %d\n", r, n)
		}
	}
	return err
}

func edges(ctx context.Context, s pps.Source, count string, out io.Writer) error {
	n, err := strconv.Atoi(count)
	if err != nil {
		return err
	}
	for range n {
		e, err := s.Next(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%v stamp=%d.%09d seq=%d mono=%d rising=%v\n", e.Scale, e.Stamp/1e9, e.Stamp%1e9, e.Seq, e.Mono, e.Rising)
	}
	return nil
}

// newFlags returns a flag set that prints nothing; the caller turns its errors into errUsage.
func newFlags() *flag.FlagSet {
	f := flag.NewFlagSet("", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}
