package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
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

// nextBlock returns the first whole block at or behind an offset: its kind, its
// payload, and the offset behind it. skipped is how many octets before it belong to
// no whole block. Without a block, kind is 0.
func nextBlock(data []byte, at int) (kind byte, payload []byte, next, skipped int) {
	for from := at; ; {
		i := bytes.Index(data[from:], []byte(marker))
		if i < 0 || len(data)-from-i < headLen {
			return 0, nil, len(data), len(data) - at
		}
		from += i
		head := data[from+len(marker) : from+headLen]
		n := binary.LittleEndian.Uint32(head[1:])
		if end := from + headLen + int(n); n <= maxPayload && end <= len(data) {
			p := data[from+headLen : end]
			if crc32.Update(crc32.Checksum(head[:5], castagnoli), castagnoli, p) == binary.LittleEndian.Uint32(head[5:]) {
				return head[0], p, end, from - at
			}
		}
		from++
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
// Values that are there already stay where the payload has none.
func parseData(p []byte, l Level, columns []Column, rows []summary) error {
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
		if l == Seconds {
			d.packed(list[1][:n])
		} else {
			for i := range list {
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

// packed reads a packed list.
func (d *decoder) packed(list []int64) {
	width := int(d.octet())
	rest := list
	if width&differences != 0 {
		width &^= differences
		list[0], rest = d.varint(), list[1:]
	}
	low := d.varint()
	if width > 64 {
		d.bad = true
	}
	b := d.octets((width*len(rest) + 7) / 8)
	if d.bad {
		return
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
	if len(rest) < len(list) {
		for i := range rest {
			rest[i] += list[i]
		}
	}
}
