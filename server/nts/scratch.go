package nts

import (
	"crypto/rand"

	"noonmark/server/nts/aead"
)

// Scratch is one worker's working memory: random octets, drawn in bulk, and room
// for plaintexts. The zero value is ready. It is for one goroutine.
type Scratch struct {
	left  int // unused octets at the end of rnd
	rnd   [scratchRandom]byte
	plain [2 * aead.MaxKeyLen]byte
}

// scratchRandom is the number of random octets that are drawn at once. An answer
// needs 32 (the nonces of a cookie and of the answer), and a system call costs as
// much as generating several kilobytes.
const scratchRandom = 4096

// Random returns n random octets from crypto/rand, n at most 256. It never returns
// the same ones again. The slice is valid until the next call.
func (s *Scratch) Random(n int) []byte {
	if s.left < n {
		rand.Read(s.rnd[:]) // never fails: it ends the program instead
		s.left = len(s.rnd)
	}
	s.left -= n
	off := len(s.rnd) - s.left - n
	return s.rnd[off : off+n : off+n]
}
