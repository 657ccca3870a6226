package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"noonmark/internal/durable"
)

// Query says which events to read. The zero value is for all of them.
type Query struct {
	From, To time.Time // [From, To); zero: without a limit
	Kinds    []Kind    // nil: all
	Limit    int       // the latest that many; 0: MaxEvents
}

// MaxEvents is the most of Query.Limit.
const MaxEvents = 20_000

// Read returns the events of a directory, in the order in which they were written.
// skipped is how many lines were no events. A directory or files that do not exist
// have no events.
func Read(dir string, q Query) (found []Event, skipped int, err error) {
	limit := MaxEvents
	if q.Limit > 0 {
		limit = min(limit, q.Limit)
	}
	for n := 0; n <= older && len(found) < limit; n++ {
		name := fileName
		if n > 0 {
			name = olderName(n)
		}
		b, _, err := durable.ReadFile(filepath.Join(dir, name), 2*maxSize)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, skipped, err
		}
		events, _, bad := parse(b)
		skipped += bad
		events = slices.DeleteFunc(events, func(e Event) bool { return !q.wants(&e) })
		found = append(events, found...)
	}
	return found[max(0, len(found)-limit):], skipped, nil
}

func (q *Query) wants(e *Event) bool {
	return (q.From.IsZero() || !e.Time.Before(q.From)) && (q.To.IsZero() || e.Time.Before(q.To)) && (q.Kinds == nil || slices.Contains(q.Kinds, e.Kind))
}

// parse reads whole lines. rest is the length of a last line without an end.
func parse(b []byte) (found []Event, rest, skipped int) {
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return found, len(b), skipped
		}
		line := b[:i]
		b = b[i+1:]
		var e Event
		switch {
		case len(line) == 0:
		case len(line) > maxLine, json.Unmarshal(line, &e) != nil, e.Kind == "", e.Time.IsZero():
			skipped++
		default:
			found = append(found, e)
		}
	}
}

// Tail returns events that are written from now on. It is for one goroutine.
type Tail struct {
	path string
	file fs.FileInfo // the file as it was read last; nil: none
	at   int64       // octets of it that were read
}

// NewTail returns a Tail of a directory. Next returns what is written after this
// call.
func NewTail(dir string) *Tail {
	t := &Tail{path: filepath.Join(dir, fileName)}
	if fi, err := os.Stat(t.path); err == nil {
		t.file, t.at = fi, fi.Size()
	}
	return t
}

// Next returns the events since the last call, at once: none if there are none. It
// costs a look at the file if nothing was written, so it may be called often.
func (t *Tail) Next() ([]Event, error) {
	fi, err := os.Stat(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []Event
	if t.file != nil && !os.SameFile(fi, t.file) { // the file has become an older one
		if rest, err := t.read(filepath.Join(filepath.Dir(t.path), olderName(1)), t.file); err == nil {
			found = rest
		}
		t.at = 0
	}
	if fi.Size() < t.at {
		t.at = 0 // somebody emptied it
	}
	t.file = fi
	if fi.Size() == t.at {
		return found, nil
	}
	more, err := t.read(t.path, fi)
	return append(found, more...), err
}

// read reads on in a file, if it is the one that is meant.
func (t *Tail) read(path string, want fs.FileInfo) ([]Event, error) {
	f, fi, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !os.SameFile(fi, want) {
		return nil, nil
	}
	b, err := io.ReadAll(io.LimitReader(io.NewSectionReader(f, t.at, 2*maxSize), 2*maxSize))
	if err != nil {
		return nil, err
	}
	found, rest, _ := parse(b)
	t.at += int64(len(b) - rest)
	return found, nil
}
