package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"noonmark/internal/printable"
)

// Line describes an event in one line, for people. Its texts may be those of other
// programs: what shows it makes it printable.
func (e *Event) Line() string {
	line := fmt.Sprintf("%s %-8s %s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Kind, e.Text)
	if e.Reason != "" && e.Kind == Alarm && !e.Ended {
		line += " (" + e.Reason + ")"
	}
	if e.Name != "" && e.Kind == Alarm {
		line += ", " + e.Name
	}
	if e.Detail != "" {
		line += ": " + e.Detail
	}
	if e.Remedy != "" {
		line += "; remedy: " + e.Remedy
	}
	if e.Suppressed > 0 {
		line += fmt.Sprintf("; %d events before this one were suppressed", e.Suppressed)
	}
	return line
}

// Printer prints events, one a line.
type Printer struct {
	To   io.Writer
	JSON bool // as objects, for programs
}

// Print prints events. The error is that of the output.
func (p *Printer) Print(found []Event) error {
	enc, text := json.NewEncoder(p.To), printable.Writer{To: p.To}
	for i := range found {
		var err error
		if p.JSON {
			err = enc.Encode(&found[i])
		} else {
			_, err = fmt.Fprintln(text, found[i].Line())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// followEvery is how often Follow looks for new events.
const followEvery = 300 * time.Millisecond

// Follow prints events of some kinds, nil: of all, as they come, until ctx ends.
func (p *Printer) Follow(ctx context.Context, tail *Tail, kinds []Kind) error {
	t := time.NewTicker(followEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		found, err := tail.Next()
		if err != nil {
			return err
		}
		if kinds != nil {
			found = slices.DeleteFunc(found, func(e Event) bool { return !slices.Contains(kinds, e.Kind) })
		}
		if err := p.Print(found); err != nil {
			return err
		}
	}
}
