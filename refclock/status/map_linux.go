package status

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// mapping is a shared memory mapping of the file. It needs unsafe: the words of a
// mapping shared between processes can only be read atomically through their
// address.
type mapping struct {
	mem []byte
	f   *os.File
}

func mapWriter(path string) (mapping, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o644)
	if err != nil {
		return mapping{}, err
	}
	m, err := func() (mapping, error) {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return mapping{}, errors.New("another process publishes there: check whether refclockd is running already")
			}
			return mapping{}, err
		}
		if fi, err := f.Stat(); err != nil {
			return mapping{}, err
		} else if !fi.Mode().IsRegular() {
			return mapping{}, errors.New("not a regular file")
		} else if fi.Size() < Size { // never truncated further: a reader may have mapped it
			if err := f.Truncate(Size); err != nil {
				return mapping{}, err
			}
		}
		mem, err := syscall.Mmap(int(f.Fd()), 0, Size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
		return mapping{mem, f}, err
	}()
	if err != nil {
		f.Close()
	}
	return m, err
}

func mapReader(path string) (mapping, error) {
	f, err := os.Open(path)
	if err != nil {
		return mapping{}, err
	}
	fi, err := f.Stat()
	if err == nil && (!fi.Mode().IsRegular() || fi.Size() < Size) {
		err = fmt.Errorf("file has %d bytes, want %d", fi.Size(), Size)
	}
	var mem []byte
	if err == nil {
		mem, err = syscall.Mmap(int(f.Fd()), 0, Size, syscall.PROT_READ, syscall.MAP_SHARED)
	}
	if err != nil {
		f.Close()
		return mapping{}, err
	}
	return mapping{mem, f}, nil
}

func (m mapping) cells() cells {
	return unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&m.mem[0])), words)
}

func (m mapping) flush()   {}
func (m mapping) refresh() {}

func (m mapping) replaced(path string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return true
	}
	b, err := m.f.Stat()
	return err != nil || !os.SameFile(a, b) || b.Size() < Size
}

func (m mapping) close() error {
	return errors.Join(syscall.Munmap(m.mem), m.f.Close())
}
