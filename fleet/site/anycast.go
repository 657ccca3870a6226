package site

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// answerLimit is how long a node may take to answer through the router. One that is down
// refuses at once; one that is late on a busy machine has not lost the request.
const answerLimit = 5 * time.Second

// AnswerLimit is how long a client of the router waits: for the request before its own too.
const AnswerLimit = 2 * answerLimit

// Anycast is a router in front of the nodes: each request goes to the next one that is
// announced, so that the cookies of a client wander.
type Anycast struct {
	conn *net.UDPConn
	done chan struct{}

	mu     sync.Mutex // guards the rest
	nodes  []*Node
	next   int
	counts map[string]int // answers by node
}

// NewAnycast starts a router on a free port of loopback.
func NewAnycast() (*Anycast, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	a := &Anycast{conn: c, done: make(chan struct{}), counts: map[string]int{}}
	go a.run()
	return a, nil
}

// Port is where clients send requests.
func (a *Anycast) Port() int { return a.conn.LocalAddr().(*net.UDPAddr).Port }

// Announce says which nodes get requests.
func (a *Anycast) Announce(nodes ...*Node) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.nodes = nodes
}

// Answers is how many answers came from each node.
func (a *Anycast) Answers() map[string]int {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := map[string]int{}
	for n, c := range a.counts {
		all[n] = c
	}
	return all
}

// Close stops the router.
func (a *Anycast) Close() {
	a.conn.Close()
	<-a.done
}

func (a *Anycast) run() {
	defer close(a.done)
	var buf [2048]byte
	for {
		n, from, err := a.conn.ReadFromUDPAddrPort(buf[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		// One client at a time: the order of requests and nodes is then the same in
		// each run.
		if answer := a.ask(buf[:n]); answer != nil {
			a.conn.WriteToUDPAddrPort(answer, from) // what is lost, a client asks again
		}
	}
}

// ask sends a request to the next node and returns its answer, nil if there is none.
func (a *Anycast) ask(request []byte) []byte {
	a.mu.Lock()
	if len(a.nodes) == 0 {
		a.mu.Unlock()
		return nil
	}
	a.next++
	node := a.nodes[a.next%len(a.nodes)]
	a.mu.Unlock()
	c, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", node.NTP))
	if err != nil {
		return nil
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(answerLimit))
	if _, err := c.Write(request); err != nil {
		return nil
	}
	answer := make([]byte, 2048)
	n, err := c.Read(answer)
	if err != nil {
		return nil
	}
	a.mu.Lock()
	a.counts[node.Name]++
	a.mu.Unlock()
	return answer[:n]
}
