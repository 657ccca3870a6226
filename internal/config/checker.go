package config

import (
	"errors"
	"slices"
	"time"
)

// Checker collects what is wrong with the values of a file, so that a user sees
// all of it at once. Each error names its key, as File.Errorf does.
type Checker struct {
	File *File
	errs []error
}

// NewChecker returns a checker of a file's values.
func NewChecker(f *File) *Checker { return &Checker{File: f} }

// Refuse adds an error about a key. The text says what is wrong and, after a
// semicolon, what would be right.
func (c *Checker) Refuse(key, format string, args ...any) {
	c.errs = append(c.errs, c.File.Errorf(key, format, args...))
}

// Require refuses the key unless ok.
func (c *Checker) Require(ok bool, key, format string, args ...any) {
	if !ok {
		c.Refuse(key, format, args...)
	}
}

// Within requires a duration from low to high, both included.
func (c *Checker) Within(key string, d Duration, low, high time.Duration) {
	c.Require(d.Duration >= low && d.Duration <= high, key, "%v is out of range; want %v to %v", d, low, high)
}

// OneOf requires one of the words and reports whether value is one.
func (c *Checker) OneOf(key, value string, words ...string) bool {
	err := c.File.OneOf(key, value, words...)
	c.Add(err)
	return err == nil
}

// Add adds an error that names its key already, or several joined; nil adds
// nothing.
func (c *Checker) Add(err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			c.Add(e)
		}
	} else if err != nil {
		c.errs = append(c.errs, err)
	}
}

// Good reports whether nothing was refused so far.
func (c *Checker) Good() bool { return len(c.errs) == 0 }

// Err returns all errors joined in the order of their lines, nil if there is none.
func (c *Checker) Err() error {
	slices.SortStableFunc(c.errs, func(a, b error) int { return lineOf(a) - lineOf(b) })
	return errors.Join(c.errs...)
}

// lineOf returns the line of an error, 0 if it has none.
func lineOf(err error) int {
	var e *Error
	if errors.As(err, &e) {
		return e.Line
	}
	return 0
}
