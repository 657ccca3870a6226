package config

import (
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// maxErrors bounds how many complaints one file earns at once.
const maxErrors = 20

// walker goes over the syntax tree beside the Go type that will receive it:
// it notes the line of every key and says in the user's words what has no
// place or the wrong type. go-toml would find the same but say it in Go's.
type walker struct {
	file  *File
	p     unstable.Parser
	lines []int // offset of each line's first byte
	errs  []error

	path  string         // of the current table
	typ   reflect.Type   // of the current table; nil: already refused, or free
	count map[string]int // elements of each array of tables
}

func (w *walker) walk(data []byte, dst any) error {
	root := deref(reflect.TypeOf(dst))
	w.typ, w.count = root, map[string]int{}
	w.p.Reset(data)
	for w.p.NextExpression() && len(w.errs) < maxErrors {
		switch e := w.p.Expression(); e.Kind {
		case unstable.Table, unstable.ArrayTable:
			w.path, w.typ = w.header(root, e)
		case unstable.KeyValue:
			w.keyValue(w.path, w.typ, e)
		}
	}
	if err := w.p.Error(); err != nil {
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
				w.bad(path, line, "is one table; want [[%s]] here, as there can be several", path)
				return path, nil
			default:
				path, t = fmt.Sprintf("%s[%d]", path, n-1), deref(t.Elem())
			}
		}
	}
	switch {
	case e.Kind == unstable.ArrayTable:
		w.bad(path, line, "is an array of tables; want [%s] here, as there is only one", path)
		return path, nil
	case tableType(t) == nil && t.Kind() != reflect.Interface:
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
	if n := nearest(name, known); n != "" {
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
	wrong := func() { w.bad(path, line, "is %s; want %s", article(v.Kind), expect(t)) }
	if isText(t) && !(isShort(t) && v.Kind == unstable.InlineTable) {
		if v.Kind != unstable.String {
			wrong()
		} else if err := reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText(v.Data); err != nil {
			w.bad(path, line, "%w", err)
		}
		return
	}
	switch k := t.Kind(); {
	case k == reflect.String:
		if v.Kind != unstable.String {
			wrong()
		}
	case k == reflect.Bool:
		if v.Kind != unstable.Bool {
			wrong()
		}
	case k >= reflect.Int && k <= reflect.Int64:
		if v.Kind != unstable.Integer {
			wrong()
		} else if _, err := strconv.ParseInt(string(v.Data), 0, t.Bits()); err != nil {
			w.bad(path, line, "%s is out of range; want %s", v.Data, expect(t))
		}
	case k >= reflect.Uint && k <= reflect.Uint64:
		if v.Kind != unstable.Integer {
			wrong()
		} else if _, err := strconv.ParseUint(strings.TrimPrefix(string(v.Data), "+"), 0, t.Bits()); err != nil {
			w.bad(path, line, "%s is out of range; want %s", v.Data, expect(t))
		}
	case k == reflect.Float32 || k == reflect.Float64:
		if v.Kind != unstable.Float && v.Kind != unstable.Integer {
			wrong()
		} else if x, err := strconv.ParseFloat(strings.ReplaceAll(string(v.Data), "_", ""), 64); v.Kind == unstable.Float && (err != nil || math.IsNaN(x) || math.IsInf(x, 0)) {
			w.bad(path, line, "%s is not a finite number; want %s", v.Data, expect(t))
		}
	case k == reflect.Slice || k == reflect.Array:
		if v.Kind != unstable.Array {
			wrong()
			return
		}
		n := 0
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind != unstable.Comment {
				at := fmt.Sprintf("%s[%d]", path, n)
				n++
				if c.Raw.Length > 0 {
					w.note(at, w.lineAt(int(c.Raw.Offset)))
				}
				w.value(at, deref(t.Elem()), c, line)
			}
		}
	case t == reflect.TypeFor[time.Time]():
		if v.Kind != unstable.DateTime {
			wrong()
		}
	case k == reflect.Struct || k == reflect.Map:
		if v.Kind != unstable.InlineTable {
			wrong()
			return
		}
		for it := v.Children(); it.Next(); {
			if c := it.Node(); c.Kind == unstable.KeyValue {
				w.keyValue(path, t, c)
			}
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
	return sort.Search(len(w.lines), func(i int) bool { return w.lines[i] > off })
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

// fields lists a struct's keys: the toml tag's name, or the field's; embedded
// structs without a tag give theirs.
func fields(t reflect.Type) map[string]reflect.Type {
	m := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
		case f.Anonymous && name == "" && deref(f.Type).Kind() == reflect.Struct:
			for k, v := range fields(deref(f.Type)) {
				if _, ok := m[k]; !ok {
					m[k] = v
				}
			}
		case name == "":
			m[f.Name] = f.Type
		default:
			m[name] = f.Type
		}
	}
	return m
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// tableType returns t if keys can be set in it, else nil.
func tableType(t reflect.Type) reflect.Type {
	if isText(t) && !isShort(t) || t.Kind() != reflect.Struct && t.Kind() != reflect.Map {
		return nil
	}
	return t
}

// isShort reports whether t is a table that can also be given as one word: a
// struct with named keys that is read from a string by its own method.
func isShort(t reflect.Type) bool {
	if !isText(t) || t.Kind() != reflect.Struct {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("toml") != "" {
			return true
		}
	}
	return false
}

// isText reports whether t is read from a string by its own method. time.Time
// is too, but TOML has a type for it.
func isText(t reflect.Type) bool {
	return t != reflect.TypeFor[time.Time]() && reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// expect says what a type wants, as the right half of an error.
func expect(t reflect.Type) string {
	t = deref(t)
	if e, ok := reflect.Zero(t).Interface().(interface{ Expect() string }); ok {
		return e.Expect()
	}
	switch k := t.Kind(); {
	case isText(t), k == reflect.String:
		return `text "in quotes"`
	case k == reflect.Bool:
		return "true or false"
	case k == reflect.Int || k == reflect.Int64:
		return "a whole number"
	case k >= reflect.Int && k <= reflect.Int64:
		lim := int64(math.MaxInt64) >> (64 - t.Bits())
		return fmt.Sprintf("a whole number from %d to %d", -lim-1, lim)
	case k >= reflect.Uint && k <= reflect.Uint64:
		return fmt.Sprintf("a whole number from 0 to %d", uint64(math.MaxUint64)>>(64-t.Bits()))
	case k == reflect.Float32 || k == reflect.Float64:
		return "a number"
	case k == reflect.Slice || k == reflect.Array:
		return "[a list], each " + expect(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return "a date and time such as 2026-11-01T00:00:00Z"
	}
	return "a table"
}

// article names a TOML kind with its article.
func article(k unstable.Kind) string {
	switch k {
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a table"
	case unstable.String:
		return "text"
	case unstable.Bool:
		return "true or false"
	case unstable.Integer:
		return "a whole number"
	case unstable.Float:
		return "a number with a fraction"
	}
	return "a date or time"
}
