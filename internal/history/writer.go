package history

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"noonmark/internal/durable"
)

// DefaultMaxSize is the space of a history, octets: 30 days of seconds and two years
// of minutes of refclockd's columns take less.
const DefaultMaxSize = 300 << 20

// Batch collects the values of a minute. It touches no disc.
type Batch struct {
	columns []Column
	minute  int64
	rows    []summary
	any     bool
}

// Minute is a minute that is ready to be written.
type Minute struct {
	number  int64
	payload []byte
}

// NewBatch returns an empty batch.
func NewBatch(columns []Column) (*Batch, error) {
	if err := checkColumns(columns); err != nil {
		return nil, err
	}
	return &Batch{columns: columns, rows: make([]summary, len(columns)*Seconds.rows())}, nil
}

// Add takes the values of a second, POSIX time, in the order of the columns; NaN and
// infinite values are missing. A second that is given twice, as a leap second is,
// keeps the later values. Add returns the minute before, once the second belongs to
// another; else nil.
func (b *Batch) Add(unix int64, values []float64) *Minute {
	var done *Minute
	if m := floorDiv(unix, 60); m != b.minute {
		done = b.Close()
		b.minute = m
	}
	row := b.rows[(unix-b.minute*60)*int64(len(b.columns)):][:len(b.columns)]
	for i := range row {
		if v := values[i]; math.IsInf(v, 0) {
			row[i] = summary{}
		} else {
			row[i] = single(v)
			b.any = b.any || row[i].n > 0
		}
	}
	return done
}

// Close returns the minute so far, nil if it is empty, and begins anew.
func (b *Batch) Close() *Minute {
	if !b.any {
		return nil
	}
	m := &Minute{b.minute, appendData(nil, Seconds, b.minute, b.columns, b.rows)}
	clear(b.rows)
	b.any = false
	return m
}

// Options describe a Writer.
type Options struct {
	Dir     string // made if it is missing
	Columns []Column
	MaxSize int64 // octets of all files together; 0: DefaultMaxSize
	// Days is how many days of seconds are kept; 0: 30. Files of other levels are
	// not affected.
	Days int
}

// Writer writes minutes into the files of a directory, sums them up, and removes old
// files. It is for one goroutine; there is one for a directory.
type Writer struct {
	opt  Options
	file *os.File // of seconds; nil: none is open
	name string   // of it
	head bool     // its columns are to be written
	sync func(*os.File) error

	begun bool
	hour  int64   // of the last minute
	hours []int64 // that are to be summed up
	days  []int64 // likewise
}

// NewWriter returns a Writer. Nothing is read or written yet.
func NewWriter(opt Options) (*Writer, error) {
	if err := checkColumns(opt.Columns); err != nil {
		return nil, err
	}
	if opt.MaxSize == 0 {
		opt.MaxSize = DefaultMaxSize
	}
	return &Writer{opt: opt, sync: syncData}, nil
}

// Append writes a minute, which is on the disc when Append returns. If written is
// false the minute can be given again. An error besides is one of summing up, which
// the next call repeats.
func (w *Writer) Append(m *Minute) (written bool, err error) {
	if err := os.MkdirAll(w.opt.Dir, 0o755); err != nil {
		return false, err
	}
	w.plan(m)
	if err := w.write(m); err != nil {
		return false, fmt.Errorf("write history: %w", err)
	}
	if err := w.sumUp(); err != nil {
		return true, fmt.Errorf("sum up history: %w", err)
	}
	return true, nil
}

// Close closes the open file.
func (w *Writer) Close() error {
	if w.file == nil {
		return nil
	}
	f := w.file
	w.file = nil
	return f.Close()
}

// plan notes which hours and days have ended with a minute.
func (w *Writer) plan(m *Minute) {
	hour := floorDiv(m.number, 60)
	switch {
	case !w.begun:
		w.begun = true
		w.left(hour)
	case hour != w.hour:
		w.hours = append(w.hours, w.hour)
		if day := floorDiv(w.hour, 24); day != floorDiv(hour, 24) {
			w.days = append(w.days, day)
		}
	}
	w.hour = hour
}

// left notes what an earlier writer did not sum up.
func (w *Writer) left(hour int64) {
	w.hours = w.leftOf(Seconds, Minutes, 60, hour)
	w.days = w.leftOf(Minutes, Hours, 24, floorDiv(hour, 24))
	for _, h := range w.hours {
		if day := floorDiv(h, 24); day != floorDiv(hour, 24) && !slices.Contains(w.days, day) {
			w.days = append(w.days, day)
		}
	}
}

// leftOf returns the numbers of the blocks of a coarse level that the finer one has
// rows for, but which are missing, except for the present one. rows is how many fine
// blocks a coarse one sums up.
func (w *Writer) leftOf(fine, coarse Level, rows, present int64) []int64 {
	last := int64(math.MinInt64)
	files, err := listFiles(w.opt.Dir, coarse)
	if err != nil {
		return nil // the directory is new
	}
	for i := len(files) - 1; i >= 0 && last == math.MinInt64; i-- {
		if numbers := numbersOf(w.opt.Dir, coarse, files[i].name); len(numbers) > 0 {
			last = numbers[len(numbers)-1]
		}
	}
	if files, err = listFiles(w.opt.Dir, fine); err != nil {
		return nil
	}
	var left []int64
	for _, info := range files {
		if last > math.MinInt64 && fine.next(info.begins) <= last*levels[coarse].span {
			continue
		}
		for _, n := range numbersOf(w.opt.Dir, fine, info.name) {
			if c := floorDiv(n, rows); c > last && c != present && (len(left) == 0 || left[len(left)-1] != c) {
				left = append(left, c)
			}
		}
	}
	return left
}

// numbersOf returns the numbers of the blocks of a file, rising; none if it cannot be read.
func numbersOf(dir string, l Level, name string) []int64 {
	f, err := openBeginning(dir, l, name, maxFile, always)
	if err != nil {
		return nil
	}
	defer f.close()
	return f.numbers
}

// write appends a minute to the file of its day.
func (w *Writer) write(m *Minute) error {
	if name := Seconds.name(m.number * 60); w.file == nil || w.name != name {
		if err := w.open(name); err != nil {
			return err
		}
	}
	var b []byte
	if w.head {
		b = appendBlock(nil, kindColumns, appendColumns(nil, Seconds, w.opt.Columns))
	}
	b = appendBlock(b, kindData, m.payload)
	if err := appendWhole(w.file, b, w.sync); err != nil {
		return errors.Join(err, w.Close())
	}
	w.head = false
	return nil
}

// open opens the file of a day for appending. Its columns are written anew.
func (w *Writer) open(name string) error {
	if err := w.Close(); err != nil {
		return err
	}
	f, err := openAppend(filepath.Join(w.opt.Dir, name))
	if err != nil {
		return err
	}
	w.file, w.name, w.head = f, name, true
	return nil
}

// openAppend opens a file for appending, and makes it if it is missing.
func openAppend(path string) (*os.File, error) {
	_, err := os.Lstat(path)
	isNew := errors.Is(err, fs.ErrNotExist)
	if fi, err := os.Stat(path); err == nil { // to open a named pipe would wait for a reader
		if err := durable.CheckRegular(fi.Mode()); err != nil {
			return nil, fmt.Errorf("open %s: %w", path, err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	if fi, err := f.Stat(); err != nil || durable.CheckRegular(fi.Mode()) != nil {
		return nil, errors.Join(err, durable.CheckRegular(fi.Mode()), f.Close())
	}
	if isNew {
		if err := durable.SyncDir(filepath.Dir(path)); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return f, nil
}

// appendWhole appends to a file, whole or not at all as far as that is possible.
func appendWhole(f *os.File, b []byte, sync func(*os.File) error) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = sync(f)
	}
	if err != nil {
		f.Truncate(fi.Size()) // if that fails too, readers skip what is torn
	}
	return err
}

// sumUp makes the minutes of hours that have ended, and the hours of days, and
// removes old files.
func (w *Writer) sumUp() error {
	if len(w.hours)+len(w.days) == 0 {
		return nil
	}
	for len(w.hours) > 0 {
		if err := w.sum(Seconds, Minutes, w.hours[0]); err != nil {
			return err
		}
		w.hours = w.hours[1:]
	}
	for len(w.days) > 0 {
		if err := w.sum(Minutes, Hours, w.days[0]); err != nil {
			return err
		}
		w.days = w.days[1:]
	}
	return w.shrink()
}

// sum makes the block of a coarse level from the blocks of the finer one.
func (w *Writer) sum(fine, coarse Level, number int64) error {
	first := number * levels[coarse].span
	f, err := openBeginning(w.opt.Dir, fine, fine.name(first), maxFile, period{first, first + levels[coarse].span})
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed to keep the size
	}
	if err != nil {
		return err
	}
	defer f.close()
	out := rows{columns: w.opt.Columns}
	out.list = make([]summary, len(out.columns)*coarse.rows())
	any := false
	for i := range coarse.rows() {
		row := out.row(i)
		// A block of the finer level is a row of the coarse one.
		f.read(first/levels[fine].span+int64(i), func(r *rows) {
			for c, col := range r.columns {
				to := slices.IndexFunc(out.columns, func(x Column) bool { return x.Name == col.Name })
				if to < 0 {
					continue // of a witness that is not configured any more
				}
				for k := range fine.rows() {
					row[to].add(r.row(k)[c])
				}
				any = any || row[to].n > 0
			}
		})
	}
	if !any {
		return nil
	}
	b := appendBlock(nil, kindColumns, appendColumns(nil, coarse, out.columns))
	b = appendBlock(b, kindData, appendData(nil, coarse, number, out.columns, out.list))
	file, err := openAppend(filepath.Join(w.opt.Dir, coarse.name(first)))
	if err != nil {
		return err
	}
	return errors.Join(appendWhole(file, b, w.sync), file.Close())
}

// shrink removes files: those that are too many, then the oldest seconds, then the
// oldest minutes, until the rest fits. It counts files and not days, because a clock
// that was once wrong by years must not cost what was recorded.
func (w *Writer) shrink() error {
	var total int64
	var files [numLevels][]fileInfo
	for l := range numLevels {
		all, err := listFiles(w.opt.Dir, l)
		if err != nil {
			return err
		}
		keep := levels[l].keep
		if l == Seconds && w.opt.Days > 0 {
			keep = w.opt.Days + 1
		}
		for keep > 0 && len(all) > keep {
			if err := w.remove(all[0].name); err != nil {
				return err
			}
			all = all[1:]
		}
		for _, f := range all {
			total += f.size
		}
		files[l] = all
	}
	for _, l := range [...]Level{Seconds, Minutes} {
		for all := files[l]; len(all) > 1 && total > w.opt.MaxSize; all = all[1:] {
			if err := w.remove(all[0].name); err != nil {
				return err
			}
			total -= all[0].size
		}
	}
	return nil
}

func (w *Writer) remove(name string) error {
	if err := os.Remove(filepath.Join(w.opt.Dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
