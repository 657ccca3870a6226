package recording

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A segment is a file: magic, then frames. A frame is a head and its content:
//
//	 0  sync, 4 octets
//	 4  length of the content in the file, uint32, little-endian as all numbers
//	 8  length of the content before compression, uint32
//	12  number of the frame in its run, uint64
//	20  CRC-32C of octets 4 to 19 and the content
//	24  the content: records, compressed (RFC 1951)
//
// A frame can be read without those before it. What is damaged costs one frame: the
// next is found by its sync.
const (
	magic     = "noonmark recording 1\n"
	frameSync = "\xa9NMR"
	headSize  = 24
	// maxContent is the largest content of a frame, before compression. Frames are
	// closed far below it; it bounds what a reader allocates.
	maxContent = 1 << 20
	// maxStored is the largest content in the file: what cannot be compressed grows
	// by a few octets.
	maxStored = maxContent + maxContent/64
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frame is a closed frame.
type frame struct {
	number  uint64
	content []byte
}

// compressor makes frames of contents. It is for one goroutine.
type compressor struct {
	z   *flate.Writer
	buf bytes.Buffer
}

// append appends a frame to dst.
func (c *compressor) append(dst []byte, f frame) ([]byte, error) {
	c.buf.Reset()
	if c.z == nil {
		z, err := flate.NewWriter(&c.buf, flate.DefaultCompression)
		if err != nil {
			return dst, err
		}
		c.z = z
	} else {
		c.z.Reset(&c.buf)
	}
	if _, err := c.z.Write(f.content); err != nil {
		return dst, err
	}
	if err := c.z.Close(); err != nil {
		return dst, err
	}
	at := len(dst)
	dst = append(dst, frameSync...)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.buf.Len()))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(f.content)))
	dst = binary.LittleEndian.AppendUint64(dst, f.number)
	sum := crc32.Update(crc32.Checksum(dst[at+4:at+20], castagnoli), castagnoli, c.buf.Bytes())
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, c.buf.Bytes()...), nil
}

// errCut: the file ends within a frame, as after a loss of power.
var errCut = errors.New("the file ends within a frame")

// errDamaged: what is here is no frame, or one that was changed.
var errDamaged = errors.New("damaged")

// frames reads the frames of a segment. It is for one goroutine.
type frames struct {
	b    []byte // what was read and not yet used
	r    io.Reader
	end  bool
	lost int64 // octets that were skipped
}

// next returns the next frame that is whole, and whether something was skipped
// before it. At the end it returns io.EOF, or errCut.
func (s *frames) next() (f frame, skipped bool, err error) {
	for {
		f, n, err := s.try()
		switch {
		case err == nil:
			s.b = s.b[n:]
			return f, skipped, nil
		case !errors.Is(err, errDamaged):
			return f, skipped, err
		}
		skipped = true
		n = 1
		if i := bytes.Index(s.b[1:], []byte(frameSync)); i >= 0 {
			n += i
		} else {
			n = max(1, len(s.b)-len(frameSync)+1)
		}
		s.lost += int64(n)
		s.b = s.b[n:]
	}
}

// try reads the frame at the beginning of what is left, which is n octets long.
func (s *frames) try() (f frame, n int, err error) {
	if err := s.need(headSize); err != nil {
		if errors.Is(err, errCut) && len(s.b) == 0 {
			err = io.EOF
		}
		return f, 0, err
	}
	stored, raw := binary.LittleEndian.Uint32(s.b[4:]), binary.LittleEndian.Uint32(s.b[8:])
	if string(s.b[:4]) != frameSync || stored > maxStored || raw > maxContent {
		return f, 0, errDamaged
	}
	n = headSize + int(stored)
	if err := s.need(n); err != nil {
		if errors.Is(err, errCut) && bytes.Contains(s.b[1:], []byte(frameSync)) {
			err = errDamaged // the length is
		}
		return f, 0, err
	}
	head, content := s.b[4:20], s.b[headSize:n]
	if crc32.Update(crc32.Checksum(head, castagnoli), castagnoli, content) != binary.LittleEndian.Uint32(s.b[20:]) {
		return f, 0, errDamaged
	}
	f.number = binary.LittleEndian.Uint64(s.b[12:])
	f.content = make([]byte, 0, raw)
	buf := bytes.NewBuffer(f.content)
	if k, err := io.Copy(buf, io.LimitReader(flate.NewReader(bytes.NewReader(content)), int64(raw)+1)); err != nil || k != int64(raw) {
		return f, 0, errDamaged
	}
	f.content = buf.Bytes()
	return f, n, nil
}

// need reads until n octets are there.
func (s *frames) need(n int) error {
	for len(s.b) < n {
		if s.end {
			return errCut
		}
		const piece = 64 << 10
		old := len(s.b)
		s.b = append(s.b, make([]byte, piece)...)
		k, err := io.ReadFull(s.r, s.b[old:])
		s.b = s.b[:old+k]
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			s.end = true
		case err != nil:
			return fmt.Errorf("read recording: %w", err)
		}
	}
	return nil
}
