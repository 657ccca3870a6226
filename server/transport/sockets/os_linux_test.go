package sockets

import "unsafe"

const hasStamps = true

// refuseAnswer makes the kernel refuse the answer to packet i: it sends nothing
// to port 0.
func refuseAnswer(c *Conn, i int) {
	p := (*[28]byte)(unsafe.Pointer(&c.rx.sources[i]))
	p[2], p[3] = 0, 0
}
