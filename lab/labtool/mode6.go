package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// readvar reads the system variables of an NTP daemon, as ntpq -c rv does
// (RFC 9327: mode 6, operation 2).
func readvar(_ context.Context, args []string, out io.Writer) error {
	if len(args) != 1 {
		return errUsage
	}
	c, err := net.Dial("udp", net.JoinHostPort(args[0], "123"))
	if err != nil {
		return err
	}
	defer c.Close()
	req := [12]byte{0: 2<<3 | 6, 1: 2, 3: 1} // version 2, sequence 1
	if _, err := c.Write(req[:]); err != nil {
		return err
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	var parts []byte
	var buf [1024]byte
	for {
		n, err := c.Read(buf[:])
		if err != nil {
			return err
		}
		text, more, err := fragment(buf[:n], len(parts))
		if err != nil {
			return err
		}
		if parts = append(parts, text...); !more {
			break
		}
	}
	fmt.Fprintln(out, strings.Join(strings.Fields(string(parts)), " "))
	return nil
}

// fragment returns the text of one answer, which must begin at octet from, and
// whether more fragments follow.
func fragment(b []byte, from int) (text []byte, more bool, err error) {
	const answer, failed, following, op = 0x80, 0x40, 0x20, 0x1f
	if len(b) < 12 || b[0]&7 != 6 || b[1]&answer == 0 || b[1]&op != 2 {
		return nil, false, errors.New("the packet is no answer to a request for variables")
	}
	if b[1]&failed != 0 {
		return nil, false, fmt.Errorf("the daemon refused the request with error %d", b[4])
	}
	n := int(binary.BigEndian.Uint16(b[10:]))
	if len(b) < 12+n || int(binary.BigEndian.Uint16(b[8:])) != from {
		return nil, false, errors.New("a fragment of the answer is missing")
	}
	return b[12 : 12+n], b[1]&following != 0, nil
}
