package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"math/bits"
)

// A block is:
//
//	"NMh"             marker
//	kind              one octet: C columns, D data
//	length            of the payload, uint32, little endian
//	checksum          CRC-32C of kind, length and payload, uint32
//	payload
//
// Payload of C, valid for the blocks that follow: version (1), step of the rows in
// s (uvarint), number of columns (uvarint), and for each: digits (octet), length of
// the name (octet), name.
//
// Payload of D: number of the block (varint: its first second / its span), and for
// each column a presence and then integers, the value times 10^digits. Presence: 0
// no row, 1 all, 2 a bitmap (uint64) follows; nothing follows after 0. Seconds have
// one packed list of integers. Minutes and hours have four: number of seconds that
// have a value, mean, mean - lowest, highest - mean.
//
// A packed list: width (octet; bit 7: differences), base (varint), and for each
// integer width bits of (integer - base), the lowest bit first, filled up to an
// octet. Differences: the first integer (varint) stands before the base, and those
// that follow are differences to the one before.
const (
	marker      = "NMh"
	headLen     = len(marker) + 1 + 4 + 4
	kindColumns = 'C'
	kindData    = 'D'
	version     = 1
	// maxPayload is more than MaxColumns columns take: 64 rows of four lists of 9
	// octets, and their heads.
	maxPayload = MaxColumns * 4 * (64*9 + 32)
)

// maxInteger is the largest integer that is stored. Beyond, a value is missing.
const maxInteger = 1 << 62

// Errors of blocks. A Reader counts them as damage.
var (
	errChecksum = errors.New("checksum is wrong")
	errVersion  = errors.New("another version of the format")
	errPayload  = errors.New("payload is malformed")
	errNoHead   = errors.New("data without columns before it")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summary is what is known of one column over one row: of one second, or over
// several.
type summary struct {
	n         int64 // seconds that have a value; 0: missing
	low, high float64
	mean      float64
}

// add adds another summary, of other seconds.
func (s *summary) add(x summary) {
	switch {
	case x.n == 0:
		return
	case s.n == 0:
		*s = x
		return
	}
	s.low, s.high = min(s.low, x.low), max(s.high, x.high)
	s.n += x.n
	s.mean += (x.mean - s.mean) * float64(x.n) / float64(s.n)
}

// single is the summary of one second's value.
func single(v float64) summary {
	if math.IsNaN(v) {
		return summary{}
	}
	return summary{1, v, v, v}
}

// appendBlock appends a block with a payload.
func appendBlock(dst []byte, kind byte, payload []byte) []byte {
	at := len(dst)
	dst = append(dst, marker...)
	dst = append(dst, kind)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(payload)))
	sum := crc32.Update(crc32.Checksum(dst[at+len(marker):], castagnoli), castagnoli, payload)
	dst = binary.LittleEndian.AppendUint32(dst, sum)
	return append(dst, payload...)
}

// blockHead reads the head of a block, which b begins with: the length of the whole block, 0
// if there is none of an allowed length.
func blockHead(b []byte) int {
	if len(b) < headLen || string(b[:len(marker)]) != marker {
		return 0
	}
	if n := binary.LittleEndian.Uint32(b[len(marker)+1:]); n <= maxPayload {
		return headLen + int(n)
	}
	return 0
}

// openBlock returns the kind and the payload of b, which is a whole block. ok is false if the checksum
// is wrong.
func openBlock(b []byte) (kind byte, payload []byte, ok bool) {
	sum := crc32.Update(crc32.Checksum(b[len(marker):headLen-4], castagnoli), castagnoli, b[headLen:])
	return b[len(marker)], b[headLen:], sum == binary.LittleEndian.Uint32(b[headLen-4:])
}

// blockReader finds the blocks in a file, one after another, through a buffer that has a
// block and not the file.
type blockReader struct {
	src   io.Reader
	at    int64 // place of the next octet in the file
	store []byte
	buf   []byte // a part of store: octets that were read, from at on
	end   bool   // there are no more in src
}

// readAhead is how much is read at once, octets: several blocks of seconds.
const readAhead = 16 << 10

// fill reads until the buffer has n octets, or all that are left.
func (r *blockReader) fill(n int) error {
	for len(r.buf) < n && !r.end {
		if cap(r.buf) < n {
			was := r.buf
			if len(r.store) < n {
				r.store = make([]byte, max(n, readAhead))
			}
			r.buf = r.store[:copy(r.store, was)]
		}
		k, err := r.src.Read(r.buf[len(r.buf):cap(r.buf)])
		r.buf = r.buf[:len(r.buf)+k]
		if errors.Is(err, io.EOF) {
			r.end = true
		} else if err != nil {
			return err
		}
	}
	return nil
}

// pass goes on by n octets of the buffer.
func (r *blockReader) pass(n int) {
	r.at += int64(n)
	r.buf = r.buf[n:]
}

// next returns the first whole block that was not returned yet: its kind, its payload, valid
// until the next call, and the place of its head in the file. skipped is how many octets
// before it belong to no whole block. Without a block, kind is 0.
func (r *blockReader) next() (kind byte, payload []byte, at int64, skipped int, err error) {
	for begun := r.at; ; {
		if err := r.fill(headLen); err != nil {
			return 0, nil, 0, 0, err
		}
		i := bytes.Index(r.buf, []byte(marker))
		if i < 0 {
			i = max(0, len(r.buf)-len(marker)+1) // what is behind may be the beginning of a marker
		}
		r.pass(i)
		if len(r.buf) < headLen {
			if !r.end {
				continue
			}
			r.pass(len(r.buf))
			return 0, nil, r.at, int(r.at - begun), nil
		}
		if n := blockHead(r.buf); n > 0 {
			if err := r.fill(n); err != nil {
				return 0, nil, 0, 0, err
			}
			if len(r.buf) >= n {
				if kind, payload, ok := openBlock(r.buf[:n]); ok {
					at, skipped := r.at, int(r.at-begun)
					r.pass(n)
					return kind, payload, at, skipped, nil
				}
			}
		}
		r.pass(1)
	}
}

// appendColumns appends the payload of columns.
func appendColumns(dst []byte, l Level, columns []Column) []byte {
	dst = append(dst, version)
	dst = binary.AppendUvarint(dst, uint64(l.Step()))
	dst = binary.AppendUvarint(dst, uint64(len(columns)))
	for _, c := range columns {
		dst = append(dst, byte(c.Digits), byte(len(c.Name)))
		dst = append(dst, c.Name...)
	}
	return dst
}

// parseColumns reads the payload of columns of a level.
func parseColumns(p []byte, l Level) ([]Column, error) {
	d := decoder{p: p}
	if v := d.octet(); v != version && !d.bad {
		return nil, fmt.Errorf("%w: %d", errVersion, v)
	}
	step, n := d.uvarint(), d.uvarint()
	if d.bad || step != uint64(l.Step()) || n > MaxColumns {
		return nil, errPayload
	}
	columns := make([]Column, n)
	for i := range columns {
		columns[i].Digits = int(d.octet())
		columns[i].Name = string(d.octets(int(d.octet())))
	}
	if d.bad || len(d.p) > 0 {
		return nil, errPayload
	}
	return columns, checkColumns(columns)
}

// appendData appends the payload of data. rows has rows*columns summaries, row by
// row.
func appendData(dst []byte, l Level, number int64, columns []Column, rows []summary) []byte {
	dst = binary.AppendVarint(dst, number)
	var list [4][]int64
	for c, col := range columns {
		var present uint64
		for i := range list {
			list[i] = list[i][:0]
		}
		scale := math.Pow10(col.Digits)
		for r := range l.rows() {
			s := rows[r*len(columns)+c]
			mean, ok := integer(min(max(s.mean, s.low), s.high) * scale)
			low, okLow := integer(s.low * scale)
			high, okHigh := integer(s.high * scale)
			if s.n <= 0 || !ok || !okLow || !okHigh {
				continue
			}
			present |= 1 << r
			list[0], list[1] = append(list[0], s.n), append(list[1], mean)
			list[2], list[3] = append(list[2], mean-low), append(list[3], high-mean)
		}
		if dst = appendPresence(dst, present, l.rows()); present == 0 {
			continue
		}
		if l == Seconds {
			dst = appendPacked(dst, list[1])
			continue
		}
		for i := range list {
			dst = appendPacked(dst, list[i])
		}
	}
	return dst
}

// integer rounds a value that can be stored.
func integer(v float64) (int64, bool) {
	if math.IsNaN(v) || math.Abs(v) >= maxInteger {
		return 0, false
	}
	return int64(math.Round(v)), true
}

func appendPresence(dst []byte, present uint64, rows int) []byte {
	switch present {
	case 0:
		return append(dst, 0)
	case 1<<rows - 1:
		return append(dst, 1)
	}
	return binary.LittleEndian.AppendUint64(append(dst, 2), present)
}

// dataNumber returns the number of a block of data.
func dataNumber(p []byte) (int64, bool) {
	n, k := binary.Varint(p)
	// Years 1 to 9999: what a file's name can say.
	return n, k > 0 && n > -62135596800/60 && n < 253402300800/60
}

// parseData reads the payload of data into rows, which has rows*columns summaries.
// Values that are there already stay where the payload has none. wanted are the columns to
// read; nil: all. Of the others only the form is checked, and their values are zero.
func parseData(p []byte, l Level, columns []Column, wanted []bool, rows []summary) error {
	if columns == nil {
		return errNoHead
	}
	d := decoder{p: p}
	d.varint()
	var list [4][64]int64
	for c, col := range columns {
		present := d.presence(l.rows())
		n := bits.OnesCount64(present)
		if n == 0 {
			continue
		}
		skip := wanted != nil && !wanted[c]
		for i := range list {
			switch {
			case l == Seconds && i != 1:
			case skip:
				d.pass(n)
			default:
				d.packed(list[i][:n])
			}
		}
		if d.bad {
			break
		}
		scale, i := math.Pow10(col.Digits), 0
		for r := range l.rows() {
			if present&(1<<r) == 0 {
				continue
			}
			if skip {
				rows[r*len(columns)+c] = summary{n: 1}
				continue
			}
			mean := list[1][i]
			s := summary{n: 1, mean: float64(mean) / scale}
			s.low, s.high = s.mean, s.mean
			if l != Seconds {
				s.n = list[0][i]
				below, above := list[2][i], list[3][i]
				if s.n <= 0 || s.n > l.Step() || below < 0 || above < 0 {
					return errPayload
				}
				s.low, s.high = float64(mean-below)/scale, float64(mean+above)/scale
			}
			rows[r*len(columns)+c] = s
			i++
		}
	}
	if d.bad || len(d.p) > 0 {
		return errPayload
	}
	return nil
}

// differences is the bit of a packed list's width that says that it has differences.
const differences = 0x80

// appendPacked appends a packed list of at least one integer, in the shorter of its
// two forms.
func appendPacked(dst []byte, list []int64) []byte {
	low, width := frame(list)
	var buf [64]int64
	diff := buf[:len(list)-1]
	for i := range diff {
		diff[i] = list[i+1] - list[i]
	}
	dlow, dwidth := frame(diff)
	if dwidth*len(diff)+16 < width*len(list) { // 16: the first integer
		dst = append(dst, byte(dwidth)|differences)
		dst = binary.AppendVarint(dst, list[0])
		dst = binary.AppendVarint(dst, dlow)
		return appendBits(dst, diff, dlow, dwidth)
	}
	dst = append(dst, byte(width))
	dst = binary.AppendVarint(dst, low)
	return appendBits(dst, list, low, width)
}

// frame returns the lowest integer, and how many bits the others need above it.
func frame(list []int64) (low int64, width int) {
	if len(list) == 0 {
		return 0, 0
	}
	low, high := list[0], list[0]
	for _, v := range list {
		low, high = min(low, v), max(high, v)
	}
	return low, bits.Len64(uint64(high) - uint64(low))
}

func appendBits(dst []byte, list []int64, low int64, width int) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, (width*len(list)+7)/8)...)
	for i, v := range list {
		u := uint64(v) - uint64(low)
		for b, pos := 0, i*width; b < width; {
			k := min(8-(pos+b)%8, width-b)
			dst[at+(pos+b)/8] |= byte(u>>b&(1<<k-1)) << ((pos + b) % 8)
			b += k
		}
	}
	return dst
}

// decoder reads a payload. Once it is bad it returns zeros.
type decoder struct {
	p   []byte
	bad bool
}

func (d *decoder) octets(n int) []byte {
	if d.bad || n > len(d.p) {
		d.bad = true
		return nil
	}
	b := d.p[:n]
	d.p = d.p[n:]
	return b
}

func (d *decoder) octet() byte {
	if b := d.octets(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.p)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.p)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.p = d.p[n:]
	return v
}

// presence reads which of the rows have a value.
func (d *decoder) presence(rows int) uint64 {
	switch d.octet() {
	case 0:
		return 0
	case 1:
		return 1<<rows - 1
	case 2:
		if b := d.octets(8); b != nil {
			if v := binary.LittleEndian.Uint64(b); v < 1<<rows {
				return v
			}
		}
	}
	d.bad = true
	return 0
}

// list reads a packed list of n integers as far as their bits. first is that of a list of
// differences, which has n-1 bits.
func (d *decoder) list(n int) (first int64, isDiff bool, low int64, width int, b []byte) {
	width = int(d.octet())
	if isDiff = width&differences != 0; isDiff {
		width &^= differences
		first = d.varint()
		n--
	}
	low = d.varint()
	if width > 64 {
		d.bad = true
	}
	return first, isDiff, low, width, d.octets((width*n + 7) / 8)
}

// pass passes over a packed list of n integers.
func (d *decoder) pass(n int) { d.list(n) }

// packed reads a packed list.
func (d *decoder) packed(list []int64) {
	first, isDiff, low, width, b := d.list(len(list))
	if d.bad {
		return
	}
	rest := list
	if isDiff {
		list[0], rest = first, list[1:]
	}
	for i := range rest {
		var u uint64
		for got, pos := 0, i*width; got < width; {
			k := min(8-(pos+got)%8, width-got)
			u |= uint64(b[(pos+got)/8]>>((pos+got)%8)&(1<<k-1)) << got
			got += k
		}
		rest[i] = int64(u + uint64(low))
	}
	if isDiff {
		for i := range rest {
			rest[i] += list[i]
		}
	}
}
