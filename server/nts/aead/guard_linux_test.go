package aead

import (
	"bytes"
	"runtime/debug"
	"syscall"
	"testing"
)

// guarded is a page of memory between two that nobody may touch.
type guarded struct{ page []byte }

func newGuarded(t *testing.T) guarded {
	t.Helper()
	n := syscall.Getpagesize()
	m, err := syscall.Mmap(-1, 0, 3*n, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Skipf("no memory to guard: %v", err)
	}
	t.Cleanup(func() { syscall.Munmap(m) })
	for _, p := range [][]byte{m[:n], m[2*n:]} {
		if err := syscall.Mprotect(p, syscall.PROT_NONE); err != nil {
			t.Skipf("cannot guard memory: %v", err)
		}
	}
	return guarded{m[n : 2*n : 2*n]}
}

// at returns n octets at the page's begin or end.
func (g guarded) at(end bool, n int) []byte {
	if end {
		return g.page[len(g.page)-n:]
	}
	return g.page[:n:n]
}

// Each buffer ends or begins at the edge of its memory: an access outside is a
// fault.
func TestNoAccessOutsideBuffers(t *testing.T) {
	t.Parallel()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	r := seeded(t)
	nonces, ads, plains, sealed, opened := newGuarded(t), newGuarded(t), newGuarded(t), newGuarded(t), newGuarded(t)
	for _, g := range []guarded{nonces, ads, plains} {
		r.Read(g.page)
	}
	eachEngine(t, func(t *testing.T, eng engine) {
		for _, id := range allIDs {
			keys := newGuarded(t)
			key := keys.at(true, id.KeyLen())
			r.Read(key)
			k := newKey(t, eng, id, key)
			nls := []int{0, 1, 7, 8, 12, 15, 16, 17, 31}
			if id == AES128GCMSIV {
				nls = []int{12}
			}
			for _, end := range []bool{false, true} {
				for n := range 100 {
					nonce, ad, plain := nonces.at(end, nls[n%len(nls)]), ads.at(end, n*5%83), plains.at(end, n)
					ct := k.Seal(sealed.at(end, n+16)[:0], nonce, plain, ad)
					got, err := k.Open(opened.at(end, n)[:0], nonce, ct, ad)
					if err != nil || !bytes.Equal(got, plain) {
						t.Fatalf("%v, %d octets: %v", id, n, err)
					}
				}
			}
		}
	})
}
