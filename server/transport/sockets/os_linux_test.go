package sockets

import "unsafe"

const hasStamps = true

// spoil makes the kernel refuse the answer to packet i: no datagram goes to
// port 0.
func spoil(b *Batch, i int) {
	p := (*[28]byte)(unsafe.Pointer(&b.sys.name[i]))
	p[2], p[3] = 0, 0
}
