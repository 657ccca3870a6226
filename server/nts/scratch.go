package nts

import (
	"crypto/rand"

	"noonmark/server/nts/aead"
)

// Scratch is one worker's working memory: randomness drawn in bulk and room
// for plaintexts. Its zero value is ready. It is for one goroutine.
type Scratch struct {
	left  int // unused octets at the end of rnd
	rnd   [scratchRandom]byte
	plain [2 * aead.MaxKeyLen]byte
}

// scratchRandom is how many octets of randomness are drawn at once: an answer
// needs 32 (a cookie's nonce and its own), and a system call costs as much as
// making several kilobytes.
const scratchRandom = 4096

// Random returns n fresh random octets from crypto/rand, n at most 256. They
// are never handed out again; the slice is valid until the next call.
func (s *Scratch) Random(n int) []byte {
	if s.left < n {
		rand.Read(s.rnd[:]) // never fails: the program ends instead
		s.left = len(s.rnd)
	}
	s.left -= n
	off := len(s.rnd) - s.left - n
	return s.rnd[off : off+n : off+n]
}
