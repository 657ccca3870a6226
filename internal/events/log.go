package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"noonmark/internal/durable"
)

const (
	// fileName is the file that is written.
	fileName = "events.jsonl"
	// maxSize is the size from which a file is kept as an older one: some 15,000
	// events.
	maxSize = 4 << 20
	// older is the number of older files: what a flapping receiver writes in weeks
	// at the limited rate.
	older = 4
	// maxLine is more than an event takes, octets.
	maxLine = 16 << 10
	// maxText is how long a text of an event may be, octets.
	maxText = 1 << 10
	// burst events may come at once; beyond, one is written in every interval. What
	// flaps must neither wear the disc nor push out what matters.
	burst    = 60
	interval = 10 * time.Second
)

// olderName is the name of an older file, from 1.
func olderName(n int) string { return fmt.Sprintf("events.%d.jsonl", n) }

// Log appends events to the file of a directory. It is for one goroutine; there is
// one for a directory.
type Log struct {
	dir        string
	file       *os.File // nil: none is open
	size       int64
	sync       func(*os.File) error
	tokens     float64
	filled     time.Time // when tokens was brought up to date
	suppressed uint64
}

// NewLog returns a Log. Nothing is read or written yet.
func NewLog(dir string) *Log { return &Log{dir: dir, sync: (*os.File).Sync, tokens: burst} }

// Append writes an event, or suppresses it because there are too many; now is the
// present, by a clock that is not stepped. When Append returns, the event is on the
// disc.
func (l *Log) Append(e Event, now time.Time) error {
	if !l.filled.IsZero() {
		l.tokens = min(burst, l.tokens+float64(now.Sub(l.filled))/float64(interval))
	}
	l.filled = now
	if l.tokens < 1 {
		l.suppressed++
		return nil
	}
	e.Suppressed = l.suppressed
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	for _, s := range []*string{&e.Text, &e.Reason, &e.Name, &e.Detail, &e.Remedy} {
		*s = (*s)[:min(len(*s), maxText)]
	}
	b, err := json.Marshal(&e)
	if err != nil {
		return err
	}
	if err := l.write(append(b, '\n')); err != nil {
		return errors.Join(fmt.Errorf("write event: %w", err), l.Close())
	}
	l.tokens--
	l.suppressed = 0
	return nil
}

func (l *Log) write(line []byte) error {
	if l.file != nil && l.size+int64(len(line)) > maxSize {
		if err := errors.Join(l.Close(), l.rotate()); err != nil {
			return err
		}
	}
	if l.file == nil {
		if err := l.open(); err != nil {
			return err
		}
	}
	n, err := l.file.Write(line)
	if err != nil {
		if n > 0 {
			l.file.Truncate(l.size) // if that fails too, readers skip the half line
		}
		return err
	}
	l.size += int64(n)
	return l.sync(l.file)
}

// open opens the file for appending. A last line that was torn is ended.
func (l *Log) open() error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return err
	}
	path := filepath.Join(l.dir, fileName)
	_, serr := os.Lstat(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	fi, err := f.Stat()
	if err == nil {
		err = durable.CheckRegular(fi.Mode())
	}
	if err == nil && errors.Is(serr, fs.ErrNotExist) {
		err = durable.SyncDir(l.dir)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	l.file, l.size = f, fi.Size()
	last := []byte{'\n'}
	if l.size > 0 {
		if _, err := f.ReadAt(last, l.size-1); err != nil {
			return errors.Join(err, l.Close())
		}
	}
	if last[0] != '\n' {
		return l.write([]byte{'\n'})
	}
	return nil
}

// rotate makes the file an older one. The oldest is lost.
func (l *Log) rotate() error {
	for n := older; n >= 1; n-- {
		from := fileName
		if n > 1 {
			from = olderName(n - 1)
		}
		if err := os.Rename(filepath.Join(l.dir, from), filepath.Join(l.dir, olderName(n))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Close closes the file.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return f.Close()
}
