package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Clients that ask for much and read no more than the first octet of the answer keep nobody from
// an answer: neither of history, nor of events or phase data. They have an hour for that here, so it is no
// end of their time that lets the others pass.
func TestSlowReadersKeepNobodyOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/history"
	const limit = 30 * time.Second // of what would wait for ever
	from, first := keepAll(t, dir, 4000)
	paths := []string{
		fmt.Sprintf("/api/v1/history?points=2000&from=%d&to=%d", from, from+4000), fmt.Sprintf("/api/v1/phase?from=%d&to=%d", from, from+4000),
		fmt.Sprintf("/api/v1/events?limit=2000&from=%d", first),
	}
	s := newServer(t, func(c *Config) { c.History = dir })
	s.kept.within = time.Hour
	srv := httptest.NewUnstartedServer(s)
	// The buffers of the connections take a part of the answer and not the whole.
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if err := c.(*net.TCPConn).SetWriteBuffer(4096); err != nil {
			t.Error(err)
		}
		return ctx
	}
	srv.Start()
	defer srv.Close()
	client := srv.Client()
	client.Timeout = limit
	whole := map[string]int{}
	get := func(path string) {
		t.Helper()
		r, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d after %d octets, %v", path, r.StatusCode, len(b), err)
		}
		if whole[path] != 0 && whole[path] != len(b) {
			t.Errorf("%s: %d octets, and %d before", path, len(b), whole[path])
		}
		whole[path] = len(b)
	}
	for _, p := range paths {
		get(p)
		if whole[p] < 50_000 {
			t.Errorf("%s: the answer has %d octets, and fits into buffers", p, whole[p])
		}
	}
	for i := range 4 * len(paths) {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", srv.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := errors.Join(c.(*net.TCPConn).SetReadBuffer(4096), c.SetReadDeadline(time.Now().Add(limit))); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", paths[i%len(paths)])
		if line, err := bufio.NewReaderSize(c, 16).ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 200") {
			t.Fatalf("a slow client gets %q, %v", line, err)
		}
	}
	for _, p := range paths {
		get(p)
	}
	if n := s.counts.slow.Load(); n > 0 {
		t.Errorf("%d slow readers were disconnected", n)
	}
}

// A client that does not read on is disconnected, and counted. One that reads slowly, but reads each part in
// time, gets the whole answer.
func TestSlowReadersAreCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() + "/history"
	from, _ := keepAll(t, dir, 2000)
	for _, c := range []struct {
		pause time.Duration // before each read
		slow  uint64
		err   error // at the end; io.EOF: the answer is whole
	}{{partWrite + time.Second, 1, io.ErrUnexpectedEOF}, {partWrite / 20, 0, io.EOF}} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t, func(c *Config) { c.History = dir })
			server, client := net.Pipe()
			srv := http.Server{Handler: s, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout}
			ended := make(chan error)
			go func() { ended <- srv.Serve(&oneConn{c: server, done: make(chan struct{})}) }()
			go fmt.Fprintf(client, "GET /api/v1/history?points=2000&from=%d&to=%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", from, from+2000)
			r, err := http.ReadResponse(bufio.NewReader(client), nil)
			if err != nil || r.StatusCode != http.StatusOK {
				t.Fatal(r, err)
			}
			began, octets, b := time.Now(), 0, make([]byte, 4<<10)
			for err == nil {
				time.Sleep(c.pause)
				var n int
				n, err = r.Body.Read(b)
				octets += n
			}
			if got := s.counts.slow.Load(); got != c.slow || !errors.Is(err, c.err) {
				t.Errorf("pauses of %v: %d octets, %v; %d slow readers; want %v, %d", c.pause, octets, err, got, c.err, c.slow)
			}
			if took := time.Since(began); c.slow == 0 && took < answerTimeout {
				t.Errorf("the whole answer took %v: too short to see that each part has a time of its own", took)
			}
			client.Close()
			srv.Close()
			<-ended
		})
	}
}

// oneConn is a listener with one connection.
type oneConn struct {
	c    net.Conn
	once sync.Once
	done chan struct{}
}

// Accept returns the connection once, and then waits for Close.
func (l *oneConn) Accept() (c net.Conn, err error) {
	l.once.Do(func() { c = l.c })
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

// Close ends Accept.
func (l *oneConn) Close() error {
	close(l.done)
	return nil
}

// Addr implements net.Listener.
func (l *oneConn) Addr() net.Addr { return l.c.LocalAddr() }
