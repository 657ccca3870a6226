package history

import (
	"errors"
	"fmt"
	"io/fs"
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

// block is the place of a block of data.
type block struct {
	payload []byte
	columns []Column
}

// levelFile is the content of a file.
type levelFile struct {
	level   Level
	name    string
	numbers []int64           // of the blocks, rising
	blocks  map[int64][]block // by number, in the order in which they were written
	damage  []Damage
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

// loadFile reads a file of a level. A file that cannot be read at all is an error.
func loadFile(dir string, l Level, name string) (*levelFile, error) {
	return loadBeginning(dir, l, name, maxFile)
}

// loadBeginning reads the first octets of a file of a level.
func loadBeginning(dir string, l Level, name string, octets int64) (*levelFile, error) {
	data, _, err := durable.ReadFile(filepath.Join(dir, name), maxFile)
	if err != nil {
		return nil, err
	}
	return parseFile(l, name, data[:min(octets, int64(len(data)))]), nil
}

// parseFile finds the blocks in the content of a file.
func parseFile(l Level, name string, data []byte) *levelFile {
	f := &levelFile{level: l, name: name, blocks: map[int64][]block{}}
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
	for at := 0; at < len(data); {
		kind, payload, next, skipped := nextBlock(data, at)
		at = next
		if kind == 0 {
			break // what is behind the last whole block is being written, or was torn
		}
		if skipped > 0 {
			refused(skipped, errChecksum)
		}
		var err error
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
			} else {
				f.add(number, block{payload, columns})
			}
		default:
			err = fmt.Errorf("%w: kind %#x", errVersion, kind)
		}
		if err != nil {
			refused(headLen+len(payload), err)
		}
	}
	slices.Sort(f.numbers)
	return f
}

func (f *levelFile) add(number int64, b block) {
	if f.blocks[number] == nil {
		f.numbers = append(f.numbers, number)
	}
	f.blocks[number] = append(f.blocks[number], b)
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
	all := f.blocks[number]
	if f.level != Seconds && len(all) > 1 {
		all = all[len(all)-1:]
	}
	for i := 0; i < len(all); {
		r := rows{columns: all[i].columns}
		r.list = make([]summary, len(r.columns)*f.level.rows())
		good := false
		for first := i; i < len(all) && slices.Equal(all[i].columns, all[first].columns); i++ {
			was := slices.Clone(r.list)
			if err := parseData(all[i].payload, f.level, r.columns, r.list); err != nil {
				f.damage = append(f.damage, Damage{f.name, headLen + len(all[i].payload), err.Error()})
				copy(r.list, was)
				continue
			}
			good = true
		}
		if good {
			each(&r)
		}
	}
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
