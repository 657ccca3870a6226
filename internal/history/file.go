package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"noonmark/internal/durable"
)

const (
	// maxFile is more than a file has: a day of seconds with 64 columns of 9 octets.
	maxFile = 64 << 20
	// maxFiles is how many files of a level are looked at: 31 days, 25 months, and
	// centuries of years.
	maxFiles = 1000
)

// Damage is a part of a file that was not read. The rest was.
type Damage struct {
	File   string // name in the directory
	Octets int    // that were skipped; 0: not known
	Why    string
}

// String describes the damage.
func (d Damage) String() string {
	return fmt.Sprintf("damage in %s: %d octets skipped: %s", d.File, d.Octets, d.Why)
}

// block is the place of a block of data.
type block struct {
	number  int64
	at      int64 // of its head, in the file
	length  int   // with its head
	columns []Column
}

// levelFile is what is known of an open file: where its blocks are. The blocks themselves are
// read one at a time, because a day of seconds has megabytes.
type levelFile struct {
	level   Level
	name    string
	src     io.ReaderAt
	file    io.Closer
	blocks  []block // by number, and those of one number in the order in which they were written
	numbers []int64 // of the blocks, rising, each once
	damage  []Damage
	wants   func(column string) bool // nil: all columns are read
	bad     map[badBlock]bool        // blocks that are ignored; what is malformed is added. nil: nothing is added

	// Of the block that was read last: a day has 1440, so they are used again.
	octets    []byte
	list, was []summary
	columns   []Column
	wanted    []bool // of columns; nil: all
}

// fileInfo is a file of a level.
type fileInfo struct {
	name   string
	begins int64 // first second
	size   int64
}

// listFiles returns the files of a level, the oldest first.
func listFiles(dir string, l Level) ([]fileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []fileInfo
	for _, e := range entries {
		begins, ok := l.begins(e.Name())
		if !ok {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue // removed meanwhile
		}
		all = append(all, fileInfo{e.Name(), begins, info.Size()})
	}
	slices.SortFunc(all, func(a, b fileInfo) int { return int(min(max(a.begins-b.begins, -1), 1)) })
	return all[max(0, len(all)-maxFiles):], nil
}

// period is a range of time, POSIX time in s: [from, to).
type period struct{ from, to int64 }

// always is the period of all blocks.
var always = period{math.MinInt64, math.MaxInt64}

// openBeginning finds the blocks of a period in the first octets of a file of a level. The caller
// closes it.
func openBeginning(dir string, l Level, name string, octets int64, within period) (*levelFile, error) {
	file, _, err := durable.OpenLimited(filepath.Join(dir, name), maxFile)
	if err != nil {
		return nil, err
	}
	f, err := parseFile(l, name, io.NewSectionReader(file, 0, octets), within)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	f.file = file
	return f, nil
}

// close closes the file.
func (f *levelFile) close() { f.file.Close() } // it was only read

// parseFile finds the blocks of a period in a file.
func parseFile(l Level, name string, src *io.SectionReader, within period) (*levelFile, error) {
	f := &levelFile{level: l, name: name, src: src}
	refused := func(octets int, err error) {
		if n := len(f.damage); n > 0 && f.damage[n-1].Why == err.Error() {
			f.damage[n-1].Octets += octets
			return
		}
		f.damage = append(f.damage, Damage{name, octets, err.Error()})
	}
	begins, _ := l.begins(name)
	ends := l.next(begins)
	var columns []Column
	for r := (blockReader{src: src}); ; {
		kind, payload, at, skipped, err := r.next()
		if err != nil {
			return nil, err
		}
		if kind == 0 {
			break // what is behind the last whole block is being written, or was torn
		}
		if skipped > 0 {
			refused(skipped, errChecksum)
		}
		switch kind {
		case kindColumns:
			if columns, err = parseColumns(payload, l); err != nil {
				columns = nil
			}
		case kindData:
			number, ok := dataNumber(payload)
			if first := number * levels[l].span; !ok || first < begins || first >= ends {
				err = fmt.Errorf("%w: it belongs to another file", errPayload)
			} else if columns == nil {
				err = errNoHead
			} else if first < within.to && first+levels[l].span > within.from {
				f.blocks = append(f.blocks, block{number, at, headLen + len(payload), columns})
			}
		default:
			err = fmt.Errorf("%w: kind %#x", errVersion, kind)
		}
		if err != nil {
			refused(headLen+len(payload), err)
		}
	}
	slices.SortStableFunc(f.blocks, func(a, b block) int { return cmp.Compare(a.number, b.number) })
	for _, b := range f.blocks {
		if n := len(f.numbers); n == 0 || f.numbers[n-1] != b.number {
			f.numbers = append(f.numbers, b.number)
		}
	}
	return f, nil
}

// of returns the blocks of a number.
func (f *levelFile) of(number int64) []block {
	from, _ := slices.BinarySearchFunc(f.blocks, number, func(b block, n int64) int { return cmp.Compare(b.number, n) })
	to := from
	for to < len(f.blocks) && f.blocks[to].number == number {
		to++
	}
	return f.blocks[from:to]
}

// rows is a block's content.
type rows struct {
	columns []Column
	list    []summary // row by row
}

// row returns the values of a row, in the order of the columns.
func (r *rows) row(i int) []summary { return r.list[i*len(r.columns) : (i+1)*len(r.columns)] }

// empty reports whether a row has no value.
func (r *rows) empty(i int) bool {
	return !slices.ContainsFunc(r.row(i), func(s summary) bool { return s.n > 0 })
}

// read decodes the blocks of a number. Of minutes and hours the last one counts: it
// was made from all that is known. Of seconds each has a part, with columns of its
// own. each is called for each of them; what it gets is valid until it returns.
func (f *levelFile) read(number int64, each func(*rows)) {
	all := f.of(number)
	if f.level != Seconds && len(all) > 1 {
		all = all[len(all)-1:]
	}
	for i := 0; i < len(all); {
		n := len(all[i].columns) * f.level.rows()
		f.list = slices.Grow(f.list[:0], n)[:n]
		clear(f.list)
		r := rows{all[i].columns, f.list}
		f.choose(r.columns)
		good := false
		for first := i; i < len(all) && slices.Equal(all[i].columns, all[first].columns); i++ {
			place := badBlock{f.name, all[i].at}
			if f.bad[place] {
				continue
			}
			if good {
				f.was = append(f.was[:0], r.list...)
			}
			payload, err := f.payload(&all[i])
			if err == nil {
				err = parseData(payload, f.level, r.columns, f.wanted, r.list)
			}
			if err != nil {
				f.damage = append(f.damage, Damage{f.name, all[i].length, err.Error()})
				if clear(r.list); good {
					copy(r.list, f.was)
				}
				if f.bad != nil {
					f.bad[place] = true
				}
				continue
			}
			good = true
		}
		if good {
			each(&r)
		}
	}
}

// choose notes which of the columns of a block are read.
func (f *levelFile) choose(columns []Column) {
	if f.wants == nil || len(f.columns) == len(columns) && &f.columns[0] == &columns[0] {
		return
	}
	f.columns, f.wanted = columns, f.wanted[:0]
	for _, c := range columns {
		f.wanted = append(f.wanted, f.wants(c.Name))
	}
}

// payload reads the payload of a block again. It is valid until the next call.
func (f *levelFile) payload(b *block) ([]byte, error) {
	f.octets = slices.Grow(f.octets[:0], b.length)[:b.length]
	if _, err := f.src.ReadAt(f.octets, b.at); err != nil {
		return nil, err
	}
	if blockHead(f.octets) == b.length {
		if _, payload, ok := openBlock(f.octets); ok {
			if n, _ := dataNumber(payload); n == b.number {
				return payload, nil
			}
		}
	}
	return nil, errChecksum // the file was changed meanwhile
}

// whyUnreadable describes an error of a file for Damage. A file that is not there
// any more is none.
func whyUnreadable(name string, err error) []Damage {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	return []Damage{{File: name, Why: err.Error()}}
}
