package proctest

import (
	"crypto/tls"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"time"
)

// Siege is what strangers do to a listener that speaks HTTP: they open connections and
// send nothing, half of a request, headers without an end or noise, ask for many answers
// and read none or few, or leave without a word.
type Siege struct {
	Addr   string
	TLS    bool          // every second connection begins with a TLS handshake
	From   string        // address of the strangers; empty: the usual
	Paths  []string      // to ask for
	AtOnce int           // connections
	Stay   time.Duration // of each, at most
	Seed   uint64
}

// Run makes n hostile connections. Errors are the other side's right.
func (s *Siege) Run(n int) {
	d := net.Dialer{Timeout: 5 * time.Second}
	if s.From != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(s.From)}
	}
	var wg sync.WaitGroup
	places := make(chan struct{}, s.AtOnce)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			c, err := d.Dial("tcp", s.Addr)
			if err != nil {
				return // killed
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(s.Stay))
			raw := c.(*net.TCPConn)
			if s.TLS && i%2 == 0 {
				c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
			}
			s.hostile(c, raw, rand.New(rand.NewPCG(s.Seed, uint64(i))))
		})
	}
	wg.Wait()
}

// hostile does one thing that a stranger can do, over c, which runs over raw.
func (s *Siege) hostile(c net.Conn, raw *net.TCPConn, rnd *rand.Rand) {
	ask := "GET " + s.Paths[rnd.IntN(len(s.Paths))] + " HTTP/1.1\r\nHost: localhost\r\n"
	switch rnd.IntN(8) {
	case 0: // nothing
	case 1:
		io.WriteString(c, ask[:1+rnd.IntN(len(ask)-1)])
	case 2: // headers without an end
		io.WriteString(c, ask)
		for range 2000 {
			if _, err := io.WriteString(c, "X-Header: "+strings.Repeat("x", 1000)+"\r\n"); err != nil {
				return
			}
		}
	case 3: // the same, one octet after the other
		for _, b := range []byte(ask + "X: " + strings.Repeat("x", 1000)) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(s.Stay / 100)
		}
	case 4: // noise
		b := make([]byte, rnd.IntN(4096))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		c.Write(b)
	case 5: // it leaves without a word
		io.WriteString(c, ask+"\r\n")
		c.Read(make([]byte, 1))
		raw.SetLinger(0)
		return
	case 6: // many requests at once, of which no answer is read
		raw.SetReadBuffer(1024)
		io.WriteString(c, strings.Repeat(ask+"\r\n", 200))
		time.Sleep(s.Stay)
		return
	case 7: // an answer that is read octet by octet
		raw.SetReadBuffer(1024)
		io.WriteString(c, ask+"\r\n")
		for range 20 {
			if _, err := c.Read(make([]byte, 1)); err != nil {
				return
			}
			time.Sleep(s.Stay / 20)
		}
		return
	}
	io.Copy(io.Discard, c)
}
