package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"noonmark/server/bench/stage"
)

var (
	keServer4 = netip.MustParseAddrPort("127.0.0.1:4460")
	keServer6 = netip.MustParseAddrPort("[::1]:4460")
	ntpServer = netip.MustParseAddrPort("127.0.0.1:123")
	// sources are addresses of attackers and clients. The namespace routes them to itself.
	sources = netip.MustParsePrefix("fd91::/48")
	one56   = netip.MustParsePrefix("fd91:0:0:100::/56")
	one64   = netip.MustParsePrefix("fd91:0:0:200::/64")
)

// Of the issue that the rows come from.
const (
	memoryRate  = 160 // connections per second
	memoryTime  = 6 * time.Second
	memoryLimit = 64 // MB above the quiet server
	exchanges   = 40 // of honest clients under a lockout
	succeed     = 38
)

// measured is the figure of a row and, where it is not the figure, how many processors
// the server used and how much of the load came about, 1/s: attackers who wait for a
// server, or find no processor, send less.
type measured struct{ value, processors, rate float64 }

// row is one attack: what it is, how it is measured, what must hold.
type row struct {
	name, figure string
	vary         bool // a figure that other programs on the machine change: medians of rounds
	public       bool // with the limits of a public server
	run          func(o options, r *running) (measured, error)
	digits       int
	must         string
	holds        func(ours, chronyd float64) bool
}

func rows() []row {
	atMost := func(x float64) func(float64, float64) bool { return func(v, _ float64) bool { return v <= x } }
	atLeast := func(x float64) func(float64, float64) bool { return func(v, _ float64) bool { return v >= x } }
	noMore := func(v, chronyd float64) bool { return v <= chronyd }
	return []row{
		{name: "16 kB of empty records without an end after the handshake, 32 addresses, 160/s", figure: "MB above the quiet server, peak",
			run: memory("endless"), digits: 1, must: "64", holds: atMost(memoryLimit)},
		{name: "ClientHello padded to 64 kB, 32 addresses, 160/s", figure: "MB above the quiet server, peak",
			run: memory("padded"), digits: 1, must: "64", holds: atMost(memoryLimit)},
		{name: "512 silent connections, 130 new ones a second, from one IPv6 /56", figure: "honest exchanges of 40",
			run: lockout("silent6", 130), must: "38", holds: atLeast(succeed)},
		{name: "512 silent connections, 130 new ones a second, from 32 IPv4 addresses", figure: "honest exchanges of 40",
			run: lockout("silent4", 130), must: "38", holds: atLeast(succeed)},
		{name: "ntsserve-public.toml: connect and reset, 560/s from one IPv6 /56", figure: "honest exchanges of 40", public: true,
			run: lockout("reset6", 560), must: "38", holds: atLeast(succeed)},
		{name: "no attack: 100 clients of one IPv6 /64 at once", figure: "exchanges",
			run: crowd(100, keServer6, within(one64)), must: "100", holds: atLeast(100)},
		{name: "no attack: 60 clients behind one IPv4 address at once", figure: "exchanges",
			run: crowd(60, keServer4, oneOf(addresses4(1))), must: "60", holds: atLeast(60)},
		{name: "no load", figure: "NTP round trip, p99, us", vary: true, run: latency("", 0), must: "", holds: nil},
		{name: "half handshakes, 2500/s", figure: "NTP round trip, p99, us", vary: true, run: latency("half", 2500), must: "chronyd's", holds: noMore},
		{name: "connect and reset, 7000/s", figure: "NTP round trip, p99, us", vary: true, run: latency("reset", 7000), must: "chronyd's", holds: noMore},
		{name: "complete exchanges, 1900/s", figure: "NTP round trip, p99, us", vary: true, run: latency("complete", 1900), must: "chronyd's", holds: noMore},
		{name: "bad authenticators, 50000/s", figure: "NTP requests lost of " + strconv.Itoa(int(lossProbes*lossTime.Seconds())), run: loss, must: "chronyd's", holds: noMore},
		{name: "bad authenticator over 2 kB, 20000/s", figure: "us of CPU for a request", vary: true, run: badAuthenticators(0, 2048), digits: 2, must: "chronyd's", holds: noMore},
		{name: "bad authenticator over seven placeholders, 20000/s", figure: "us of CPU for an answer (NTS NAK)", vary: true, run: badAuthenticators(7, 0), digits: 2},
	}
}

// found is what was measured of each contestant, by its name.
type found map[string][]measured

// rounds measures the contestants in turn.
func (w row) rounds(o options, list []*contestant) (found, error) {
	f := found{}
	rounds := 1
	if w.vary {
		rounds = o.rounds
	}
	for range rounds {
		for _, c := range list {
			r, err := c.start(w.public)
			if err != nil {
				return nil, err
			}
			v, err := w.run(o, r)
			r.stop()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			f[c.name] = append(f[c.name], v)
		}
	}
	return f, nil
}

// median returns the median of a contestant, and the text of a cell; 0 and "" if it was not
// measured.
func (f found) median(name string, digits int) (float64, string) {
	sorted := func(of func(measured) float64) (all []float64) {
		for _, m := range f[name] {
			all = append(all, of(m))
		}
		slices.Sort(all)
		return all
	}
	v := sorted(func(m measured) float64 { return m.value })
	if len(v) == 0 {
		return 0, ""
	}
	number := func(x float64) string { return strconv.FormatFloat(x, 'f', digits, 64) }
	text := number(v[len(v)/2])
	if len(v) > 1 {
		text += " (" + number(v[0]) + " to " + number(v[len(v)-1]) + ")"
	}
	if p := sorted(func(m measured) float64 { return m.processors }); p[len(p)-1] > 0 {
		text += fmt.Sprintf("; %.2f processors", p[len(p)/2])
	}
	if r := sorted(func(m measured) float64 { return m.rate }); r[len(r)-1] > 0 {
		text += fmt.Sprintf("; load %.0f/s", r[len(r)/2])
	}
	return v[len(v)/2], text
}

// measure returns the row of the table, and whether what must hold does.
func (w row) measure(o options, list []*contestant) (line string, held bool, err error) {
	f, err := w.rounds(o, list)
	if err != nil {
		return "", false, err
	}
	ours, text := f.median("ntsserve", w.digits)
	theirs, theirText := f.median("chronyd", w.digits)
	held, word := true, ""
	if w.holds != nil && (theirText != "" || w.must != "chronyd's") {
		held = w.holds(ours, theirs)
		word = map[bool]string{true: "yes", false: "NO"}[held]
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s |\n", w.name, w.figure, text, theirText, w.must, word), held, nil
}

// attacks are the loads by name.
func attacks(kind string) (*attack, error) {
	few := oneOf(addresses4(32))
	switch kind {
	case "half":
		return &attack{to: keServer4, limit: 256, from: oneOf(addresses4(200)), do: half(clientHello(tls.X25519, tls.CurveP256))}, nil
	case "reset":
		return &attack{to: keServer4, limit: 256, from: oneOf(addresses4(200)), do: reset}, nil
	case "reset6":
		return &attack{to: keServer6, limit: 256, from: within(one56), do: reset}, nil
	case "complete":
		return &attack{to: keServer4, limit: 256, from: oneOf(addresses4(200)), do: complete}, nil
	case "endless":
		return &attack{to: keServer4, limit: 4096, from: few, do: endless(16 << 10)}, nil
	case "padded":
		return &attack{to: keServer4, limit: 4096, from: few, do: padded(clientHello(tls.X25519, tls.CurveP256), 64<<10)}, nil
	case "silent4":
		return &attack{to: keServer4, first: 512, limit: 4096, from: few, do: silent}, nil
	case "silent6":
		return &attack{to: keServer6, first: 512, limit: 4096, from: within(one56), do: silent}, nil
	}
	return nil, fmt.Errorf("there is no load %q", kind)
}

// load is the process that attacks. It prints connections per second and failures.
func load(kind string, rate float64, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	start := time.Now()
	if kind == "bad" {
		n, err := floodBad(ctx, rate)
		fmt.Printf("%.0f 0\n", float64(n)/time.Since(start).Seconds())
		return err
	}
	a, err := attacks(kind)
	if err != nil {
		return err
	}
	a.rate = rate
	a.run(ctx)
	fmt.Printf("%.0f %d\n", float64(a.begun.Load())/time.Since(start).Seconds(), a.failed.Load())
	return nil
}

// attackWith starts the process that attacks and returns what waits for its end and
// returns the connections per second.
func attackWith(kind string, rate float64, d time.Duration) (wait func() (float64, error), err error) {
	var out strings.Builder
	c := stage.Command(false, "/proc/self/exe", "-as", "load", "-kind", kind, "-rate", fmt.Sprint(rate), "-d", d.String())
	c.Stdout, c.Stderr = &out, os.Stderr
	if err := c.Start(); err != nil {
		return nil, err
	}
	return func() (begun float64, err error) {
		if err := c.Wait(); err != nil {
			return 0, err
		}
		_, err = fmt.Sscan(out.String(), &begun)
		if err == nil && begun == 0 {
			err = fmt.Errorf("load %s made no connection", kind)
		}
		return begun, err
	}, nil
}

// memory is the peak under a load.
func memory(kind string) func(options, *running) (measured, error) {
	return func(_ options, r *running) (measured, error) {
		quiet := stage.Memory(r.pid())
		wait, err := attackWith(kind, memoryRate, memoryTime)
		if err != nil {
			return measured{}, err
		}
		peak := quiet
		for end := time.Now().Add(memoryTime); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
			peak = max(peak, stage.Memory(r.pid()))
		}
		_, err = wait()
		if herr := honest(keServer4); err == nil && herr != nil {
			err = fmt.Errorf("afterwards: %w", herr)
		}
		return measured{value: float64(peak-quiet) / (1 << 20)}, err
	}
}

// honest does one exchange from this host's own address.
func honest(to netip.AddrPort) error {
	_, err := exchangeFrom(netip.Addr{}, to)
	return err
}

func exchangeFrom(from netip.Addr, to netip.AddrPort) (cookie []byte, err error) {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, err := dial(ctx, from, to)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	return exchange(c, clientTLS())
}

// lockout is how many honest exchanges succeed under a load.
func lockout(kind string, rate float64) func(options, *running) (measured, error) {
	const every = 150 * time.Millisecond
	return func(options, *running) (measured, error) {
		wait, err := attackWith(kind, rate, 2*time.Second+exchanges*every)
		if err != nil {
			return measured{}, err
		}
		time.Sleep(2 * time.Second) // all places are taken
		var good atomic.Int64
		var wg sync.WaitGroup
		for range exchanges {
			wg.Go(func() {
				if honest(keServer4) == nil {
					good.Add(1)
				}
			})
			time.Sleep(every)
		}
		wg.Wait()
		_, err = wait()
		return measured{value: float64(good.Load())}, err
	}
}

// crowd is how many of n clients that come at once get keys.
func crowd(n int, to netip.AddrPort, from func() netip.Addr) func(options, *running) (measured, error) {
	return func(options, *running) (measured, error) {
		var good atomic.Int64
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if _, err := exchangeFrom(from(), to); err == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		return measured{value: float64(good.Load())}, nil
	}
}

// latency is the 99th percentile of NTP round trips under a load.
func latency(kind string, rate float64) func(options, *running) (measured, error) {
	return func(o options, r *running) (measured, error) {
		w, used, err := beside(r, kind, rate, o.dur, 400)
		if err == nil && len(w.RTT) == 0 {
			err = fmt.Errorf("no answer to %d requests", w.Sent)
		}
		return measured{w.at(.99), used, w.Load}, err
	}
}

// beside probes with NTP requests, some a second, beside a load. used is how many
// processors the server has used.
func beside(r *running, kind string, rate float64, d time.Duration, probes float64) (w probed, used float64, err error) {
	const before = 500 * time.Millisecond
	cpu, start := stage.CPU(r.pid()), time.Now()
	wait := func() (float64, error) { return 0, nil }
	if kind != "" {
		if wait, err = attackWith(kind, rate, d+2*before); err != nil {
			return w, 0, err
		}
		time.Sleep(before)
	}
	c := stage.Command(false, "/proc/self/exe", "-as", "probe", "-rate", fmt.Sprint(probes), "-d", d.String(), "-to", ntpServer.String())
	c.Stderr = os.Stderr
	b, err := c.Output()
	if err != nil {
		return w, 0, err
	}
	begun, err := wait()
	if err != nil {
		return w, 0, err
	}
	if err := json.Unmarshal(b, &w); err != nil {
		return w, 0, err
	}
	w.Load = begun
	used = float64(stage.CPU(r.pid())-cpu) / float64(time.Since(start))
	fmt.Fprintf(os.Stderr, "%s: p50 %.0f p99 %.0f us, %d of %d lost, %.0f/s of the load, the server used %.2f processors\n", kind, w.at(.5), w.at(.99), w.Lost, w.Sent, begun, used)
	return w, used, nil
}

// floodBad sends requests with a valid cookie and a wrong authenticator until ctx ends,
// and returns how many. It leaves the answers unread.
func floodBad(ctx context.Context, rate float64) (n int, err error) {
	cookie, err := exchangeFrom(netip.Addr{}, keServer4)
	if err != nil {
		return 0, err
	}
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(ntpServer))
	if err != nil {
		return 0, err
	}
	defer c.Close()
	req := badRequest(cookie, 0, 0)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return n, nil
		case now := <-tick.C:
			// What a busy machine has no time for is left out: the rate that was reached
			// is in the output.
			for k := 0; float64(n) < now.Sub(start).Seconds()*rate && k < maxBurst; k++ {
				if _, err := c.Write(req); err != nil {
					return n, err
				}
				n++
			}
		}
	}
}

// maxBurst is how many requests floodBad sends at once: fewer than the receive buffer of
// a server holds.
const maxBurst = 100

const (
	lossProbes = 400. // per second
	lossTime   = 10 * time.Second
)

// loss is how many of an honest client's requests get no answer within a second.
func loss(_ options, r *running) (measured, error) {
	w, used, err := beside(r, "bad", 50000, lossTime, lossProbes)
	return measured{float64(w.Lost), used, w.Load}, err
}

// badAuthenticators is the CPU time for a request with a valid cookie and a wrong
// authenticator, which is as long as the packet has to be.
func badAuthenticators(placeholders, octets int) func(options, *running) (measured, error) {
	return func(o options, r *running) (measured, error) {
		const rate, batch = 20000., 20
		cookie, err := exchangeFrom(netip.Addr{}, keServer4)
		if err != nil {
			return measured{}, err
		}
		c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(ntpServer))
		if err != nil {
			return measured{}, err
		}
		defer c.Close()
		var answers atomic.Int64
		go func() {
			b := make([]byte, 4096)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				answers.Add(1)
			}
		}()
		req := badRequest(cookie, placeholders, octets)
		cpu, start, n := stage.CPU(r.pid()), time.Now(), 0
		for time.Since(start) < o.dur {
			for range batch {
				if _, err := c.Write(req); err != nil {
					return measured{}, err
				}
				n++
			}
			time.Sleep(time.Second*batch/rate - time.Since(start)%(time.Second*batch/rate))
		}
		time.Sleep(100 * time.Millisecond)
		fmt.Fprintf(os.Stderr, "%d bad authenticators in %d octets sent, %d answered\n", n, len(req), answers.Load())
		if placeholders > 0 {
			if n = int(answers.Load()); n == 0 {
				return measured{}, errors.New("no answer: the cookie is not valid")
			}
		}
		return measured{value: float64(stage.CPU(r.pid())-cpu) / 1e3 / float64(n)}, nil
	}
}

func badRequest(cookie []byte, placeholders, octets int) []byte {
	field := func(dst []byte, kind uint16, body []byte) []byte { // RFC 7822, section 3
		dst = binary.BigEndian.AppendUint16(dst, kind)
		dst = binary.BigEndian.AppendUint16(dst, uint16(4+len(body)))
		return append(dst, body...)
	}
	req := make([]byte, 48)
	req[0] = 4<<3 | 3
	rand.Read(req[40:])
	uid := make([]byte, 32)
	rand.Read(uid)
	req = field(field(req, 0x0104, uid), 0x0204, cookie) // RFC 8915, section 5.7
	for range placeholders {
		req = field(req, 0x0304, make([]byte, len(cookie)))
	}
	const lengths, nonce, tag = 4, 16, 16
	body := make([]byte, max(lengths+nonce+tag, octets-len(req)-4))
	rand.Read(body)
	binary.BigEndian.PutUint16(body, nonce)
	binary.BigEndian.PutUint16(body[2:], uint16(len(body)-lengths-nonce))
	return field(req, 0x0404, body)
}
