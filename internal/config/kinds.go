package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"
)

// wrongKind is the error for a value that is of another kind than its type wants.
func wrongKind(t reflect.Type, v *unstable.Node) error {
	return fmt.Errorf("is %s; want %s", article(v.Kind), expect(t))
}

// checkScalar checks a single value against a type that holds one.
func checkScalar(t reflect.Type, v *unstable.Node) error {
	kinds := scalarKinds(t)
	if !slices.Contains(kinds, v.Kind) {
		return wrongKind(t, v)
	}
	if v.Kind != kinds[0] {
		return nil // a whole number for a fraction
	}
	var err error
	switch k := t.Kind(); {
	case k >= reflect.Int && k <= reflect.Int64:
		_, err = strconv.ParseInt(string(v.Data), 0, t.Bits())
	case k >= reflect.Uint && k <= reflect.Uint64:
		_, err = strconv.ParseUint(strings.TrimPrefix(string(v.Data), "+"), 0, t.Bits())
	case k == reflect.Float32 || k == reflect.Float64:
		x, err := strconv.ParseFloat(strings.ReplaceAll(string(v.Data), "_", ""), 64)
		if err != nil || math.IsNaN(x) || math.IsInf(x, 0) {
			return fmt.Errorf("%s is not a finite number; want %s", v.Data, expect(t))
		}
	}
	if err != nil {
		return fmt.Errorf("%s is out of range; want %s", v.Data, expect(t))
	}
	return nil
}

// scalarKinds are the kinds of values that a type takes, the usual one first.
func scalarKinds(t reflect.Type) []unstable.Kind {
	switch k := t.Kind(); {
	case k == reflect.String:
		return []unstable.Kind{unstable.String}
	case k == reflect.Bool:
		return []unstable.Kind{unstable.Bool}
	case k >= reflect.Int && k <= reflect.Uint64:
		return []unstable.Kind{unstable.Integer}
	case k == reflect.Float32 || k == reflect.Float64:
		return []unstable.Kind{unstable.Float, unstable.Integer}
	}
	return []unstable.Kind{unstable.DateTime}
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

// expect describes what a type wants, as the right half of an error.
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
