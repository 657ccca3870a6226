package fleettest

import (
	"net"
	"sync"
	"testing"
)

// Proxy is a TCP proxy before etcd that can stall, as a cable that was cut or a firewall
// that forgot its connections: all stay open, and nothing passes. What was sent meanwhile
// passes when it resumes, as TCP repeats it.
type Proxy struct {
	l  net.Listener
	to string

	mu    sync.Mutex
	open  chan struct{} // closed while data passes
	conns map[net.Conn]bool
	ended bool
	all   sync.WaitGroup
}

// NewProxy starts a proxy to an address until the test ends.
func NewProxy(t testing.TB, to string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Must(t, err)
	p := &Proxy{l: l, to: to, open: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.open)
	p.all.Go(p.accept)
	t.Cleanup(p.end)
	return p
}

// Endpoint is where clients connect, HOST:PORT.
func (p *Proxy) Endpoint() string { return p.l.Addr().String() }

// Stall lets nothing pass from now on.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = make(chan struct{})
}

// Resume lets all pass again, after a Stall.
func (p *Proxy) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.open)
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.all.Go(func() {
			server, err := net.Dial("tcp", p.to)
			if err != nil {
				client.Close()
				return
			}
			if p.keep(client, server) {
				p.all.Go(func() { p.pass(client, server) })
				p.pass(server, client)
			}
		})
	}
}

// keep reports whether the proxy has not ended. It closes the connections at its end.
func (p *Proxy) keep(list ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range list {
		p.conns[c] = true
		if p.ended {
			c.Close()
		}
	}
	return !p.ended
}

// pass copies until one side ends, and ends both.
func (p *Proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		open := p.open
		p.mu.Unlock()
		<-open
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) end() {
	p.l.Close()
	p.mu.Lock()
	p.ended = true
	select {
	case <-p.open:
	default:
		close(p.open)
	}
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.all.Wait()
}
