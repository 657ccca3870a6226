// Package freeports reserves ports of 127.0.0.1 for programs that start later, and that may
// end and start again: for the demos and tests.
package freeports

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
)

// The ports that are given lie below those that the system gives to sockets without one of
// their own choice (from 32768 on with Linux, from 49152 on elsewhere). A connection that got
// one of these would keep it from its program for a minute after its end (TIME_WAIT).
const (
	lowest  = 10000
	highest = 32767
)

// tries is how many places are tried. Nearly all are free.
const tries = 1000

// Row is a row of ports that no other Row of this machine has, until Release.
type Row struct {
	First int
	marks []io.Closer
}

// errTaken says that a port is in use, or reserved.
var errTaken = errors.New("is taken")

// Reserve reserves n ports in a row that are free now, for TCP and UDP. They stay reserved
// until Release, or until the process ends.
func Reserve(n int) (*Row, error) {
	var err error
	for range tries {
		r := &Row{First: lowest + rand.IntN(highest-lowest+2-n)}
		if err = r.take(n); err == nil {
			return r, nil
		}
		r.Release()
	}
	return nil, fmt.Errorf("find %d free ports in a row: %w", n, err)
}

// Release ends the reservation.
func (r *Row) Release() {
	for _, m := range r.marks {
		m.Close()
	}
	r.marks = nil
}

func (r *Row) take(n int) error {
	for port := r.First; port < r.First+n; port++ {
		m, err := mark(port)
		if err != nil {
			return err
		}
		r.marks = append(r.marks, m)
		if err := free(port); err != nil {
			return err
		}
	}
	return nil
}

// free returns an error if a program has the port.
func free(port int) error {
	at := fmt.Sprintf("127.0.0.1:%d", port)
	l, err := net.Listen("tcp4", at)
	if err != nil {
		return err
	}
	defer l.Close()
	u, err := net.ListenPacket("udp4", at)
	if err != nil {
		return err
	}
	return u.Close()
}
