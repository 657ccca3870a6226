// Command ntsload is a load generator for NTP and NTS servers.
//
// It does one real NTS-KE handshake, composes valid requests in advance, sends
// them with sendmmsg over an AF_PACKET socket, counts the answers in a tc ingress
// program, and verifies a sample of them completely.
package main

import (
	"crypto/cipher"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

type options struct {
	iface, src, dst, dmac string
	ke                    string
	aead                  int
	clients               int
	placeholders          int
	rate                  float64
	dur                   time.Duration
	runs                  int
	search                bool
	loss                  float64
	serverCPU, cpu        int
	pids, name            string
}

func main() {
	var o options
	flag.StringVar(&o.iface, "i", "vg", "interface")
	flag.StringVar(&o.src, "src", "10.9.0.0", "first source address (/16)")
	flag.StringVar(&o.dst, "dst", "10.8.0.2", "server address")
	flag.StringVar(&o.dmac, "dmac", "02:00:00:00:00:02", "server MAC")
	flag.StringVar(&o.ke, "ke", "", "NTS-KE address host:port; empty: plain NTP")
	flag.IntVar(&o.aead, "aead", 15, "AEAD: 15 AES-SIV-CMAC-256, 30 AES-128-GCM-SIV")
	flag.IntVar(&o.clients, "clients", 2048, "distinct source addresses and requests (power of two)")
	flag.IntVar(&o.placeholders, "placeholders", 0, "cookie placeholders per request")
	flag.Float64Var(&o.rate, "rate", -1, "measure at this rate only (0: flood); default: search")
	flag.DurationVar(&o.dur, "d", time.Second, "length of a measurement")
	flag.IntVar(&o.runs, "runs", 3, "searches")
	flag.BoolVar(&o.search, "search", true, "search for the sustained rate too, which takes most of the time")
	flag.Float64Var(&o.loss, "loss", 0.1, "loss limit in percent for a sustained rate")
	flag.IntVar(&o.serverCPU, "scpu", 1, "the server's CPU")
	flag.StringVar(&o.pids, "pids", "", "server pids, comma separated")
	flag.StringVar(&o.name, "name", "", "label")
	flag.IntVar(&o.cpu, "gcpu", 0, "own CPU, -1 not pinned")
	flag.BoolVar(&noNonce, "nononce", false, "send an empty AES-SIV nonce")
	flag.Parse()
	runtime.LockOSThread()
	if o.cpu >= 0 {
		var set unix.CPUSet
		set.Set(o.cpu)
		unix.SchedSetaffinity(0, &set)
	}
	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	s, c2s, s2c, err := keys(o)
	if err != nil {
		return err
	}
	g, err := newGenerator(o, s, c2s)
	if err != nil {
		return err
	}
	go g.verify(s, s2c)
	if _, err := g.measure(5000, 300*time.Millisecond); err != nil { // warm up
		return err
	}
	w, err := g.measure(5000, 300*time.Millisecond)
	if err != nil {
		return err
	}
	if w.Answered < 1000 {
		return fmt.Errorf("the server answered too few requests: %+v %v", w, g.lastErr.Load())
	}
	out := json.NewEncoder(os.Stdout)
	if o.rate >= 0 {
		for range o.runs {
			r, err := g.measure(o.rate, o.dur)
			if err != nil {
				return err
			}
			out.Encode(r)
		}
		return nil
	}
	f, err := g.search(o)
	if err != nil {
		return err
	}
	return out.Encode(f)
}

// keys does the NTS-KE handshake. Without NTS, all is nil.
func keys(o options) (s *session, c2s, s2c cipher.AEAD, err error) {
	if o.ke == "" {
		return nil, nil, nil, nil
	}
	for try := 0; ; try++ {
		if s, err = handshake(o.ke, uint16(o.aead)); err == nil {
			break
		}
		if try > 20 {
			return nil, nil, nil, fmt.Errorf("NTS-KE: %w", err)
		}
		time.Sleep(200 * time.Millisecond) // the server may still be starting
	}
	if c2s, err = newAEAD(s.aead, s.c2s); err != nil {
		return nil, nil, nil, err
	}
	s2c, err = newAEAD(s.aead, s.s2c)
	return s, c2s, s2c, err
}

// processes are the server's, whose CPU time counts.
func (o options) processes() []string {
	if o.pids == "" {
		return nil
	}
	return strings.Split(o.pids, ",")
}
