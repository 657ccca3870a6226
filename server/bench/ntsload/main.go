// Command ntsload is a load generator for NTP and NTS servers.
//
// It does one real NTS-KE handshake, precomputes valid requests, blasts them
// with sendmmsg over an AF_PACKET socket, counts replies
// in a tc ingress program, and verifies a sample of them completely.
package main

import (
	"crypto/cipher"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

type mmsg struct {
	hdr unix.Msghdr
	n   uint32
	_   uint32
}

type gen struct {
	fd       int
	msgs     []mmsg
	iov      []unix.Iovec
	tm       []template
	pos      int
	ctr      *counter
	pids     []string
	cpu      int
	verified atomic.Uint64
	invalid  atomic.Uint64
	lastErr  atomic.Value
}

const batch = 32

// send transmits up to n (at most batch) frames and returns how many went out.
func (g *gen) send(n int) int {
	if g.pos+n > len(g.msgs) {
		n = len(g.msgs) - g.pos
	}
	r, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(g.fd), uintptr(unsafe.Pointer(&g.msgs[g.pos])), uintptr(n), 0, 0, 0)
	if e != 0 {
		if e == unix.ENOBUFS || e == unix.EAGAIN {
			return 0
		}
		log.Fatal("sendmmsg: ", e)
	}
	g.pos += int(r)
	if g.pos >= len(g.msgs) {
		g.pos = 0
	}
	return int(r)
}

type result struct {
	Offered, Sent, Answered                     float64 // per second
	LossPct                                     float64
	Bad                                         uint64
	Verified, Invalid                           uint64
	BusyUs                                      float64 // server CPU non-idle time per answer
	ProcUs                                      float64 // server threads' run time per answer
	UserPct, SysPct, SoftPct, IdlePct, StealPct float64
	ProcUser, ProcSys                           float64 // us per answer from /proc/PID/stat
}

// run offers rate requests/s (0: as fast as possible) for d.
func (g *gen) run(rate float64, d time.Duration) result {
	g0, b0 := g.ctr.read()
	v0, i0 := g.verified.Load(), g.invalid.Load()
	u0 := snapshot(g.pids, g.cpu)
	start := time.Now()
	sent := 0
	burst := batch
	for {
		el := time.Since(start)
		if el >= d {
			break
		}
		n := burst
		if rate > 0 {
			due := int(rate*el.Seconds()) - sent
			if due < 8 && float64(due) < rate/20000 || due <= 0 {
				continue
			}
			if due < n {
				n = due
			}
		}
		sent += g.send(n)
	}
	el := time.Since(start).Seconds()
	u := snapshot(g.pids, g.cpu).sub(u0)
	gm, _ := g.ctr.read()
	// drain
	prev := gm
	for i := 0; i < 30; i++ {
		time.Sleep(10 * time.Millisecond)
		now, _ := g.ctr.read()
		if now == prev && i > 2 {
			break
		}
		prev = now
	}
	g1, b1 := g.ctr.read()
	ans := float64(g1 - g0)
	inWin := float64(gm - g0)
	r := result{Offered: rate, Sent: float64(sent) / el, Answered: inWin / el, Bad: b1 - b0,
		Verified: g.verified.Load() - v0, Invalid: g.invalid.Load() - i0}
	if sent > 0 {
		r.LossPct = 100 * (1 - ans/float64(sent))
	}
	tot := float64(u.user + u.sys + u.irq + u.soft + u.idle + u.steal)
	if tot > 0 {
		r.UserPct, r.SysPct = 100*float64(u.user)/tot, 100*float64(u.sys)/tot
		r.SoftPct, r.IdlePct = 100*float64(u.soft+u.irq)/tot, 100*float64(u.idle)/tot
		r.StealPct = 100 * float64(u.steal) / tot
	}
	if inWin > 0 {
		r.BusyUs = (1 - float64(u.idle)/tot) * el * 1e6 / inWin
		r.ProcUs = float64(u.procNs) / 1e3 / inWin
		r.ProcUser = float64(u.uTicks) * 1e4 / inWin
		r.ProcSys = float64(u.sTicks) * 1e4 / inWin
	}
	return r
}

func (g *gen) collect(fd int, s *session, a cipher.AEAD) {
	buf := make([]byte, 2048)
	for {
		n, from, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return
		}
		_ = from
		// destination address index travels in the trailer-free reply as the
		// echoed origin timestamp, so look the template up by that.
		if n < 48 {
			g.invalid.Add(1)
			continue
		}
		var key [8]byte
		copy(key[:], buf[24:32])
		t := byXmt[key]
		if t == nil {
			g.invalid.Add(1)
			g.lastErr.Store("unknown origin timestamp")
			continue
		}
		if err := checkReply(t, buf[:n], s, a); err != nil {
			g.invalid.Add(1)
			g.lastErr.Store(err.Error())
			continue
		}
		g.verified.Add(1)
	}
}

var byXmt = map[[8]byte]*template{}

func main() {
	ifn := flag.String("i", "vg", "interface")
	src := flag.String("src", "10.9.0.0", "first source address (/16)")
	dst := flag.String("dst", "10.8.0.2", "server address")
	dmac := flag.String("dmac", "02:00:00:00:00:02", "server MAC")
	ke := flag.String("ke", "", "NTS-KE address host:port; empty: plain NTP")
	aeadID := flag.Int("aead", 15, "AEAD: 15 AES-SIV-CMAC-256, 30 AES-128-GCM-SIV")
	clients := flag.Int("clients", 2048, "distinct source addresses and requests (power of two)")
	ph := flag.Int("placeholders", 0, "cookie placeholders a request")
	rate := flag.Float64("rate", -1, "one run at this rate (0: flood); default: search")
	dur := flag.Duration("d", time.Second, "length of a measurement")
	runs := flag.Int("runs", 3, "searches")
	search := flag.Bool("search", true, "look for the sustained rate too, which takes most of the time")
	loss := flag.Float64("loss", 0.1, "loss limit in percent for a sustained rate")
	cpu := flag.Int("scpu", 1, "the server's CPU")
	pids := flag.String("pids", "", "server pids, comma separated")
	name := flag.String("name", "", "label")
	gcpu := flag.Int("gcpu", 0, "own CPU, -1 not pinned")
	flag.BoolVar(&noNonce, "nononce", false, "send an empty AES-SIV nonce")
	flag.Parse()
	runtime.LockOSThread()
	if *gcpu >= 0 {
		var set unix.CPUSet
		set.Set(*gcpu)
		unix.SchedSetaffinity(0, &set)
	}
	ifc, err := net.InterfaceByName(*ifn)
	if err != nil {
		log.Fatal(err)
	}
	dm, err := net.ParseMAC(*dmac)
	if err != nil {
		log.Fatal(err)
	}
	var s *session
	var c2s, s2c cipher.AEAD
	if *ke != "" {
		for try := 0; ; try++ {
			if s, err = handshake(*ke, uint16(*aeadID)); err == nil || try > 20 {
				break
			}
			time.Sleep(200 * time.Millisecond)
		}
		if err != nil {
			log.Fatal("NTS-KE: ", err)
		}
		if c2s, err = newAEAD(s.aead, s.c2s); err != nil {
			log.Fatal(err)
		}
		if s2c, err = newAEAD(s.aead, s.s2c); err != nil {
			log.Fatal(err)
		}
	}
	g := &gen{cpu: *cpu}
	if *pids != "" {
		g.pids = strings.Split(*pids, ",")
	}
	minLen := 90
	sport := 40000
	for i := 0; i < *clients; i++ {
		var ck []byte
		if s != nil {
			ck = s.cookies[i%len(s.cookies)]
		}
		p, uid := ntpPayload(s, c2s, ck, *ph)
		f := frame(dm, ifc.HardwareAddr, net.ParseIP(*src), net.ParseIP(*dst), sport, p, uint16(i+256))
		t := template{frame: f, uid: uid, xmt: p[40:48]}
		g.tm = append(g.tm, t)
	}
	for i := range g.tm {
		var k [8]byte
		copy(k[:], g.tm[i].xmt)
		byXmt[k] = &g.tm[i]
	}
	if s != nil {
		minLen = 42 + 48 + 36 + 24 + len(s.cookies[0])
		fmt.Fprintf(os.Stderr, "# NTS-KE ok: aead %d, %d cookies of %d bytes, request %d bytes UDP payload\n", s.aead, len(s.cookies), len(s.cookies[0]), len(g.tm[0].frame)-42)
	}
	if g.ctr, err = attachCounter(ifc.Index, minLen); err != nil {
		log.Fatal("tcx: ", err)
	}
	ufd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		log.Fatal(err)
	}
	if err := unix.Bind(ufd, &unix.SockaddrInet4{Port: sport}); err != nil {
		log.Fatal(err)
	}
	go g.collect(ufd, s, s2c)
	if g.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
		log.Fatal(err)
	}
	sa := &unix.SockaddrLinklayer{Ifindex: ifc.Index}
	if err := unix.Bind(g.fd, sa); err != nil {
		log.Fatal(err)
	}
	unix.SetsockoptInt(g.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	unix.SetsockoptInt(g.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 8<<20)
	g.msgs = make([]mmsg, *clients)
	g.iov = make([]unix.Iovec, *clients)
	for i := range g.msgs {
		g.iov[i].Base = &g.tm[i].frame[0]
		g.iov[i].SetLen(len(g.tm[i].frame))
		g.msgs[i].hdr.Iov = &g.iov[i]
		g.msgs[i].hdr.SetIovlen(1)
	}
	enc := json.NewEncoder(os.Stdout)
	g.run(5000, 300*time.Millisecond) // warm up
	if w := g.run(5000, 300*time.Millisecond); w.Answered < 1000 {
		log.Fatalf("server answers too little: %+v %v", w, g.lastErr.Load())
	}
	if *rate >= 0 {
		for i := 0; i < *runs; i++ {
			r := g.run(*rate, *dur)
			enc.Encode(r)
		}
		return
	}
	// A search: floods give the peak answer rate and the pure service cost;
	// bisecting below the peak gives the sustained rate; one slow window gives
	// the cost of a request that has to wake the server. Other work on the
	// machine only ever slows a window down, so each run keeps its best one.
	var sus, peak, procFlood, procSus, procLow []float64
	var invalid, verified uint64
	for k := 0; k < *runs; k++ {
		best := func(n int, rate float64) (r result) {
			for i := 0; i < n; i++ {
				x := g.run(rate, *dur)
				invalid, verified = invalid+x.Invalid, verified+x.Verified
				if i == 0 || x.Answered > r.Answered {
					r = x
				}
			}
			return
		}
		fl := best(5, 0)
		pk := fl.Answered
		if r := best(2, pk*1.1); r.Answered > pk {
			pk = r.Answered
		}
		ok := func(rate float64) bool {
			for try := 0; try < 4; try++ {
				r := g.run(rate, *dur)
				if r.LossPct < *loss && r.Sent > 0.97*rate {
					return true
				}
			}
			return false
		}
		lo, hi := pk*0.2, pk*1.08
		for i := 0; *search && i < 6 && hi/lo > 1.03; i++ {
			mid := (lo + hi) / 2
			if i == 0 {
				mid = pk * 0.85
			}
			if ok(mid) {
				lo = mid
			} else {
				hi = mid
			}
		}
		var atSus result
		if *search {
			atSus = best(3, lo*0.95)
		} else {
			lo = 0
		}
		low := best(2, 10000)
		sus, peak = append(sus, lo), append(peak, pk)
		procFlood, procSus, procLow = append(procFlood, fl.ProcUs), append(procSus, atSus.ProcUs), append(procLow, low.ProcUs)
		fmt.Fprintf(os.Stderr, "# %s run %d: peak %.0f/s (offered %.0f) sustained %.0f/s | us CPU per answer: flood %.3f (user %.2f sys %.2f) sustained %.3f at 10k/s %.3f | foreign+idle %.0f%%\n",
			*name, k+1, pk, fl.Sent, lo, fl.ProcUs, fl.ProcUser, fl.ProcSys, atSus.ProcUs, low.ProcUs, 100-fl.Answered*fl.ProcUs/1e4)
	}
	enc.Encode(map[string]any{"name": *name, "peak": peak, "sustained": sus, "us_flood": procFlood, "us_sustained": procSus,
		"us_10k": procLow, "verified": verified, "invalid": invalid, "last_err": g.lastErr.Load()})
}
