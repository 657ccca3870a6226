package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/server"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// oneProcess is ntsserve as it would be if it served NTP and NTS-KE in one process: the
// same servers with the same limits. It serves until it is ended.
func oneProcess(config string) error {
	s, err := ntsserve.Load(config)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(s.KE.Certificate, s.KE.Key)
	if err != nil {
		return err
	}
	ring, err := nts.OpenRing(s.Keys.File, s.KeyRing, time.Now())
	if err != nil {
		return err
	}
	ntp, err := server.New(server.Config{Snapshot: s.Source.Path, Endpoints: s.Endpoints, Access: s.AccessList, Limit: s.RateLimit, Priority: s.ThreadPriority, Ring: ring})
	if err != nil {
		return err
	}
	ke, err := ntske.NewServer(ntske.Config{
		NTPServer: s.KE.Server, NTPPort: s.NTPPort, Timeout: s.KE.Timeout.Duration, MaxConns: s.KE.MaxConnections, MaxPerAddr: s.KE.MaxPerAddress,
		Rate: s.KE.Rate, RatePerIP: s.KE.RatePerAddress, Prefix4: s.Access.Prefix4, Prefix6: s.Access.Prefix6,
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Ring: ring,
	})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{KeepAlive: -1}).Listen(context.Background(), "tcp", s.KE.Listen.String())
	if err != nil {
		return err
	}
	daemon.LimitHeap(keyexchangeHeap, ntske.BaseMemory+int64(s.KE.MaxConnections)*ntske.ConnMemory)
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + ntp.Workers() + 1) // as ntsserve
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- ntp.Run(ctx) }()
	go func() { ended <- ke.Serve(ctx, l) }()
	return errors.Join(<-ended, <-ended)
}

// keyexchangeHeap is by how many percent the heap may grow between two collections, as in
// the process of NTS-KE.
const keyexchangeHeap = 800

// compared are the loads beside which both ways are measured.
var compared = []struct {
	name, kind string
	rate       float64
}{
	{"no load", "", 0}, {"half handshakes, 2500/s", "half", 2500}, {"connect and reset, 7000/s", "reset", 7000}, {"complete exchanges, 1900/s", "complete", 1900},
}

// compare measures NTP beside loads on NTS-KE, served by a process of its own and by the
// same one, in turn, and returns a table.
func compare(o options, two *contestant, config string) (string, error) {
	one := &contestant{name: "one process", usual: []string{"/proc/self/exe", "-as", "one-process", "-config", config}}
	var b strings.Builder
	b.WriteString(comparedHeading)
	for _, load := range compared {
		w := row{name: load.name, figure: "NTP round trip, p99, us", vary: true, run: latency(load.kind, load.rate)}
		found, err := w.rounds(o, []*contestant{two, one})
		if err != nil {
			return "", err
		}
		ours, text := found.median(two.name, 0)
		other, otherText := found.median(one.name, 0)
		line := fmt.Sprintf("| %s | %s | %s | %s | %.2f |\n", w.name, w.figure, text, otherText, ours/other)
		fmt.Fprint(os.Stderr, line)
		b.WriteString(line)
	}
	return b.String(), nil
}

const comparedHeading = `
## Key exchange in a process of its own

ntsserve as it is, and the same servers with the same limits in one process, in turn.

| attack | figure | two processes | one process | ratio |
|---|---|---|---|---|
`
