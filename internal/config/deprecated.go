package config

import "fmt"

// Deprecation is a key, or one form of its value, that is still read and that a
// later version will refuse.
type Deprecation struct {
	Key     string // dotted
	Form    string // what of it: "a boolean"; empty: the key
	Since   string // the version that deprecated it
	Instead string // what to write
}

// Deprecated returns the warning about a deprecated key:
//
//	FILE:LINE: KEY: a boolean is deprecated since 0.2.0; write "always"
//
// It is empty if the file does not set the key.
func (f *File) Deprecated(d Deprecation) string {
	if !f.Has(d.Key) {
		return ""
	}
	form := d.Form
	if form == "" {
		form = "it"
	}
	e := Error{File: f.Path, Line: f.Line(d.Key), Key: d.Key, Problem: fmt.Sprintf("%s is deprecated since %s", form, d.Since), Remedy: "write " + d.Instead}
	return e.Error()
}
