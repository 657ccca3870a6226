package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// helloSources is the number of source addresses, of 127.1.0.0/24, so that no limit of
// one address is reached.
const helloSources = 32

// hellos opens connections to NTS-KE, each with a ClientHello that lacks its end, and
// holds them until it is ended. The server can forget none of what they have sent. One
// that the server refuses or closes is not opened again.
func hellos(ctx context.Context, args []string, out io.Writer) error {
	if len(args) != 2 {
		return errUsage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil || n < 1 {
		return errUsage
	}
	const length = 15 << 10 // octets of the message that are sent, of 16 kB that are announced
	hello := append([]byte{22, 3, 1, 0x3f, 0xff, 1, 0, 0x3f, 0xf0}, make([]byte, length)...)
	open := 0
	for i := 0; i < n && ctx.Err() == nil; i++ {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, 0, byte(1+i%helloSources))}, Timeout: 5 * time.Second}
		c, err := d.DialContext(ctx, "tcp", args[0])
		if err != nil {
			continue
		}
		defer c.Close()
		if _, err := c.Write(hello); err == nil {
			open++
		}
	}
	fmt.Fprintf(out, "%d of %d connections are open\n", open, n)
	if open == 0 {
		return fmt.Errorf("no connection to %s", args[0])
	}
	<-ctx.Done()
	return nil
}
