// Package config reads the daemons' TOML files strictly. Every error has the form
//
//	FILE:LINE: KEY: what is wrong; what would be right
//
// whether it concerns the file's syntax, an unknown key, a value of the wrong
// type, or (through File.Errorf) a value that the daemon cannot use.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"noonmark/internal/durable"
	"noonmark/internal/nearest"
)

// MaxSize is the largest file that is read, in bytes. A daemon's file has a
// few kB; the parser recurses on nested arrays, so the limit bounds its stack.
const MaxSize = 64 << 10

// File is a parsed file: which keys it sets, on which lines. It makes errors
// about their values.
type File struct {
	Path string
	line map[string]int // dotted key, array tables as "endpoint[1]", to its first line
}

// Load reads the file at path into dst, a pointer to a struct that already
// holds the defaults. The error is one *Error, or several joined, and wraps the
// system's error (fs.ErrNotExist, fs.ErrPermission) if there was one. A File beside
// an error means that dst has all values but those in error: a caller can check
// those too, and report everything at once. Without a File dst must not be used.
func Load(path string, dst any) (*File, error) {
	f, _, err := durable.Open(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fileError(path, err)
	}
	return Parse(path, data, dst)
}

func fileError(path string, err error) error {
	e := &Error{File: path, Problem: err.Error(), Err: err}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		e.Problem = "cannot be read: " + pe.Err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Remedy = "create it, or name another with -config FILE"
	case errors.Is(err, fs.ErrPermission):
		e.Remedy = "let this user read it, or run as the user it belongs to"
	default:
		e.Remedy = "name a readable TOML file with -config FILE"
	}
	return e
}

// Parse is Load on bytes; name is that of the file in errors.
func Parse(name string, data []byte, dst any) (*File, error) {
	f := &File{Path: name, line: map[string]int{}}
	if len(data) > MaxSize {
		return nil, &Error{File: name, Line: 1, Problem: fmt.Sprintf("is larger than %d bytes", MaxSize), Remedy: "a configuration file has a few kB"}
	}
	switch {
	case bytes.HasPrefix(data, []byte("\xef\xbb\xbf")):
		return nil, &Error{File: name, Line: 1, Problem: "begins with a byte order mark", Remedy: "save it as UTF-8 without one"}
	case bytes.HasPrefix(data, []byte("\xff\xfe")), bytes.HasPrefix(data, []byte("\xfe\xff")):
		return nil, &Error{File: name, Line: 1, Problem: "is UTF-16 text", Remedy: "save it as UTF-8"}
	}
	w := walker{file: f, start: lineStarts(data)}
	refused := w.walk(data, dst)
	if w.broken {
		return nil, refused
	}
	// What is unknown was reported, and what has the wrong type is left out.
	if err := toml.Unmarshal(w.without(data), dst); err != nil {
		return nil, errors.Join(refused, f.decodeError(err))
	}
	return f, refused
}

// decodeError turns an error of go-toml into one of ours: what the walker does
// not look for, such as a key that is set twice.
func (f *File) decodeError(err error) error {
	var de *toml.DecodeError
	if !errors.As(err, &de) {
		return &Error{File: f.Path, Line: 1, Problem: strings.TrimPrefix(err.Error(), "toml: "), Remedy: "see https://toml.io for the format"}
	}
	line, _ := de.Position()
	e := &Error{File: f.Path, Line: line, Key: strings.Join(de.Key(), "."), Problem: strings.TrimPrefix(de.Error(), "toml: ")}
	e.Remedy = `want [table], key = value or # comment; text is "in quotes"`
	if strings.Contains(e.Problem, "already") {
		e.Remedy = "keep one of them"
	}
	return e
}

// Empty reports whether the file sets no key at all.
func (f *File) Empty() bool { return len(f.line) == 0 }

// Place returns FILE:LINE: KEY, for errors that show only while the daemon runs.
func (f *File) Place(key string) string { return fmt.Sprintf("%s:%d: %s", f.Path, f.Line(key), key) }

// Has reports whether the file itself sets the key. A default does not count.
func (f *File) Has(key string) bool { return f.line[key] != 0 }

// Line returns the line of a dotted key such as "receiver.device" or
// "endpoint[1].address"; of the nearest table around it if the file does not
// set it; 1 if there is none.
func (f *File) Line(key string) int {
	for key != "" {
		if n := f.line[key]; n != 0 {
			return n
		}
		i := strings.LastIndexAny(key, ".[")
		if i < 0 {
			break
		}
		key = key[:i]
	}
	return 1
}

// Errorf makes an error about the value of a key. The text says what is wrong
// and, after a semicolon, what would be right. %w works as in fmt.Errorf.
func (f *File) Errorf(key, format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &Error{File: f.Path, Line: f.Line(key), Key: key, Problem: err.Error(), Err: errors.Unwrap(err)}
}

// OneOf returns an error if value is none of the words. It proposes the nearest.
func (f *File) OneOf(key, value string, words ...string) error {
	for _, w := range words {
		if value == w {
			return nil
		}
	}
	hint := "want " + orList(words)
	if n := nearest.Word(value, words); n != "" {
		hint = fmt.Sprintf("did you mean %q? %s", n, hint)
	}
	return f.Errorf(key, "%q is not known; %s", value, hint)
}

// orList writes words as `"a", "b" or "c"`.
func orList(words []string) string {
	var b strings.Builder
	for i, w := range words {
		switch {
		case i == 0:
		case i == len(words)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", w)
	}
	return b.String()
}
