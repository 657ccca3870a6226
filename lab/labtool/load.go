package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"strconv"
	"time"

	"noonmark/phc/tai"
	"noonmark/server/ntp"
)

// load sends requests to a server at a constant rate, whether it answers or not.
// It compares every answer with the true time: the timestamps must lie between
// sending and receiving, and the leap indicator must be right. An answer that is
// more than a second late counts as lost.
func load(ctx context.Context, args []string, out io.Writer) error {
	if len(args) < 1 {
		return errUsage
	}
	host, err := netip.ParseAddr(args[0])
	if err != nil {
		return errUsage
	}
	f := newFlags()
	length := f.Duration("for", time.Minute, "how long")
	rate := f.Int("rate", 100, "requests a second")
	maxNS := f.Float64("max", 1e5, "how far a timestamp may lie outside of sending and receiving, ns")
	var l second
	f.Int64Var(&l.utc, "leap", math.MaxInt32, "POSIX time of a leap second")
	f.Int64Var(&l.sign, "sign", 0, "1 inserted, -1 deleted")
	if f.Parse(args[1:]) != nil || f.NArg() > 0 || *rate < 1 || *rate > 10000 {
		return errUsage
	}
	if l.off, err = readNS("tai_offset_s"); err != nil {
		return err
	}
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(host, 123)))
	if err != nil {
		return err
	}
	defer conn.Close()
	t := traffic{conn: conn, checker: checker{leap: l, slack: int64(*maxNS), out: out}, sent: map[ntp.Timestamp]int64{}}
	if err := t.run(ctx, *length, time.Second/time.Duration(*rate)); err != nil {
		return err
	}
	return t.summary(out, *maxNS)
}

// traffic is requests at a constant rate, and their answers.
type traffic struct {
	conn    *net.UDPConn
	checker checker
	sent    map[ntp.Timestamp]int64 // true time of sending, TAI ns, by the request's transmit timestamp
	lost    int
	buf     [512]byte
}

// run sends a request every gap for the given length, and waits for the last
// answers.
func (t *traffic) run(ctx context.Context, length, gap time.Duration) error {
	begin := time.Now()
	for n := 0; ; n++ {
		next := begin.Add(time.Duration(n) * gap)
		if err := t.receive(ctx, next); err != nil {
			return err
		}
		now, err := readTruth()
		if err != nil {
			return err
		}
		t.expire(now.tai)
		over := time.Duration(n)*gap >= length
		waiting := len(t.sent) > 0 && next.Sub(begin) < length+time.Second
		switch {
		case ctx.Err() != nil, over && !waiting:
			t.lost += len(t.sent)
			return nil
		case !over:
			t.send(ctx, n, now.tai)
		}
	}
}

// receive takes answers until a time.
func (t *traffic) receive(ctx context.Context, until time.Time) error {
	t.conn.SetReadDeadline(until)
	for ctx.Err() == nil {
		k, err := t.conn.Read(t.buf[:])
		if err != nil {
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				return nil
			}
			continue // connection refused: the request is counted as lost
		}
		now, err := readTruth()
		if err != nil {
			return err
		}
		var h ntp.Header
		if h.Parse(t.buf[:k]) != nil {
			continue
		}
		if a, ok := t.sent[h.Origin]; ok {
			delete(t.sent, h.Origin)
			t.checker.check(&h, a, now.tai)
		}
	}
	return nil
}

// expire counts requests as lost whose answer is more than a second late.
func (t *traffic) expire(now int64) {
	for k, a := range t.sent {
		if now-a > 1e9 {
			delete(t.sent, k)
			t.lost++
		}
	}
}

// send sends the n-th request.
func (t *traffic) send(ctx context.Context, n int, now int64) {
	// Any 64 bits will do that are never repeated.
	h := ntp.Header{Version: 4, Mode: ntp.ModeClient, Transmit: ntp.Timestamp(n+1) * 0x9e3779b97f4a7c15}
	t.sent[h.Transmit] = now
	h.Put(t.buf[:ntp.HeaderLen])
	if _, err := t.conn.Write(t.buf[:ntp.HeaderLen]); err != nil && ctx.Err() == nil {
		delete(t.sent, h.Transmit)
		t.lost++
	}
}

// summary prints the figures; lost and wrong answers are an error.
func (t *traffic) summary(out io.Writer, maxNS float64) error {
	c := &t.checker
	figure(out, "answers", float64(c.n), "packets", math.Inf(1))
	figure(out, "lost", float64(t.lost), "packets", 0)
	figure(out, "wrong", float64(c.wrong), "packets", 0)
	figure(out, "outside-of-true-time", float64(c.worst), "ns", maxNS)
	if c.n == 0 || c.wrong > 0 || t.lost > 0 {
		return fmt.Errorf("of %d answers %d were wrong and %d were lost", c.n+t.lost, c.wrong, t.lost)
	}
	return nil
}

// checker compares answers with the true time.
type checker struct {
	leap  second
	slack int64 // ns
	out   io.Writer

	n, wrong int
	worst    int64 // largest distance of a timestamp from [sent, received], ns
}

// check compares an answer with the true time. The request was sent at a, and the
// answer arrived at b, TAI ns.
func (c *checker) check(h *ntp.Header, a, b int64) {
	c.n++
	why := ""
	if h.Mode != ntp.ModeServer || h.Stratum != 1 {
		why = "mode " + strconv.Itoa(int(h.Mode)) + ", stratum " + strconv.Itoa(int(h.Stratum))
	}
	// If the leap second ends between a and b, both values of TAI - UTC are right.
	first, last := c.leap.served(a), c.leap.served(b)
	out := int64(math.MaxInt64)
	for off := range 2 {
		o := [2]int64{first, last}[off]
		want := uint8(ntp.LeapNone)
		if c.leap.sign != 0 && o == c.leap.off {
			want = ntp.LeapInsert
			if c.leap.sign < 0 {
				want = ntp.LeapDelete
			}
		}
		rx := int64(h.Receive.TAI(tai.Time(a), int(o)))
		tx := int64(h.Transmit.TAI(tai.Time(a), int(o)))
		if h.Leap == want {
			out = min(out, max(0, a-rx, rx-b, a-tx, tx-b))
		}
	}
	switch {
	case why != "":
	case out == math.MaxInt64:
		why = fmt.Sprintf("leap indicator %d", h.Leap)
	default:
		if c.worst = max(c.worst, out); out > c.slack {
			why = fmt.Sprintf("a timestamp is %d ns outside", out)
		}
	}
	if why == "" {
		return
	}
	if c.wrong++; c.wrong <= 5 {
		fmt.Fprintf(c.out, "wrong answer %+.6f s after the leap second: %s\n", c.leap.since(b), why)
	}
}
