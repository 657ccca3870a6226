package receiver_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
)

// steady is a port on which so many octets come every tenth of a second, as
// sentences, for a while.
type steady struct {
	now    *int64
	text   []byte
	at     int
	octets int
	reads  int
	done   func()
}

func (s *steady) Read(b []byte) (int, error) {
	if s.reads--; s.reads < 0 {
		s.done()
		return 0, io.EOF
	}
	*s.now += 1e8
	for i := range s.octets {
		b[i] = s.text[(s.at+i)%len(s.text)]
	}
	s.at += s.octets
	return s.octets, nil
}

func (s *steady) Close() error { return nil }

// A rate that is too low for what is sent is said once, and counted.
func TestPortTooSlow(t *testing.T) {
	for _, c := range []struct {
		name   string
		baud   int
		octets int // in a tenth of a second
		want   int
	}{
		{"full", 4800, 46, 3},
		{"roomy", 9600, 46, 0},
		{"USB, where the rate means nothing", 9600, 300, 0},
	} {
		var n tally
		var log bytes.Buffer
		now := int64(1e9)
		ctx, cancel := context.WithCancel(t.Context())
		p := &receiver.Port{
			Name: "test", Mono: func() int64 { return now }, Out: make(chan *gnss.Message, 4096), Count: n.count, Rates: []int{c.baud},
			Log: slog.New(slog.NewTextHandler(&log, nil)),
			Open: func() (io.ReadCloser, error) {
				return &steady{now: &now, text: []byte("$GPZDA,120000.00,23,11,2026,00,00*62\r\n"), octets: c.octets, reads: 350, done: cancel}, nil
			},
		}
		p.Run(ctx)
		cancel()
		said := strings.Count(log.String(), "port is full")
		if got := n.of(reason.PortSlow); int(got) != c.want || said != min(c.want, 1) {
			t.Errorf("%s: counted %d times, want %d; said %d times\n%s", c.name, got, c.want, said, log.String())
		}
	}
}
