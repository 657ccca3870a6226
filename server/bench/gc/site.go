package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/server"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// site is a server with one worker, and its NTS-KE service.
type site struct {
	priority threads.Priority
	srv      *server.Server
	ke       *ntske.Server
	ln       net.Listener
	thread   string // folder of /proc of the worker's thread; "": the scheduler chooses one
}

// open opens the sockets. It fails if this process may not use the priority.
func open(p threads.Priority, dir string, pair tls.Certificate, ring *nts.Ring) (*site, error) {
	if err := permitted(p); err != nil {
		return nil, err
	}
	t := &site{priority: p}
	var err error
	if t.srv, err = server.New(server.Config{
		Snapshot: filepath.Join(dir, "status"), Ring: ring, Priority: p,
		Endpoints: []server.Endpoint{{Socket: sockets.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), Sockets: 1}}},
	}); err != nil {
		return nil, err
	}
	if t.ke, err = ntske.NewServer(ntske.Config{
		TLS: &tls.Config{Certificates: []tls.Certificate{pair}}, Ring: ring, NTPPort: int(t.srv.Addrs()[0].Port()),
	}); err != nil {
		return nil, err
	}
	t.ln, err = net.Listen("tcp", "127.0.0.1:0")
	return t, err
}

// permitted tries a priority of the worker. High is one of the whole process, in which
// everything else of this benchmark is too.
func permitted(p threads.Priority) error {
	switch p {
	case threads.Normal:
		return nil
	case threads.High:
		return errors.New("it is a priority of the whole process")
	}
	tried := make(chan error)
	go func() { // its thread ends with it and takes the priority along
		runtime.LockOSThread()
		tried <- threads.RaiseThread()
	}()
	return <-tried
}

// start starts the server and finds its worker's thread, if it has one of its own.
func (t *site) start(ctx context.Context) error {
	before := workers()
	go t.srv.Run(ctx)
	go t.ke.Serve(ctx, t.ln)
	select {
	case <-t.srv.Ready():
	case <-time.After(5 * time.Second):
		return errors.New("the server did not start")
	}
	for _, f := range workers() {
		if !slices.Contains(before, f) {
			t.thread = f
		}
	}
	if t.thread == "" && t.priority == threads.Realtime {
		return errors.New("the worker's thread was not found")
	}
	return nil
}

// workers lists the threads of all workers.
func workers() (list []string) {
	all, _ := filepath.Glob("/proc/self/task/*")
	for _, f := range all {
		if name, err := os.ReadFile(f + "/comm"); err == nil && strings.TrimSpace(string(name)) == threads.Name {
			list = append(list, f)
		}
	}
	return list
}

// usage returns how often the worker's thread lost its processor while it had
// something to do and how long it waited for one, both since its start, and the
// time. It returns 0 for both without such a thread.
func (t *site) usage() (lost int64, waited time.Duration, now time.Time) {
	text, _ := os.ReadFile(t.thread + "/status")
	for _, l := range strings.Split(string(text), "\n") {
		if v, ok := strings.CutPrefix(l, "nonvoluntary_ctxt_switches:"); ok {
			lost, _ = strconv.ParseInt(strings.TrimSpace(v), 10, 64)
		}
	}
	text, _ = os.ReadFile(t.thread + "/schedstat") // running, waiting, slices
	if f := strings.Fields(string(text)); len(f) == 3 {
		ns, _ := strconv.ParseInt(f[1], 10, 64)
		waited = time.Duration(ns)
	}
	return lost, waited, time.Now()
}
