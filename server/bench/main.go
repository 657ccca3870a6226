// Command bench measures ntsserve against chronyd on one machine: CPU per
// answer, answers a second, with and without NTS.
//
//	make bench            (as root; needs ip, taskset and veth with clsact/tcx)
//
// Server and load run in two network namespaces joined by veth, the server
// pinned to one CPU, the load to another. Each round runs every server in turn
// for every case, so that other load on the machine affects all of them. The
// result is the median of the rounds' ratios. Other numbers of the table can be
// compared only within the same run. Only the first round searches for the
// sustained rate, which takes three quarters of a round's time.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"noonmark/server/bench/stage"
)

// load is the output of ntsload.
type load struct {
	Name      string    `json:"name"`
	Peak      []float64 `json:"peak"`
	Sustained []float64 `json:"sustained"`
	Flood     []float64 `json:"us_flood"`
	AtSus     []float64 `json:"us_sustained"`
	Low       []float64 `json:"us_10k"`
	Verified  uint64    `json:"verified"`
	Invalid   uint64    `json:"invalid"`
	LastErr   any       `json:"last_err"`
}

type options struct {
	top, bin, chronyd, out string
	rounds                 int
	dur                    time.Duration
	cases                  string
	echo, realtime         bool
}

func main() {
	var o options
	flag.StringVar(&o.top, "top", "../..", "root of the project")
	flag.StringVar(&o.bin, "bin", "", "folder for the programs built (default: a temporary one)")
	flag.StringVar(&o.chronyd, "chronyd", "", "chronyd to compare with (default: the newest of NOONMARK_PEERS and PATH)")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.DurationVar(&o.dur, "d", 500*time.Millisecond, "length of one measurement")
	flag.StringVar(&o.cases, "cases", "ntp,15,30", "cases: ntp, 15 and 30 (NTS with that AEAD)")
	flag.BoolVar(&o.echo, "floor", true, "measure the floor, a Go recvmmsg echo, too")
	flag.BoolVar(&o.realtime, "realtime", stage.MayRealtime(), "run the answering threads and the load at real-time priority, so that other programs disturb less")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if err := possible(); err != nil {
		return err
	}
	top, err := filepath.Abs(o.top)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "noonmark-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.bin == "" {
		o.bin = dir
	}
	if o.bin, err = filepath.Abs(o.bin); err != nil {
		return err
	}
	if o.chronyd == "" {
		o.chronyd, _ = stage.Chronyd()
	}
	if err := build(ctx, top, o.bin); err != nil {
		return err
	}
	netns := filepath.Join(top, "server/bench/netns.sh")
	exec.Command("bash", netns, "down").Run()
	if out, err := exec.CommandContext(ctx, "bash", netns, "up").CombinedOutput(); err != nil {
		return fmt.Errorf("set up network namespaces: %w: %s", err, out)
	}
	defer exec.Command("bash", netns, "down").Run()
	stopSnapshot, err := stage.Publish(filepath.Join(dir, "status"), time.Second)
	if err != nil {
		return err
	}
	defer stopSnapshot()
	servers, err := contestants(o, dir)
	if err != nil {
		return err
	}
	results := map[string][]load{} // server/case, by round
	for r := range o.rounds {
		if err := round(ctx, o, servers, results, r); err != nil {
			return err
		}
	}
	t := table(o, servers, results)
	fmt.Print(t)
	if o.out != "" {
		return os.WriteFile(o.out, []byte(t), 0o644)
	}
	return nil
}

// possible checks what the benchmark needs.
func possible() error {
	if os.Geteuid() != 0 {
		return errors.New("network namespaces need root; run as root")
	}
	for _, p := range []string{"ip", "taskset", "sysctl", "go"} {
		if _, err := exec.LookPath(p); err != nil {
			return fmt.Errorf("%s is missing (Debian: iproute2, util-linux, procps, golang)", p)
		}
	}
	return nil
}

// build builds the server and the load generators into bin.
func build(ctx context.Context, top, bin string) error {
	bench := filepath.Join(top, "server/bench")
	for _, b := range []struct{ in, pkg string }{{top, "./cmd/ntsserve"}, {bench, "./ntsload"}, {bench, "./goecho"}} {
		c := exec.CommandContext(ctx, "go", "build", "-o", bin+"/", b.pkg)
		c.Dir, c.Stderr, c.Env = b.in, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
		if err := c.Run(); err != nil {
			return fmt.Errorf("build %s: %w", b.pkg, err)
		}
	}
	return nil
}

// round measures every server once in every case and appends to results. A failed
// measurement is reported and left out; invalid answers end the benchmark.
func round(ctx context.Context, o options, servers []server, results map[string][]load, r int) error {
	for _, c := range strings.Split(o.cases, ",") {
		for _, s := range servers {
			if s.only != "" && s.only != c {
				continue
			}
			l, err := measure(ctx, o, s, c, r == 0)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				fmt.Fprintf(os.Stderr, "round %d %s %s: %v\n", r+1, s.name, c, err)
				continue
			}
			fmt.Fprintf(os.Stderr, "round %d %-9s %-3s flood %.2f us, at 10k/s %.1f us, peak %.0f/s, sustained %.0f/s, verified %d, invalid %d\n",
				r+1, s.name, c, l.Flood[0], l.Low[0], l.Peak[0], l.Sustained[0], l.Verified, l.Invalid)
			if l.Invalid > 0 {
				return fmt.Errorf("%s gave %d invalid answers: %v", s.name, l.Invalid, l.LastErr)
			}
			k := s.name + "/" + c
			for len(results[k]) < r {
				results[k] = append(results[k], load{}) // of the failed rounds
			}
			results[k] = append(results[k], l)
		}
	}
	return nil
}

// measure starts a server in its namespace, loads it, and ends it.
func measure(ctx context.Context, o options, s server, c string, search bool) (load, error) {
	cmd := stage.Command(o.realtime && s.realtime, append([]string{"ip", "netns", "exec", "pfsrv", "taskset", "-c", "1"}, s.args...)...)
	var log strings.Builder
	cmd.Stderr, cmd.Stdout = &log, &log
	cmd.Env = append(os.Environ(), s.env...)
	if err := cmd.Start(); err != nil {
		return load{}, err
	}
	// chrt, ip and taskset replace themselves: the child's pid is the server's
	pid := strconv.Itoa(cmd.Process.Pid)
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	time.Sleep(s.wait)
	args := []string{"ip", "netns", "exec", "pfgen", "nice", "-n", "-10", o.bin + "/ntsload", "-name", s.name, "-runs", "1", "-d", o.dur.String(), "-pids", pid,
		fmt.Sprintf("-search=%v", search)}
	if c != "ntp" {
		args = append(args, "-ke", "10.8.0.2:4460", "-aead", c)
	}
	var errText strings.Builder
	lc := stage.Command(o.realtime, args...)
	lc.Stderr = &errText
	late := time.AfterFunc(time.Minute, func() { lc.Process.Kill() })
	stopped := context.AfterFunc(ctx, func() { lc.Process.Kill() })
	out, err := lc.Output()
	late.Stop()
	stopped()
	if err != nil {
		return load{}, fmt.Errorf("%w: %s; the server's last message: %s", err, last(errText.String()), last(log.String()))
	}
	var l load
	if err := json.Unmarshal(out, &l); err != nil {
		return load{}, err
	}
	if len(l.Flood) == 0 || len(l.Low) == 0 || len(l.Peak) == 0 || len(l.Sustained) == 0 || l.Flood[0] == 0 {
		return load{}, errors.New("no figures")
	}
	return l, nil
}

func last(s string) string {
	l := strings.Split(strings.TrimSpace(s), "\n")
	return l[len(l)-1]
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	sort.Float64s(v)
	return v[len(v)/2]
}
