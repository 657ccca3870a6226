package certs

import (
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"noonmark/server/crowd"
)

// Limits for strangers while challenges are answered. A place that is held is taken (package
// crowd).
const (
	responderConns   = 64
	responderTimeout = 10 * time.Second
	wellKnown        = "/.well-known/acme-challenge/" // RFC 8555, section 8.3
)

// Responder answers http-01 challenges, on every node, from what was last read from etcd:
// a request never asks etcd. It listens only while there are challenges.
type Responder struct {
	address string
	conns   *crowd.Counts

	mu     sync.Mutex // guards the rest
	tokens map[string]string
	server *http.Server

	answered, refused atomic.Uint64
}

// NewResponder returns a responder that does not listen yet. It counts connections in conns;
// nil: nobody reads them.
func NewResponder(address string, conns *crowd.Counts) *Responder {
	if conns == nil {
		conns = new(crowd.Counts)
	}
	return &Responder{address: address, conns: conns}
}

// Set sets the answers by token. The error is that of listening.
func (r *Responder) Set(tokens map[string]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = maps.Clone(tokens)
	if len(tokens) == 0 {
		r.close()
		return nil
	}
	if r.server != nil {
		return nil
	}
	l, err := net.Listen("tcp", r.address)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: r, ReadTimeout: responderTimeout, WriteTimeout: responderTimeout, MaxHeaderBytes: 8 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	srv.SetKeepAlivesEnabled(false)
	r.server = srv
	go srv.Serve(crowd.Limit(l, responderConns, r.conns)) // until Close
	return nil
}

// Close stops listening.
func (r *Responder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.close()
}

// close needs mu. It does not wait for handlers, which need mu too.
func (r *Responder) close() {
	if r.server != nil {
		r.server.Close()
		r.server = nil
	}
}

// listenRemedy says what to do about an address that cannot be listened on.
func listenRemedy(err error) string {
	switch {
	case errors.Is(err, syscall.EACCES):
		return "this user may not bind the port: install the drop-in noonmark-fleet-http.conf, or let port 80 lead to one from 1024 on, and run with -http"
	case errors.Is(err, syscall.EPERM):
		return "SocketBindDeny= of the unit forbids the port: want run -http with port 80 or one from 1024 on"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program uses the port: let it forward /.well-known/acme-challenge/ to another one, and run with -http"
	}
	return "correct the address of run -http"
}

// Counts returns how many requests were answered, and how many were for something else.
func (r *Responder) Counts() (answered, refused uint64) { return r.answered.Load(), r.refused.Load() }

// ServeHTTP answers a challenge.
func (r *Responder) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	token, ok := strings.CutPrefix(q.URL.Path, wellKnown)
	r.mu.Lock()
	text, known := r.tokens[token]
	r.mu.Unlock()
	if !ok || !known || q.Method != http.MethodGet {
		r.refused.Add(1)
		http.NotFound(w, q)
		return
	}
	r.answered.Add(1)
	w.Header().Set("Content-Type", "application/octet-stream")
	io.WriteString(w, text)
}
