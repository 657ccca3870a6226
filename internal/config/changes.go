package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// Changes are the keys that a reload finds changed.
type Changes struct {
	Reloaded []string // a running daemon takes them over
	Restart  []string // it does not: they need a restart
}

// Since returns c with the keys in force that an earlier reload has not taken over
// yet; last is what changed since that reload.
func (c Changes) Since(last Changes) Changes {
	return Changes{Reloaded: last.Reloaded, Restart: c.Restart}
}

// Compare lists the keys whose values differ between two files of one type, in the
// order of the type's fields, named as File does ("endpoint[1].address").
// A list of tables that has become longer or shorter is one key. reloadable are
// the keys that a running daemon takes over, each with all below it.
func Compare(file, running any, reloadable []string) (c Changes) {
	changed("", reflect.ValueOf(file), reflect.ValueOf(running), func(key string) {
		if under(key, reloadable) {
			c.Reloaded = append(c.Reloaded, key)
		} else {
			c.Restart = append(c.Restart, key)
		}
	})
	return c
}

// Logged logs the keys, those that need a restart as a warning.
func (c Changes) Logged(log *slog.Logger) {
	if len(c.Reloaded) > 0 {
		log.Info("changed settings are in force", "keys", strings.Join(c.Reloaded, " "))
	}
	if len(c.Restart) > 0 {
		log.Warn("changed settings need a restart, the old ones stay in force", "keys", strings.Join(c.Restart, " "))
	}
}

// under reports whether a key is one of a list, or below one.
func under(key string, list []string) bool {
	for _, l := range list {
		if rest, ok := strings.CutPrefix(key, l); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
			return true
		}
	}
	return false
}

// changed calls report for each key below path that differs.
func changed(path string, a, b reflect.Value, report func(key string)) {
	t := a.Type()
	switch {
	case t.Kind() == reflect.Struct && (tableType(t) != nil):
		for i := range t.NumField() {
			f := t.Field(i)
			name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
			switch {
			case name == "-" || !f.IsExported() && !f.Anonymous:
			case f.Anonymous && name == "":
				changed(path, a.Field(i), b.Field(i), report)
			default:
				changed(join(path, name), a.Field(i), b.Field(i), report)
			}
		}
	case t.Kind() == reflect.Slice && tableType(t.Elem()) != nil && a.Len() == b.Len():
		for i := range a.Len() {
			changed(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i), report)
		}
	case !reflect.DeepEqual(a.Interface(), b.Interface()):
		report(path)
	}
}
