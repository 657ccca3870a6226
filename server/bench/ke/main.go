// Command ke measures NTS key establishment: the handshakes per second that
// ntsserve and chronyd can do on one core.
//
//	make bench-ke          (as root, which chronyd needs)
//
// Each server runs on one CPU, with the same certificate (ECDSA P-256), on
// loopback; the clients run on another. A handshake is a TCP connection, TLS 1.3
// without resumption, and one NTS-KE exchange with eight cookies. The CPU time of
// the server's threads per handshake gives its handshakes per second and core,
// which other load on the machine hardly changes; the table has the measured rate
// too. The clients offer P-256 or X25519 alone (chrony's clients send keys for both
// at once, and no post-quantum one), or X25519MLKEM768 before X25519, as Go's
// clients do and OpenSSL's from 3.5. The table names the one agreed on.
//
// It ends with exit code 1, after the table is written, if a goal did not hold.
package main

import (
	"crypto/tls"
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

	"noonmark/internal/machine"
	"noonmark/server/bench/stage"
	"noonmark/server/ntske"
)

type options struct {
	top, chronyd, out string
	rounds, clients   int
	dur               time.Duration
}

// offers are the key exchanges that clients offer, in turn. The goal is the largest ratio of
// the CPU time per handshake to chronyd's that the project accepts; 0: there is none, because
// chronyd lacks the key exchange.
var offers = [...]struct {
	name   string
	curves []tls.CurveID
	goal   float64
}{
	{"P-256", []tls.CurveID{tls.CurveP256}, 0.92},
	{"X25519", []tls.CurveID{tls.X25519}, 1.08},
	{"X25519MLKEM768, X25519", []tls.CurveID{tls.X25519MLKEM768, tls.X25519}, 0},
}

// contestant is one server.
type contestant struct {
	name, version string
	args          []string
	port          int
	result        [len(offers)]result
}

// result is the outcome of one offer.
type result struct {
	cpu    []float64 // us of CPU per handshake, by round
	rate   []float64 // handshakes a second, measured
	failed int64
	agreed tls.CurveID
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
	for _, t := range tasks { // later threads inherit it
		tid, _ := strconv.Atoi(filepath.Base(t))
		_ = unix.SchedSetaffinity(tid, &set)
	}
	for r := range o.rounds {
		for k, offer := range offers {
			for _, c := range list {
				if err := c.measure(o, pool, k); err != nil {
					return fmt.Errorf("%s: %w", c.name, err)
				}
				x := &c.result[k]
				fmt.Fprintf(os.Stderr, "round %d %-9s %-22s %.0f us of CPU per handshake, %.0f/s seen\n", r+1, c.name, offer.name, x.cpu[r], x.rate[r])
			}
		}
	}
	t, missed := table(o, list)
	fmt.Print(t)
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(t), 0o644); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("goals that did not hold: %d; see NO in the table", missed)
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
		fmt.Fprintln(os.Stderr, "bench-ke: chronyd needs root and is left out")
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

// measure starts the server, does handshakes for a while, and ends it.
func (c *contestant) measure(o options, pool *x509.CertPool, k int) error {
	cmd := stage.Command(false, append([]string{"taskset", "-c", "1"}, c.args...)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	}()
	x := &c.result[k]
	cl := client{at: net.JoinHostPort("127.0.0.1", strconv.Itoa(c.port)), cfg: &tls.Config{
		RootCAs: pool, ServerName: stage.Host, MinVersion: tls.VersionTLS13, NextProtos: []string{ntske.ALPN}, CurvePreferences: offers[k].curves}}
	group, err := cl.first()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		return fmt.Errorf("%w; its last message: %s", err, lines[len(lines)-1])
	}
	x.agreed = group
	cl.load(o.clients, o.dur/4, group) // warm up
	cpu, start := stage.CPU(cmd.Process.Pid), time.Now()
	done, failed := cl.load(o.clients, o.dur, group)
	if done == 0 {
		return errors.New("no handshake succeeded")
	}
	x.failed += failed
	x.cpu = append(x.cpu, float64(stage.CPU(cmd.Process.Pid)-cpu)/1e3/float64(done))
	x.rate = append(x.rate, float64(done)/time.Since(start).Seconds())
	return nil
}

// client does handshakes with one server.
type client struct {
	at  string
	cfg *tls.Config
}

// first does the first exchange, as soon as the server answers.
func (c client) first() (group tls.CurveID, err error) {
	for range 50 {
		if group, err = c.exchange(); err == nil {
			return group, nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return 0, err
}

// load does exchanges from n clients at once for d. Those that agree on another
// group have failed.
func (c client) load(n int, d time.Duration, group tls.CurveID) (done, failed int64) {
	var ok, bad atomic.Int64
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for time.Now().Before(end) {
				if g, err := c.exchange(); err != nil || g != group {
					bad.Add(1)
				} else {
					ok.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return ok.Load(), bad.Load()
}

// cookies is the number that an answer has.
const cookies = 8

// exchange does one NTS-KE exchange and returns the key exchange agreed on.
func (c client) exchange() (tls.CurveID, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: 5 * time.Second}, Config: c.cfg}
	nc, err := d.Dial("tcp", c.at)
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	t := nc.(*tls.Conn)
	t.SetDeadline(time.Now().Add(5 * time.Second))
	// Next Protocol NTPv4, AEAD 15, End of Message (RFC 8915, section 4)
	if _, err := t.Write([]byte{0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0}); err != nil {
		return 0, err
	}
	recs, err := ntske.ReadMessage(t, 1<<16)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, r := range recs {
		if r.Type == ntske.RecordCookie {
			n++
		}
	}
	if n != cookies {
		return 0, fmt.Errorf("%d cookies", n)
	}
	return t.ConnectionState().CurveID, nil
}

// table returns the results, and how many goals did not hold.
func table(o options, list []*contestant) (text string, missed int) {
	var b strings.Builder
	fmt.Fprintf(&b, "NTS-KE: TCP, TLS 1.3 without resumption, ECDSA P-256, AEAD 15, %d cookies; %d clients, medians of %d rounds of %v in turn, %s.\nMachine: %s.",
		cookies, o.clients, o.rounds, o.dur, time.Now().UTC().Format(time.DateOnly), machine.Describe())
	for _, c := range list {
		fmt.Fprintf(&b, " %s: %s.", c.name, c.version)
	}
	b.WriteString("\n\n| clients offer | server | agreed on | us of CPU per handshake | handshakes a second and core | seen/s | failed | CPU ratio to chronyd | goal | held |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for k, offer := range offers {
		for _, c := range list {
			x := &c.result[k]
			ratio, goal, held := "-", "", ""
			if last := list[len(list)-1]; last.name == "chronyd" {
				var v []float64
				for i := range x.cpu {
					v = append(v, x.cpu[i]/last.result[k].cpu[i])
				}
				m := median(v)
				ratio = fmt.Sprintf("%.2f", m)
				if c != last && offer.goal > 0 {
					goal, held = fmt.Sprintf("%.2f", offer.goal), "yes"
					if m > offer.goal {
						held = "NO"
						missed++
					}
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %.0f | %.0f | %.0f | %d | %s | %s | %s |\n", offer.name, c.name, x.agreed,
				median(x.cpu), 1e6/median(x.cpu), median(x.rate), x.failed, ratio, goal, held)
		}
	}
	return b.String(), missed
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}
