package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Extract writes the end of the last run of the recording at path as one file. last
// is how much of it; 0: all. Without names it shows neither positions nor names
// (docs/recording.md).
func Extract(w io.Writer, path string, last time.Duration, withNames bool) error {
	run, end, err := lastRun(path)
	if err != nil {
		return err
	}
	records, err := tail(path, run, end, last)
	if err != nil {
		return err
	}
	if !withNames {
		if err := anonymise(records); err != nil {
			return err
		}
	}
	return save(w, records)
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

// lastRun returns the name of the last run and its last instant.
func lastRun(path string) (run string, end int64, err error) {
	err = readEach(path, func(r Record) {
		switch r := r.(type) {
		case *Header:
			run = r.Run
		case *State:
			end = r.Mono
		case *Step:
			end = r.Mono
		}
	})
	if err == nil && run == "" {
		err = fmt.Errorf("%s: %w", path, ErrFormat)
	}
	return run, end, err
}

// readEach reads a recording to its end.
func readEach(path string, f func(Record)) error {
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
		if err != nil {
			return err
		}
		f(rec)
	}
}

// tail returns the records of a run from the frame on that begins so long before the
// end, behind its Header.
func tail(path, run string, end int64, last time.Duration) (records []Record, err error) {
	ours, begun := false, false
	err = readEach(path, func(r Record) {
		if h, ok := r.(*Header); ok {
			if ours = h.Run == run; ours && len(records) == 0 {
				records = append(records, h)
			}
			return
		}
		if s, ok := r.(*State); ok && ours && (last == 0 || s.Mono >= end-int64(last)) {
			begun = true
		}
		if ours && begun {
			records = append(records, r)
		}
	})
	return records, err
}

// save writes records, of which the first is a Header, as a file. Frames begin with a
// State, as they did.
func save(w io.Writer, records []Record) error {
	if len(records) == 0 {
		return ErrFormat
	}
	out := bufio.NewWriter(w)
	var z compressor
	var e encoder
	number := uint64(0)
	b, err := z.append([]byte(magic), headFrame(*records[0].(*Header)))
	flush := func() {
		if len(e.b) > 0 && err == nil {
			b, err = z.append(b, frame{number, e.b})
			number++
		}
		out.Write(b)
		b, e = b[:0], encoder{}
	}
	for _, r := range records[1:] {
		switch r.(type) {
		case *State:
			flush()
		case *Gap:
			flush()
			number++
			continue
		}
		e.record(r)
	}
	flush()
	if err != nil {
		return err
	}
	return out.Flush()
}
