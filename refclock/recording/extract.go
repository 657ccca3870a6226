package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"time"
)

// Extract writes the end of the recording at path as one file. last is how much of it,
// over as many runs as that takes; 0: the whole last run. Without names it shows neither
// positions nor names (docs/recording.md). It needs little memory, however long the
// recording is.
func Extract(w io.Writer, path string, last time.Duration, withNames bool) error {
	var a *anonymiser
	if !withNames {
		a = newAnonymiser()
	}
	runs, err := survey(path, a)
	if err != nil {
		return err
	}
	out := &saver{w: bufio.NewWriter(w)}
	take := out.add
	if a != nil {
		a.emit = out.add
		take = a.add
	}
	from := begins(runs, last)
	if len(from) == 0 {
		return fmt.Errorf("%s: %w: nothing is recorded yet", path, ErrFormat)
	}
	name, begun := "", false
	err = readEach(path, func(r Record) error {
		switch r := r.(type) {
		case *Header:
			if r.Run == name {
				return nil // of another segment
			}
			name, begun = r.Run, false
			if _, ours := from[name]; !ours {
				name = ""
				return nil
			}
			return take(r)
		case *State:
			begun = begun || name != "" && r.Mono >= from[name]
		}
		if !begun {
			return nil
		}
		return take(r)
	})
	if err == nil && a != nil {
		err = a.end()
	}
	if err != nil {
		return err
	}
	return out.end()
}

// ExtractFile is Extract into a new file, which only its owner can read. If it fails, there is
// no file; one that is there already is kept, and the error is fs.ErrExist.
func ExtractFile(name, path string, last time.Duration, withNames bool) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = errors.Join(Extract(f, path, last, withNames), f.Close())
	if err != nil {
		return errors.Join(err, os.Remove(name))
	}
	return nil
}

// run is one run of a recording.
type run struct {
	name       string
	begin, end int64 // mono
}

// survey returns the runs of a recording, the oldest first. a learns the first position; nil:
// nobody does.
func survey(path string, a *anonymiser) (runs []run, err error) {
	seen := func(mono int64) {
		if k := len(runs); k > 0 {
			x := &runs[k-1]
			x.begin, x.end = min(x.begin, mono), max(x.end, mono)
		}
	}
	err = readEach(path, func(r Record) error {
		switch r := r.(type) {
		case *Header:
			if k := len(runs); k == 0 || runs[k-1].name != r.Run {
				runs = append(runs, run{r.Run, math.MaxInt64, math.MinInt64})
			}
		case *State:
			seen(r.Mono)
		case *Step:
			seen(r.Mono)
		case *Octets:
			if a != nil {
				a.learn(r.Data)
			}
		}
		return nil
	})
	if err == nil && len(runs) == 0 {
		err = fmt.Errorf("%s: %w", path, ErrFormat)
	}
	return runs, err
}

// begins returns from which instant on each run belongs to the last of a recording, by its
// name. Runs that do not are not in it.
func begins(runs []run, last time.Duration) map[string]int64 {
	from := map[string]int64{}
	for i := len(runs) - 1; i >= 0; i-- {
		r := &runs[i]
		if r.begin > r.end {
			continue // it has no frame
		}
		if last == 0 {
			from[r.name] = r.begin
			break
		}
		from[r.name] = r.end - int64(last)
		if last -= time.Duration(r.end - r.begin); last <= 0 {
			break
		}
	}
	return from
}

// readEach reads a recording to its end, or to the first error of f.
func readEach(path string, f func(Record) error) error {
	r, err := Open(path)
	if err != nil {
		return err
	}
	defer r.Close()
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = f(rec)
		}
		if err != nil {
			return err
		}
	}
}

// saver writes records, of which the first is a Header, as a file. Frames begin with a
// State, as they did.
type saver struct {
	w      *bufio.Writer
	z      compressor
	e      encoder
	b      []byte
	number uint64
	begun  bool
}

func (s *saver) add(r Record) error {
	switch r := r.(type) {
	case *Header:
		if err := s.flush(); err != nil {
			return err
		}
		if !s.begun {
			s.begun = true
			s.w.WriteString(magic) // an error shows at the end
		}
		s.number = 0
		return s.frame(headFrame(*r))
	case *State:
		if err := s.flush(); err != nil {
			return err
		}
	case *Gap:
		err := s.flush()
		s.number++
		return err
	}
	s.e.record(r)
	return nil
}

// flush ends the frame.
func (s *saver) flush() error {
	if len(s.e.b) == 0 {
		return nil
	}
	f := frame{s.number, s.e.b}
	s.number++
	s.e = encoder{}
	return s.frame(f)
}

func (s *saver) frame(f frame) (err error) {
	if s.b, err = s.z.append(s.b[:0], f); err != nil {
		return err
	}
	_, err = s.w.Write(s.b)
	return err
}

func (s *saver) end() error {
	if err := s.flush(); err != nil {
		return err
	}
	return s.w.Flush()
}
