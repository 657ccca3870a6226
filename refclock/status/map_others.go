//go:build !linux

package status

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// mapping replaces shared memory where there is none: the file is written and
// read as a whole. The daemons run on Linux; this is for the tools.
type mapping struct {
	f *os.File
	c cells
}

func mapWriter(path string) (mapping, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	return mapping{f, make(cells, words)}, err
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
	if err != nil {
		return mapping{}, errors.Join(err, f.Close())
	}
	return mapping{f, make(cells, words)}, nil
}

func (m mapping) cells() cells { return m.c }

func (m mapping) flush() {
	var b [Size]byte
	for i := range m.c {
		binary.LittleEndian.PutUint64(b[8*i:], m.c[i].Load())
	}
	m.f.WriteAt(b[:], 0)
}

func (m mapping) refresh() {
	var b [Size]byte
	if n, _ := m.f.ReadAt(b[:], 0); n == Size {
		for i := range m.c {
			m.c[i].Store(binary.LittleEndian.Uint64(b[8*i:]))
		}
	}
}

func (m mapping) replaced(path string) bool {
	a, err := os.Stat(path)
	if err != nil {
		return true
	}
	b, err := m.f.Stat()
	return err != nil || !os.SameFile(a, b) || b.Size() < Size
}

func (m mapping) close() error { return m.f.Close() }
