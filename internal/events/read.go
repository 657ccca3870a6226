package events

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// Query says which events to read. The zero value is for all of them.
type Query struct {
	From, To time.Time // [From, To); zero: without a limit
	Kinds    []Kind    // nil: all
	Limit    int       // the latest that many; 0: MaxEvents
}

// ParseKinds reads a list of kinds with commas between them, such as "step,holdover". An
// empty list is nil: all kinds.
func ParseKinds(list string) (kinds []Kind, err error) {
	for name := range strings.SplitSeq(list, ",") {
		switch kind := Kind(name); {
		case name == "":
		case !slices.Contains(Kinds(), kind):
			return nil, fmt.Errorf("%q is no kind of event; want some of %q", name, Kinds())
		default:
			kinds = append(kinds, kind)
		}
	}
	return kinds, nil
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
		last := latest{limit: limit - len(found)}
		bad, err := readFile(filepath.Join(dir, name), func(e *Event) {
			if q.wants(e) {
				last.add(e)
			}
		})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, skipped, err
		}
		skipped += bad
		found = append(last.events(), found...)
	}
	return found, skipped, nil
}

// readFile reads the events of a file.
func readFile(path string, each func(*Event)) (skipped int, err error) {
	f, _, err := durable.OpenLimited(path, 2*maxSize)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	_, skipped, err = parse(io.LimitReader(f, 2*maxSize), each)
	return skipped, err
}

// latest keeps the events that were added last.
type latest struct {
	limit int // at least 1: so many are kept
	list  []Event
	first int // of list: the oldest, once there are so many
}

func (l *latest) add(e *Event) {
	if len(l.list) < l.limit {
		l.list = append(l.list, *e)
		return
	}
	l.list[l.first] = *e
	l.first = (l.first + 1) % l.limit
}

// events returns them, the oldest first.
func (l *latest) events() []Event {
	if l.first == 0 {
		return l.list
	}
	return slices.Concat(l.list[l.first:], l.list[:l.first])
}

func (q *Query) wants(e *Event) bool {
	return (q.From.IsZero() || !e.Time.Before(q.From)) && (q.To.IsZero() || e.Time.Before(q.To)) && (q.Kinds == nil || slices.Contains(q.Kinds, e.Kind))
}

// parse reads whole lines, one at a time: a file has megabytes. whole is how many octets they have: a
// last line without an end is not counted.
func parse(src io.Reader, each func(*Event)) (whole int64, skipped int, err error) {
	var e Event
	for b := bufio.NewReaderSize(src, maxLine+1); ; {
		line, err := b.ReadSlice('\n')
		long, octets := false, len(line)
		for errors.Is(err, bufio.ErrBufferFull) {
			long = true
			line, err = b.ReadSlice('\n')
			octets += len(line)
		}
		if errors.Is(err, io.EOF) {
			return whole, skipped, nil
		}
		if err != nil {
			return whole, skipped, err
		}
		whole += int64(octets)
		e = Event{}
		switch line = line[:len(line)-1]; {
		case len(line) == 0 && !long:
		case long, json.Unmarshal(line, &e) != nil, e.Kind == "", e.Time.IsZero():
			skipped++
		default:
			each(&e)
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
	var found []Event
	whole, _, err := parse(io.NewSectionReader(f, t.at, 2*maxSize), func(e *Event) { found = append(found, *e) })
	if err != nil {
		return nil, err
	}
	t.at += whole
	return found, nil
}
