// Command ke measures NTS key establishment: handshakes a second that one core
// serves, ours and chronyd's.
//
//	make bench-ke          (as root: chronyd wants to be)
//
// Each server runs on one CPU, with the same certificate (ECDSA P-256), on
// loopback; the clients on another. A handshake is a TCP connection, TLS 1.3
// without resumption, one NTS-KE exchange with eight cookies, verified. The CPU
// time of the server's threads per handshake gives its handshakes a second and
// core, whatever else the machine does; the rate seen is beside it.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"noonmark/server/bench/stage"
	"noonmark/server/nts/aead"
	"noonmark/server/ntske"
)

type options struct {
	top, chronyd, out string
	rounds, clients   int
	dur               time.Duration
}

// contestant is one server.
type contestant struct {
	name, version string
	args          []string
	port          int
	cpu           []float64 // us of CPU per handshake, by round
	rate          []float64 // handshakes a second, seen
	failed        int64
}

func main() {
	var o options
	flag.StringVar(&o.top, "top", "../..", "root of the project")
	flag.StringVar(&o.chronyd, "chronyd", "", "chronyd to compare with (default: the newest of NOONMARK_PEERS and PATH)")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.IntVar(&o.clients, "clients", 8, "clients at once")
	flag.DurationVar(&o.dur, "d", 2*time.Second, "length of a measurement")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench-ke:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	if runtime.NumCPU() < 2 {
		return errors.New("needs two CPUs, one for the server")
	}
	dir, err := os.MkdirTemp("", "noonmark-ke")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/ntsserve")
	build.Dir, build.Stderr, build.Env = o.top, os.Stderr, append(os.Environ(), "CGO_ENABLED=0")
	if err := build.Run(); err != nil {
		return fmt.Errorf("build ntsserve: %w", err)
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	if err := stage.Certificate(cert, key, net.IPv4(127, 0, 0, 1)); err != nil {
		return err
	}
	pem, err := os.ReadFile(cert)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	list, err := contestants(o, dir, cert, key)
	if err != nil {
		return err
	}
	var set unix.CPUSet
	set.Set(0)
	tasks, _ := filepath.Glob("/proc/self/task/*")
	for _, t := range tasks { // threads to come inherit it
		tid, _ := strconv.Atoi(filepath.Base(t))
		_ = unix.SchedSetaffinity(tid, &set)
	}
	for r := range o.rounds {
		for _, c := range list {
			if err := c.measure(o, pool); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Fprintf(os.Stderr, "round %d %-9s %.0f us of CPU per handshake, %.0f/s seen\n", r+1, c.name, c.cpu[r], c.rate[r])
		}
	}
	t := table(o, list)
	fmt.Print(t)
	if o.out != "" {
		return os.WriteFile(o.out, []byte(t), 0o644)
	}
	return nil
}

func contestants(o options, dir, cert, key string) ([]*contestant, error) {
	const ourPort, theirPort = 14460, 14461
	conf := filepath.Join(dir, "ntsserve.toml")
	text := fmt.Sprintf(`[source]
path = %q
[[endpoint]]
address = "127.0.0.1:14123"
workers = 1
[ke]
listen = "127.0.0.1:%d"
certificate = %q
key = %q
max_per_address = 512
[keys]
file = %q
`, filepath.Join(dir, "status"), ourPort, cert, key, filepath.Join(dir, "keys"))
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	list := []*contestant{{name: "ntsserve", version: "this tree, " + runtime.Version(), args: []string{filepath.Join(dir, "ntsserve"), "-config", conf}, port: ourPort}}
	version := stage.Version(o.chronyd)
	if o.chronyd == "" {
		o.chronyd, version = stage.Chronyd()
	}
	if o.chronyd == "" {
		fmt.Fprintln(os.Stderr, "bench-ke: no chronyd found (server/interop/peers fetches one; set NOONMARK_PEERS to what it prints)")
		return list, nil
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "bench-ke: chronyd wants to be started by root: left out")
		return list, nil
	}
	conf = filepath.Join(dir, "chrony.conf")
	text = fmt.Sprintf(`bindaddress 127.0.0.1
port 14124
allow
local stratum 1
ntsport %d
ntsserverkey %s
ntsservercert %s
ntsdumpdir %s
maxntsconnections 512
cmdport 0
bindcmdaddress /
pidfile %s/chronyd.pid
`, theirPort, key, cert, dir, dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return append(list, &contestant{name: "chronyd", version: version, args: []string{o.chronyd, "-x", "-n", "-U", "-u", "root", "-f", conf}, port: theirPort}), nil
}

// measure starts the server, shakes hands for a while, and ends it.
func (c *contestant) measure(o options, pool *x509.CertPool) error {
	cmd := exec.Command("taskset", append([]string{"-c", "1"}, c.args...)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	cfg := ntske.ClientConfig{Host: "127.0.0.1", Port: c.port, ServerName: stage.Host, RootCAs: pool, AEADs: []aead.ID{aead.AESSIVCMAC256}}
	var err error
	for range 50 {
		if _, err = ntske.Exchange(context.Background(), cfg); err == nil {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err != nil {
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		return fmt.Errorf("%w; it said: %s", err, lines[len(lines)-1])
	}
	var done, failed atomic.Int64
	shake := func(d time.Duration) {
		end := time.Now().Add(d)
		var wg sync.WaitGroup
		for range o.clients {
			wg.Go(func() {
				for time.Now().Before(end) {
					if s, err := ntske.Exchange(context.Background(), cfg); err != nil || len(s.Cookies) != 8 {
						failed.Add(1)
					} else {
						done.Add(1)
					}
				}
			})
		}
		wg.Wait()
	}
	shake(o.dur / 4)
	failed.Store(0)
	n, cpu, start := done.Load(), used(cmd.Process.Pid), time.Now()
	shake(o.dur)
	n = done.Load() - n
	if n == 0 {
		return errors.New("no handshake succeeded")
	}
	c.failed += failed.Load()
	c.cpu = append(c.cpu, float64(used(cmd.Process.Pid)-cpu)/1e3/float64(n))
	c.rate = append(c.rate, float64(n)/time.Since(start).Seconds())
	return nil
}

// used is the CPU time in ns of a process and its children.
func used(pid int) (ns int64) {
	pids := []string{strconv.Itoa(pid)}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(b), ") ") // state and parent follow
		if v := strings.Fields(rest); len(v) > 1 && v[1] == pids[0] {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	for _, p := range pids {
		tasks, _ := filepath.Glob("/proc/" + p + "/task/*/schedstat")
		for _, t := range tasks {
			if b, err := os.ReadFile(t); err == nil {
				var v int64
				fmt.Sscan(string(b), &v)
				ns += v
			}
		}
	}
	return ns
}

func table(o options, list []*contestant) string {
	var b strings.Builder
	fmt.Fprintf(&b, "NTS-KE: TCP, TLS 1.3 without resumption, ECDSA P-256, AEAD 15, 8 cookies, verified; %d clients, medians of %d rounds of %v in turn, %s.\nMachine: %s.",
		o.clients, o.rounds, o.dur, time.Now().UTC().Format(time.DateOnly), stage.Machine())
	for _, c := range list {
		fmt.Fprintf(&b, " %s: %s.", c.name, c.version)
	}
	b.WriteString("\n\n| server | us of CPU per handshake | handshakes a second and core | seen/s | failed | CPU ratio to chronyd |\n|---|---|---|---|---|---|\n")
	for _, c := range list {
		ratio := "-"
		if last := list[len(list)-1]; last.name == "chronyd" {
			var v []float64
			for i := range c.cpu {
				v = append(v, c.cpu[i]/last.cpu[i])
			}
			ratio = fmt.Sprintf("%.2f", median(v))
		}
		fmt.Fprintf(&b, "| %s | %.0f | %.0f | %.0f | %d | %s |\n", c.name, median(c.cpu), 1e6/median(c.cpu), median(c.rate), c.failed, ratio)
	}
	return b.String()
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}
