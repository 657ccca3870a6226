package command

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Instant is a flag for an instant: RFC 3339, a day, or a time before now.
type Instant struct {
	time.Time
	now  func() time.Time
	text string // as it was given: help and documents do not depend on the time
}

// NewInstant returns an instant without a default. What the command line gives as a time
// ago is subtracted from now.
func NewInstant(now func() time.Time) Instant { return Instant{now: now} }

// Before returns an instant with a default: a time before now, such as "24h".
func Before(now time.Time, ago string) Instant {
	i := NewInstant(func() time.Time { return now })
	if err := i.Set(ago); err != nil {
		panic(err) // impossible: the callers give constants
	}
	return i
}

// Set reads an instant.
func (i *Instant) Set(text string) error {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			i.Time, i.text = t.UTC(), text
			return nil
		}
	}
	var days float64
	ago, err := time.ParseDuration(text)
	if n, _ := fmt.Sscanf(text, "%gd", &days); err != nil && n == 1 && strings.HasSuffix(text, "d") {
		ago, err = time.Duration(days*24*float64(time.Hour)), nil
	}
	if err != nil || ago < 0 || ago > 200*365*24*time.Hour {
		return errors.New("want an instant such as 2026-11-28T12:00:00Z, or a time ago such as 36h or 7d")
	}
	i.Time, i.text = i.now().UTC().Add(-ago), text
	return nil
}

// String is the instant as it was given.
func (i *Instant) String() string { return i.text }
