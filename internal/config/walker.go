package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"noonmark/internal/nearest"
)

// maxErrors bounds how many errors are reported for one file.
const maxErrors = 20

// walker goes over the syntax tree beside the Go type that will receive it. It
// notes the line of every key, and reports unknown keys and wrong types in terms
// of the file. go-toml would find the same, but report it in terms of Go.
type walker struct {
	file  *File
	p     unstable.Parser
	start []int // offset of each line's first byte
	errs  []error

	path  string         // of the current table
	typ   reflect.Type   // of the current table; nil: unknown (reported), or anything is allowed
	count map[string]int // elements of each array of tables

	begin  int     // line on which the present expression begins
	bads   []lines // of expressions in error
	broken bool    // the rest of the file means nothing without what is in error
}

// lines are some lines of the file, the first one and the one after the last.
type lines struct{ from, to int }

func (w *walker) walk(data []byte, dst any) error {
	root := deref(reflect.TypeOf(dst))
	w.typ, w.count = root, map[string]int{}
	w.p.Reset(data)
	for w.p.NextExpression() && len(w.errs) < maxErrors {
		e := w.p.Expression()
		if e.Kind == unstable.Comment {
			continue
		}
		w.expression(e)
		found := len(w.errs)
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			w.path, w.typ = w.header(root, e)
		case unstable.KeyValue:
			w.keyValue(w.path, w.typ, e)
			if len(w.errs) > found {
				w.bads = append(w.bads, lines{w.begin, len(w.start) + 1})
			}
		}
	}
	w.broken = w.broken || len(w.errs) >= maxErrors
	if err := w.p.Error(); err != nil {
		w.broken = true
		line, problem := 1, err.Error()
		var pe *unstable.ParserError
		if errors.As(err, &pe) {
			problem = pe.Message
			if off := cap(data) - cap(pe.Highlight); pe.Highlight != nil && off >= 0 && off <= len(data) {
				line = w.lineAt(off)
			}
		}
		w.errs = append(w.errs, &Error{File: w.file.Path, Line: line, Key: strings.Join(keyOf(pe), "."), Problem: problem,
			Remedy: `want [table], key = value or # comment; text is "in quotes"`})
	}
	return errors.Join(w.errs...)
}

// expression notes where an expression begins, and the one before it ends.
func (w *walker) expression(e *unstable.Node) {
	it := e.Key()
	if !it.Next() {
		return
	}
	was := w.begin
	w.begin = w.line(it.Node())
	if n := len(w.bads); n > 0 && w.bads[n-1].from == was {
		w.bads[n-1].to = w.begin
	}
}

// without returns the file with blank lines in place of the expressions in error.
func (w *walker) without(data []byte) []byte {
	if len(w.bads) == 0 {
		return data
	}
	out := bytes.Clone(data)
	for _, b := range w.bads {
		for n := b.from; n < b.to; n++ {
			for i := w.start[n-1]; i < len(out) && out[i] != '\n'; i++ {
				out[i] = ' '
			}
		}
	}
	return out
}

func keyOf(pe *unstable.ParserError) []string {
	if pe == nil {
		return nil
	}
	return pe.Key
}

// header resolves [a.b] or [[a.b]] and returns its path and type.
func (w *walker) header(t reflect.Type, e *unstable.Node) (string, reflect.Type) {
	path, it := "", e.Key()
	line := 0
	for it.Next() {
		k := it.Node()
		line = w.line(k)
		path, t = w.child(path, t, string(k.Data), line)
		if t == nil {
			return path, nil
		}
		if t.Kind() == reflect.Slice && !isText(t) && tableType(deref(t.Elem())) != nil {
			switch n := w.count[path]; {
			case it.IsLast() && e.Kind == unstable.ArrayTable:
				w.count[path]++
				path = fmt.Sprintf("%s[%d]", path, n)
				w.note(path, line)
				return path, deref(t.Elem())
			case it.IsLast() || n == 0:
				w.broken = true
				w.bad(path, line, "is one table; want [[%s]] here, as there can be several", path)
				return path, nil
			default:
				path, t = fmt.Sprintf("%s[%d]", path, n-1), deref(t.Elem())
			}
		}
	}
	switch {
	case e.Kind == unstable.ArrayTable:
		w.broken = true
		w.bad(path, line, "is an array of tables; want [%s] here, as there is only one", path)
		return path, nil
	case tableType(t) == nil && t.Kind() != reflect.Interface:
		w.broken = true
		w.bad(path, line, "is a table; want %s = %s", path, expect(t))
	}
	return path, tableType(t)
}

// keyValue checks one key = value under a table of type t (nil: unchecked).
func (w *walker) keyValue(path string, t reflect.Type, e *unstable.Node) {
	line := 0
	for it := e.Key(); it.Next(); {
		k := it.Node()
		line = w.line(k)
		if t != nil && tableType(t) == nil {
			w.bad(path, line, "is a table; want %s", expect(t))
			t = nil
		}
		path, t = w.child(path, t, string(k.Data), line)
	}
	w.value(path, t, e.Value(), line)
}

// child resolves one name within a table of type t.
func (w *walker) child(path string, t reflect.Type, name string, line int) (string, reflect.Type) {
	parent := path
	path = join(path, name)
	w.note(path, line)
	if t == nil {
		return path, nil
	}
	switch t.Kind() {
	case reflect.Map:
		return path, deref(t.Elem())
	case reflect.Struct:
		if isText(t) && !isShort(t) {
			break
		}
		f := fields(t)
		if ft, ok := f[name]; ok {
			return path, deref(ft)
		}
		w.unknown(path, parent, name, f, line)
	}
	return path, nil
}

func (w *walker) unknown(path, parent, name string, f map[string]reflect.Type, line int) {
	known := make([]string, 0, len(f))
	for k := range f {
		known = append(known, k)
	}
	sort.Strings(known)
	where := "[" + parent + "]"
	if parent == "" {
		where = "the top of the file"
	}
	if n := nearest.Word(name, known); n != "" {
		w.bad(path, line, "is not known; did you mean %s?", n)
		return
	}
	w.bad(path, line, "is not known; %s can have %s", where, strings.Join(known, ", "))
}

// value checks one value against the type that will hold it.
func (w *walker) value(path string, t reflect.Type, v *unstable.Node, line int) {
	if v.Raw.Length > 0 {
		line = w.lineAt(int(v.Raw.Offset))
	}
	if t == nil || t.Kind() == reflect.Interface {
		return
	}
	inline := v.Kind == unstable.InlineTable
	switch k := t.Kind(); {
	case isText(t) && !(isShort(t) && inline):
		w.text(path, t, v, line)
	case k == reflect.Slice || k == reflect.Array:
		w.list(path, t, v, line)
	case tableType(t) != nil && t != reflect.TypeFor[time.Time]():
		w.inlineTable(path, t, v, line)
	default:
		if err := checkScalar(t, v); err != nil {
			w.bad(path, line, "%w", err)
		}
	}
}

// text checks a value that is read by its type's own method.
func (w *walker) text(path string, t reflect.Type, v *unstable.Node, line int) {
	if v.Kind != unstable.String {
		w.bad(path, line, "%w", wrongKind(t, v))
	} else if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText(v.Data); err != nil {
		w.bad(path, line, "%w", err)
	}
}

// list checks each element, and notes its line.
func (w *walker) list(path string, t reflect.Type, v *unstable.Node, line int) {
	if v.Kind != unstable.Array {
		w.bad(path, line, "%w", wrongKind(t, v))
		return
	}
	n := 0
	for it := v.Children(); it.Next(); {
		c := it.Node()
		if c.Kind == unstable.Comment {
			continue
		}
		at := fmt.Sprintf("%s[%d]", path, n)
		n++
		if c.Raw.Length > 0 {
			w.note(at, w.lineAt(int(c.Raw.Offset)))
		}
		w.value(at, deref(t.Elem()), c, line)
	}
}

// inlineTable checks { key = value, ... }.
func (w *walker) inlineTable(path string, t reflect.Type, v *unstable.Node, line int) {
	if v.Kind != unstable.InlineTable {
		w.bad(path, line, "%w", wrongKind(t, v))
		return
	}
	for it := v.Children(); it.Next(); {
		if c := it.Node(); c.Kind == unstable.KeyValue {
			w.keyValue(path, t, c)
		}
	}
}

func (w *walker) bad(path string, line int, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	w.errs = append(w.errs, &Error{File: w.file.Path, Line: line, Key: path, Problem: err.Error(), Err: errors.Unwrap(err)})
}

func (w *walker) note(path string, line int) {
	if w.file.line[path] == 0 {
		w.file.line[path] = line
	}
}

func (w *walker) line(n *unstable.Node) int { return w.lineAt(int(n.Raw.Offset)) }

// lineAt returns the line, counted from 1, of a byte offset.
func (w *walker) lineAt(off int) int {
	return sort.Search(len(w.start), func(i int) bool { return w.start[i] > off })
}

func lineStarts(data []byte) []int {
	s := []int{0}
	for i, c := range data {
		if c == '\n' {
			s = append(s, i+1)
		}
	}
	return s
}

// join appends a name to a dotted path, quoting what is no bare key.
func join(path, name string) string {
	bare := name != ""
	for i := 0; i < len(name) && bare; i++ {
		c := name[i]
		bare = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
	}
	if !bare {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}
