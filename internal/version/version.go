// Package version is the version of the tree, which all programs print.
package version

import (
	"runtime/debug"
	"strings"
)

// Number is the version of the tree (semantic versioning); CHANGELOG.md says
// what it contains.
const Number = "0.2.0"

// Date is the day of Number, for manual pages.
const Date = "2026-11-28"

// Text is what a program prints for -version: its name, Number, and in brackets
// the revision, as far as it is known, and the version of Go.
func Text(program string) string {
	return program + " " + Number + " (" + build(debug.ReadBuildInfo()) + ")"
}

func build(bi *debug.BuildInfo, ok bool) string {
	if !ok {
		return "build unknown"
	}
	revision, modified := "", false
	for _, s := range bi.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if revision == "" {
		revision = "revision unknown"
	}
	if modified {
		revision += " modified"
	}
	return strings.Join([]string{revision, bi.GoVersion}, ", ")
}
