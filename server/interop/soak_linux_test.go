package interop

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/server/ntp"
	"noonmark/server/nts"
	"noonmark/server/nts/aead"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
)

// The attack lasts soakTime with soakRate datagrams a second of each attacker, and
// killRounds processes are killed. NOONMARK_SOAK=TIME, NOONMARK_SOAK_RATE and
// NOONMARK_KILLS override them (make soak).
const (
	soakTime   = 20 * time.Second
	soakRate   = 2000
	killRounds = 25
)

// setting returns a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	t.Helper()
	v := os.Getenv(name)
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil || n <= 0 {
		t.Fatalf("%s=%q: want a positive number", name, v)
	}
	return n
}

// usage is the memory and the file descriptors of a process and its children.
type usage struct {
	rss  int // kB
	anon int // of it what no file backs
	fds  int
}

func (p *proc) usage(t *testing.T) (u usage) {
	t.Helper()
	for _, pid := range append(p.Children(t, ""), p.PID()) {
		dir := fmt.Sprintf("/proc/%d", pid)
		b, err := os.ReadFile(dir + "/status")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 {
				n, _ := strconv.Atoi(f[1])
				switch f[0] {
				case "VmRSS:":
					u.rss += n
				case "RssAnon:":
					u.anon += n
				}
			}
		}
		fds, err := os.ReadDir(dir + "/fd")
		if err != nil {
			t.Fatal(err)
		}
		u.fds += len(fds)
	}
	return u
}

// attacker sends to one endpoint what strangers can send.
type attacker struct {
	good []byte // a request that was valid once
	to   *net.UDPAddr
	rate int // datagrams a second
	sent atomic.Uint64

	answers, longer atomic.Uint64 // that came, and of them those that are longer than their request
}

// maxAppended is how many octets are appended to a request at most.
const maxAppended = 1000

// mangle returns a variation of the valid request.
func (a *attacker) mangle(rnd *rand.Rand) []byte {
	b := append([]byte(nil), a.good...)
	switch rnd.IntN(6) {
	case 0: // unchanged: a replay
	case 1:
		for range 1 + rnd.IntN(8) {
			b[rnd.IntN(len(b))] ^= 1 << rnd.IntN(8)
		}
	case 2:
		b = b[:rnd.IntN(len(b)+1)]
	case 3:
		b = append(b, make([]byte, rnd.IntN(maxAppended))...)
	case 4: // noise after a header
		for i := ntp.HeaderLen; i < len(b); i++ {
			b[i] = byte(rnd.Uint32())
		}
	case 5: // another length of a field
		binary.BigEndian.PutUint16(b[ntp.HeaderLen+2:], uint16(rnd.Uint32()))
	}
	return b
}

// pace runs f at about a.rate until ctx ends.
func (a *attacker) pace(ctx context.Context, f func()) {
	const every = 10 * time.Millisecond
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for range a.rate * int(every) / int(time.Second) {
				f()
				a.sent.Add(1)
			}
		}
	}
}

// transmitAt is where a header has the transmit timestamp, which the answer repeats at
// originAt.
const originAt, transmitAt = 24, 40

// numbered marks the transmit timestamps that number requests: above 40 bits.
const numbered = uint64(0x6e6f6f) << 40

// mangled sends variations from one port, and compares the answers with them.
func (a *attacker) mangled(ctx context.Context, rnd *rand.Rand) {
	c, err := net.DialUDP("udp4", nil, a.to)
	if err != nil {
		return
	}
	defer c.Close()
	var lengths [1 << 16]atomic.Int32 // of the latest requests, by the end of their transmit timestamp
	go a.compare(c, &lengths)
	n := uint64(0)
	a.pace(ctx, func() {
		b := a.mangle(rnd)
		if n++; n%8 > 0 && len(b) >= ntp.HeaderLen { // the others are replays to the last octet
			binary.BigEndian.PutUint64(b[transmitAt:], numbered|n)
			lengths[uint16(n)].Store(int32(len(b)))
		}
		c.Write(b)
	})
}

// compare counts answers until c is closed. One that repeats no transmit timestamp is
// compared with the longest request that there is.
func (a *attacker) compare(c *net.UDPConn, lengths *[1 << 16]atomic.Int32) {
	b := make([]byte, 1<<16)
	for {
		n, err := c.Read(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < ntp.HeaderLen {
			continue // a port that is not reached for a moment
		}
		a.answers.Add(1)
		most := len(a.good) + maxAppended
		if origin := binary.BigEndian.Uint64(b[originAt:]); origin>>40 == numbered>>40 {
			most = int(lengths[uint16(origin)].Load())
		}
		if n > most {
			a.longer.Add(1)
		}
	}
}

// spoofed sends variations from unused addresses, some in fragments, of which some
// are incomplete.
func (a *attacker) spoofed(ctx context.Context, rnd *rand.Rand, fd int) {
	var to syscall.SockaddrInet4
	copy(to.Addr[:], a.to.IP.To4())
	id := uint16(0)
	ip := func(src [4]byte, offset int, more bool, payload []byte) {
		b := make([]byte, 20, 20+len(payload))
		b[0], b[8], b[9] = 0x45, 64, syscall.IPPROTO_UDP
		binary.BigEndian.PutUint16(b[4:], id)
		frag := uint16(offset / 8)
		if more {
			frag |= 0x2000
		}
		binary.BigEndian.PutUint16(b[6:], frag)
		copy(b[12:], src[:])
		copy(b[16:], to.Addr[:])
		syscall.Sendto(fd, append(b, payload...), 0, &to) // the kernel sets length and checksum
	}
	a.pace(ctx, func() {
		id++
		src := [4]byte{10, 91, 0, byte(100 + rnd.IntN(100))}
		if rnd.IntN(2) == 0 {
			src = [4]byte{203, 0, 113, byte(rnd.Uint32())}
		}
		body := a.mangle(rnd)
		udp := make([]byte, 8, 8+len(body))
		binary.BigEndian.PutUint16(udp, uint16(1024+rnd.IntN(60000)))
		binary.BigEndian.PutUint16(udp[2:], uint16(a.to.Port))
		binary.BigEndian.PutUint16(udp[4:], uint16(8+len(body)))
		udp = append(udp, body...) // no checksum: 0
		if rnd.IntN(4) > 0 || len(udp) < 24 {
			ip(src, 0, false, udp)
			return
		}
		cut := len(udp) / 2 &^ 7
		ip(src, 0, true, udp[:cut])
		if rnd.IntN(2) == 0 {
			ip(src, cut, false, udp[cut:])
		}
	})
}

// stalled holds connections to NTS-KE that send nothing, or the start of a message.
func stalled(ctx context.Context, seed uint64, from string) {
	rnd := rand.New(rand.NewPCG(seed, 3))
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: time.Second}
	for ctx.Err() == nil {
		c, err := d.DialContext(ctx, "tcp", ourAddr+":4460")
		if err != nil {
			return // the end of the test, or no free descriptor
		}
		if rnd.IntN(2) == 0 {
			c.Write([]byte{22, 3, 1, 1, 0, 1}[:1+rnd.IntN(5)]) // the start of a ClientHello
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		c.Read(make([]byte, 1)) // until the server closes it
		c.Close()
	}
}

// Valid clients are answered while others replay, damage, forge, fragment and
// stall. The server needs no more memory and file descriptors for it.
func TestValidClientsUnderAttack(t *testing.T) {
	dir := setup(t)
	length := soakTime
	if v := os.Getenv("NOONMARK_SOAK"); v != "" {
		d, err := time.ParseDuration(v)
		if err != nil {
			t.Fatalf("NOONMARK_SOAK: %v", err)
		}
		length = d
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	// Answers to unused addresses of the own network wait in the kernel for address
	// resolution, and occupy the sockets' send buffers. The setting is part of the
	// installation (systemd/90-noonmark.conf).
	if err := os.WriteFile("/proc/sys/net/ipv4/neigh/ours/unres_qlen_bytes", []byte("2048"), 0); err != nil {
		t.Logf("queue of unresolved neighbours not shortened: %v", err)
	}
	// Measure live memory, not the garbage of key exchanges, of which the program
	// collects some tens of megabytes.
	t.Setenv("GOGC", "50")
	s := serve(t, dir, "timeout = \"1s\"\nmax_per_address = 32")
	idle := s.usage(t)

	a := &attacker{good: validRequest(t, s), to: &net.UDPAddr{IP: net.ParseIP(ourAddr), Port: 123}, rate: setting(t, "NOONMARK_SOAK_RATE", soakRate)}

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var wg sync.WaitGroup
	for i := range uint64(2) {
		wg.Go(func() { a.mangled(ctx, rand.New(rand.NewPCG(seed, i))) })
	}
	if fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_RAW); err != nil {
		t.Logf("no spoofed sources and fragments: %v", err)
	} else {
		defer syscall.Close(fd)
		wg.Go(func() { a.spoofed(ctx, rand.New(rand.NewPCG(seed, 2)), fd) })
	}
	for i := range 3 * 32 {
		wg.Go(func() { stalled(ctx, seed+uint64(i), ourAddrs[1+i%3]) })
	}

	var flaps atomic.Int64
	wg.Go(func() { flapping(ctx, &flaps) })

	v := &validClients{s: s}
	warm := v.run(t, ctx, length)
	end := s.usage(t)
	cancel()
	wg.Wait()
	t.Logf("%d hostile datagrams, %d answers to those of unforged addresses, %d of them longer than the request; %v; memory %d kB idle, %d at a third, %d at the end; descriptors %d, %d, %d",
		a.sent.Load(), a.answers.Load(), a.longer.Load(), v, idle.rss, warm.rss, end.rss, idle.fds, warm.fds, end.fds)
	if a.answers.Load() == 0 || a.longer.Load() > 0 {
		t.Errorf("%d answers, %d of them longer than their requests", a.answers.Load(), a.longer.Load())
	}
	if flaps.Load() == 0 {
		t.Error("no interface came and went")
	}
	if v.requests < 20 || v.answered < v.requests*95/100 || v.worst > 5 || v.late > v.clients/2 {
		t.Errorf("too few answers: %v", v)
	}
	if end.rss > warm.rss+warm.rss/4+8192 {
		t.Errorf("memory grew from %d to %d kB", warm.rss, end.rss)
	}
	until(t, "the descriptors are closed", s.proc, func() (bool, string) {
		u := s.usage(t)
		return u.fds <= idle.fds+2, fmt.Sprintf("%d, idle %d", u.fds, idle.fds)
	})
	if err := s.Stop(); err != nil {
		t.Errorf("after the attack it ends with %v", err)
	}
}

// validRequest returns a valid NTS request, to be replayed.
func validRequest(t *testing.T, s *server) []byte {
	t.Helper()
	sess, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), AEADs: []aead.ID{aead.AESSIVCMAC256}})
	if err != nil {
		t.Fatal(err)
	}
	var key aead.Key
	if err := key.Init(sess.Keys.AEAD, sess.Keys.C2S[:sess.Keys.AEAD.KeyLen()]); err != nil {
		t.Fatal(err)
	}
	h := ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: 1 << 40}
	b := make([]byte, ntp.HeaderLen)
	h.Put(b)
	b = ntp.AppendField(ntp.AppendField(b, ntp.ExtUniqueID, make([]byte, 32)), ntp.ExtCookie, sess.Cookies[0])
	return nts.AppendAuth(b, &key, make([]byte, 16), nil)
}

// validClients are the clients during the attack, one after the other.
type validClients struct {
	s       *server
	current *ntsclient.Client

	clients, requests, answered int
	late                        int // key exchanges that took more than a second
	worst, row                  int // consecutive requests without answer: most, and now
}

func (v *validClients) String() string {
	return fmt.Sprintf("%d of %d valid requests of %d clients answered, at most %d consecutive ones not, %d key exchanges too late", v.answered, v.requests, v.clients, v.worst, v.late)
}

// run sends requests until ctx ends. It returns the server's usage after a third of
// the time.
func (v *validClients) run(t *testing.T, ctx context.Context, length time.Duration) (warm usage) {
	t.Helper()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	for begin := time.Now(); ctx.Err() == nil; {
		select {
		case <-tick.C:
		case <-v.s.Ended():
			t.Fatalf("ntsserve has ended:\n%s", v.s.Output.String())
		}
		if v.current == nil || v.requests%40 == 0 { // a new client: keys under load
			v.close()
			var err error
			if v.current, err = ntsclient.New(ntsclient.Config{Host: ourAddr, RootCAs: pool(t, v.s.ca), Timeout: time.Second}); err != nil {
				t.Fatal(err)
			}
			v.clients++
		}
		v.request(ctx)
		if warm.rss == 0 && time.Since(begin) > length/3 {
			warm = v.s.usage(t)
		}
	}
	v.close()
	return warm
}

// request sends one request, also while ctx ends.
func (v *validClients) request(ctx context.Context) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer done()
	_, err := v.current.Query(ctx)
	if errors.Is(err, ntsclient.ErrKeyExchange) {
		// A second was too short on the overloaded machine. This client would back off;
		// take a new one.
		v.late++
		v.close()
		return
	}
	v.requests++
	if err == nil {
		v.answered++
		v.row = 0
		return
	}
	v.row++
	v.worst = max(v.worst, v.row)
}

func (v *validClients) close() {
	if v.current != nil {
		v.current.Close()
		v.current = nil
	}
}

// SIGKILL at any moment, from the first instruction on, loses no cookie key,
// damages no file, and does not prevent the next start.
func TestDaemonSurvivesSIGKILL(t *testing.T) {
	dir := setup(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	s := serve(t, dir, "")
	c, err := ntsclient.New(ntsclient.Config{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Query(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Kill()
	ring, err := os.ReadFile(s.keys())
	if err != nil {
		t.Fatal(err)
	}
	ours := ours(t, "ntsserve")
	rounds := setting(t, "NOONMARK_KILLS", killRounds)
	for i := range rounds {
		fresh := i%3 == 2 // every third time without keys: they are created when it is killed
		if fresh {
			if err := os.Remove(s.keys()); err != nil && !errors.Is(err, os.ErrNotExist) {
				t.Fatal(err)
			}
		}
		s.proc = daemon(t, ours, "-config", s.conf)
		wait := time.Duration(rnd.Int64N(int64(60 * time.Millisecond)))
		select {
		case <-s.Ended():
			t.Fatalf("round %d: ntsserve does not start:\n%s", i, s.Output.String())
		case <-time.After(wait):
		}
		if rnd.IntN(2) == 0 {
			s.Signal(t, syscall.SIGHUP) // a reload in progress
		}
		s.Kill()
		got, err := os.ReadFile(s.keys())
		switch {
		case !fresh && (err != nil || string(got) != string(ring)):
			t.Fatalf("round %d, killed after %v: the key file changed: %v", i, wait, err)
		case fresh && err == nil:
			if fi, err := os.Stat(s.keys()); err != nil || fi.Mode().Perm() != 0o600 || len(got) == 0 {
				t.Fatalf("round %d, killed after %v: key file of %d octets, %v, %v", i, wait, len(got), fi.Mode(), err)
			}
		}
		if fresh {
			if err := os.WriteFile(s.keys(), ring, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.start(t)
	if _, err := c.Query(t.Context()); err != nil {
		t.Errorf("a cookie from before the kills: %v", err)
	}
	t.Logf("%d kills, no key file damaged, and a cookie from before them is still good", rounds)
	if !strings.Contains(s.Output.String(), "processes of their own keep CAP_NET_ADMIN") {
		t.Errorf("no processes that set up cards:\n%s", s.Output.String())
	}
	// One answers NTP, one exchanges keys, one sets up cards, and one starts that again.
	until(t, "the processes beside those that were killed have ended", s.proc, func() (bool, string) {
		n := running(ours)
		return n == 4, fmt.Sprintf("%d processes of ntsserve", n)
	})
	left, err := filepath.Glob(s.keys() + "*")
	if err != nil || len(left) > 2 {
		t.Errorf("remaining files: %v, %v", left, err)
	}
}

// SIGKILL of the process that exchanges keys and of the one that sets up cards takes
// nothing from NTP, keys are given again, and what the server publishes for other
// programs is whole at any moment.
func TestServerOutlivesEachOfItsProcesses(t *testing.T) {
	dir := setup(t)
	runtime := filepath.Join(dir, "runtime")
	if err := os.Mkdir(runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("RUNTIME_DIRECTORY", runtime)
	s := serve(t, dir, "")
	processes := s.Children(t, "")
	if len(processes) != 2 {
		t.Fatalf("children: %v; want the one that exchanges keys and the one that sets up cards", processes)
	}
	published := func() {
		t.Helper()
		for _, name := range []string{"serving.json", "tasks.json"} {
			b, err := os.ReadFile(filepath.Join(runtime, name))
			if errors.Is(err, os.ErrNotExist) {
				continue // not yet
			}
			if err != nil || !json.Valid(b) {
				t.Errorf("%s: %v: %q", name, err, b)
			}
		}
	}
	killed, keeper := map[int]bool{}, s.Children(t, "set-up-cards")[0]
	cards := func() []int { return proctest.ChildrenOf(t, keeper, "set-up-cards") }
	for i := range 4 {
		until(t, "cards can be set up", s.proc, func() (bool, string) {
			pids := cards()
			return len(pids) == 1 && !killed[pids[0]], fmt.Sprint(pids)
		})
		victims := append(s.Children(t, "nts-ke-process"), cards()...)
		if i == 3 { // at last what starts the other one again
			victims = append(victims, keeper)
		}
		for _, pid := range victims {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			killed[pid] = true
		}
		for range 10 {
			if !answered(t, false, ourAddr, 123).answered {
				t.Errorf("round %d: an NTP request gets no answer", i)
			}
			published()
		}
		until(t, "keys are given again", s.proc, func() (bool, string) {
			published()
			_, err := ntske.Exchange(t.Context(), ntske.ClientConfig{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait})
			return err == nil, fmt.Sprint(err)
		})
	}
	if len(killed) != 9 {
		t.Errorf("killed %v", killed)
	}
	until(t, "the one that exchanges keys is the only child", s.proc, func() (bool, string) {
		now := s.Children(t, "")
		return len(now) == 1 && !killed[now[0]], fmt.Sprintf("killed %v, children %v", killed, now)
	})
	// The task notices the end with its next attempt, which may be later than the exchange.
	until(t, "the end of the process that sets up cards is in the log", s.proc, func() (bool, string) {
		out := s.Output.String()
		return strings.Contains(out, "at a good moment ("), out
	})
	until(t, "what it serves is published", s.proc, func() (bool, string) {
		b, err := os.ReadFile(filepath.Join(runtime, "serving.json"))
		return err == nil && json.Valid(b), fmt.Sprint(err)
	})
	if err := s.Stop(); err != nil {
		t.Errorf("it ends with %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(runtime, "*")); err != nil || len(left) > 0 {
		t.Errorf("after the end there are still %v, %v", left, err)
	}
}

// flapping makes and removes an interface with addresses again and again, as a machine
// with containers does, and counts.
func flapping(ctx context.Context, n *atomic.Int64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		for _, args := range []string{"link add flap0 type veth peer name flap1", "addr add 10.93.0.1/24 dev flap0", "link set flap0 up", "link del flap0"} {
			if exec.Command("ip", strings.Fields(args)...).Run() == nil {
				n.Add(1)
			}
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// running returns the number of processes of a program.
func running(program string) (n int) {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && to == program {
			n++
		}
	}
	return n
}
