package refclockd

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/durable"
	"noonmark/phc/tai"
	"noonmark/refclock/leap"
)

// leapSource is a file with a table of leap seconds.
type leapSource struct {
	key, path string
	parse     func(data []byte, name string) (*tai.Table, error)
	remedy    string
}

func (l *Leap) sources() []leapSource {
	list := func(b []byte, name string) (*tai.Table, error) { return tai.ParseLeapSeconds(bytes.NewReader(b), name) }
	return []leapSource{
		{"leap.file", l.File, list, `fetch it again, or set it to "" to do without`},
		{"leap.zone", l.Zone, tai.ParseTZif, `want a zone of right/, as in the package tzdata or tzdata-legacy, or "" to do without`},
	}
}

// proof checks what evidence of the leap count is waited for.
func (c *check) proof() {
	switch v := c.Leap.Prove.(type) {
	case bool:
		c.warn("%s", c.Checker.File.Deprecated(config.Deprecation{Key: "leap.prove", Form: "a boolean", Since: "0.2.0", Instead: fmt.Sprintf("%q", c.LeapProof())}))
	case string:
		c.OneOf("leap.prove", v, leap.ProofNames()...)
	default:
		c.Refuse("leap.prove", "is no policy; want one of %q", leap.ProofNames())
	}
}

// LeapProof is the evidence of the receiver's leap count that the first lock waits
// for. A virtual receiver is right.
func (f *File) LeapProof() leap.Proof {
	if f.Clock.Source == "sim" {
		return leap.ProofNever
	}
	switch v := f.Leap.Prove.(type) {
	case bool:
		if v {
			return leap.ProofAlways
		}
	case string:
		p, _ := leap.ParseProof(v)
		return p
	}
	return leap.ProofAuto
}

// maxTable is more than a table of leap seconds has, octets.
const maxTable = 1 << 20

// leapTables reads the tables in their order of trust, the built-in one
// last. A file that is missing, damaged or expired is a warning: other programs write
// these files, and refclockd started with the same configuration before.
func (c *check) leapTables() {
	c.LeapTables, c.damaged = nil, nil
	for _, x := range c.Leap.sources() {
		if x.path == "" {
			continue
		}
		named := c.Checker.File.Has(x.key)
		b, _, err := durable.ReadFile(x.path, maxTable)
		if errors.Is(err, fs.ErrNotExist) && !named {
			continue
		}
		var t *tai.Table
		if err == nil {
			t, err = x.parse(b, x.path)
		}
		switch {
		case err == nil:
			c.LeapTables = append(c.LeapTables, t)
			continue
		case !errors.Is(err, fs.ErrNotExist):
			c.damaged = append(c.damaged, x.path)
		}
		c.warn("%v; %s", c.Checker.File.Errorf(x.key, "%w; it is ignored", err), x.remedy)
	}
	c.LeapTables = append(c.LeapTables, tai.Builtin())
	c.warnExpired(time.Now())
}

// KeepTables takes over into s, from an earlier reading, the tables whose files are
// damaged now: a running daemon goes on with what it has.
func KeepTables(s, before *Settings) {
	var tables []*tai.Table
	for _, x := range s.Leap.sources() {
		of := s
		if slices.Contains(s.damaged, x.path) {
			of = before
		}
		if i := slices.IndexFunc(of.LeapTables, func(t *tai.Table) bool { return t.Source == x.path }); i >= 0 {
			tables = append(tables, of.LeapTables[i])
		}
	}
	s.LeapTables = append(tables, tai.Builtin())
}

// warnExpired warns of tables that ended before now.
func (s *Settings) warnExpired(now time.Time) {
	valid := 0
	for _, t := range s.LeapTables {
		if now.Before(t.Expires) {
			valid++
		} else if !t.Expires.IsZero() && len(s.LeapTables) > 1 {
			s.warn("leap: %s expired on %s and is ignored; install a newer one", t.Source, t.Expires.Format(time.DateOnly))
		}
	}
	if valid == 0 {
		s.warn("leap: every table of leap seconds has expired; only the receiver's announcements count")
	}
}

// LatestLeapTable returns the table that expires last.
func (s *Settings) LatestLeapTable() *tai.Table {
	latest := s.LeapTables[0]
	for _, t := range s.LeapTables[1:] {
		if t.Expires.After(latest.Expires) {
			latest = t
		}
	}
	return latest
}

func (s *Settings) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}
