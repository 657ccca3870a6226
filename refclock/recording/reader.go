package recording

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"noonmark/internal/durable"
)

// Errors of a Reader.
var (
	// ErrFormat: the file is no recording.
	ErrFormat = errors.New("not a recording")
	// ErrVersion: the recording was made by a later version of the program.
	ErrVersion = errors.New("recording of a later version")
)

// Reader reads a recording: a file, or the directory of a daemon.
type Reader struct {
	paths  []string // still to be opened
	dir    bool     // of a directory
	file   *os.File // nil: none is open
	name   string
	frames frames
	dec    decoder

	run   string
	next  uint64 // number of the frame that is expected
	begun bool   // next is known
	mono  int64  // of the last State of the run; 0: none yet
	gap   bool   // a Gap is due
	lost  int64  // octets that were skipped
	cut   bool   // a segment ends within a frame
}

// Open opens the recording at path, a file or a directory. An error is one of the
// system or wraps ErrFormat.
func Open(path string) (*Reader, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return &Reader{paths: []string{path}}, nil
	}
	all, err := list(path)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w: it has no file whose name ends in %s", path, ErrFormat, suffix)
	}
	r := &Reader{dir: true}
	for _, x := range all {
		r.paths = append(r.paths, x.path)
	}
	return r, nil
}

// Is reports whether path is a recording: a directory, or a file that begins as one.
func Is(path string) bool {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return true
	}
	f, _, err := durable.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

// Skipped returns how many octets were damaged so far.
func (r *Reader) Skipped() int64 { return r.lost }

// Cut reports whether a segment ended within a frame so far, as after a loss of
// power.
func (r *Reader) Cut() bool { return r.cut }

// Close ends reading.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	f := r.file
	r.file = nil
	return f.Close()
}

// Next returns the next record. Each segment gives a *Header, and each frame a
// *State. What is damaged or missing gives a *Gap. At the end the error is io.EOF;
// others are of the system, or wrap ErrFormat or ErrVersion.
func (r *Reader) Next() (Record, error) {
	for {
		if r.gap {
			r.gap = false
			return &Gap{}, nil
		}
		rec, err := r.dec.next()
		switch {
		case err != nil:
			r.dec = decoder{}
			r.gap = r.begun
			continue
		case rec == nil:
			if err := r.frame(); err != nil {
				if err == io.EOF && !r.begun && r.run == "" {
					err = fmt.Errorf("%s: %w", r.name, ErrFormat)
				}
				return nil, err
			}
			continue
		}
		if h, ok := rec.(*Header); ok {
			if h.Version > FormatVersion {
				return nil, fmt.Errorf("%s: %w: format %d, and this program knows %d", r.name, ErrVersion, h.Version, FormatVersion)
			}
			if h.Run != r.run {
				r.run, r.begun, r.gap, r.mono = h.Run, false, false, 0
			}
		}
		if s, ok := rec.(*State); ok {
			if r.mono != 0 && (s.Mono < r.mono-withinFrame || s.Mono > r.mono+betweenFrames) {
				r.dec, r.gap = decoder{}, true
				continue
			}
			r.mono = s.Mono
		}
		return rec, nil
	}
}

// frame goes on to the next frame.
func (r *Reader) frame() error {
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
	}
	f, skipped, err := r.frames.next()
	r.lost += r.frames.lost
	r.frames.lost = 0
	r.gap = r.gap || skipped && r.begun
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errCut):
		r.cut = r.cut || errors.Is(err, errCut)
		return r.Close()
	case err != nil:
		return err
	}
	r.dec = decoder{b: f.content}
	if f.number == noNumber {
		return nil
	}
	if r.begun && f.number != r.next {
		r.gap = true
	}
	r.next, r.begun = f.number+1, true
	return nil
}

// open opens the next segment.
func (r *Reader) open() error {
	if len(r.paths) == 0 {
		return io.EOF
	}
	f, _, err := durable.Open(r.paths[0])
	if r.dir && errors.Is(err, fs.ErrNotExist) { // the daemon has made room meanwhile
		r.paths, r.gap = r.paths[1:], r.begun
		return r.open()
	}
	if err != nil {
		return err
	}
	r.name, r.paths = r.paths[0], r.paths[1:]
	in := bufio.NewReader(f)
	if b, err := in.Peek(len(magic)); string(b) == magic {
		in.Discard(len(magic))
	} else if err != nil && !errors.Is(err, io.EOF) {
		return errors.Join(err, f.Close())
	}
	r.file, r.frames = f, frames{r: in}
	return nil
}
