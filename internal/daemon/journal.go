package daemon

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/coreos/go-systemd/v22/journal"
)

// fieldPrefix begins the journal's fields that come from attributes of a line.
const fieldPrefix = "NOONMARK_"

// journalled is a handler that writes to the systemd journal: MESSAGE is the line as
// text, PRIORITY its level, NOONMARK_MESSAGE the fixed phrase, and each attribute is a
// field of its own ("state" is NOONMARK_STATE). So journalctl -p warning shows what
// needs attention, and journalctl NOONMARK_REASON=no_pulse finds a reason.
type journalled struct {
	slog.Handler // the line as text, to entry.text
	entry        *entryWriter
	name         string      // of the daemon
	attrs        []slog.Attr // of WithAttrs
	group        string      // prefix of further attributes
}

// entryWriter writes one entry at a time.
type entryWriter struct {
	mu   sync.Mutex
	text bytes.Buffer
	send func(message string, p journal.Priority, fields map[string]string) error
	back io.Writer // for what the journal does not take
}

// newJournalled returns the handler; text makes the handler of the line.
func newJournalled(name string, back io.Writer, text func(io.Writer) slog.Handler) *journalled {
	e := &entryWriter{send: journal.Send, back: back}
	return &journalled{Handler: text(&e.text), entry: e, name: name}
}

// Handle writes one entry. What the journal does not take goes to standard error.
func (h *journalled) Handle(ctx context.Context, r slog.Record) error {
	fields := map[string]string{"SYSLOG_IDENTIFIER": h.name, fieldPrefix + "MESSAGE": r.Message}
	for _, a := range h.attrs {
		addField(fields, "", a)
	}
	r.Attrs(func(a slog.Attr) bool { addField(fields, h.group, a); return true })
	e := h.entry
	e.mu.Lock()
	defer e.mu.Unlock()
	e.text.Reset()
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	p := priority(r.Level)
	if e.send(strings.TrimSuffix(e.text.String(), "\n"), p, fields) == nil {
		return nil
	}
	_, err := fmt.Fprintf(e.back, "<%d>%s", p, e.text.Bytes())
	return err
}

// WithAttrs returns a handler that adds attributes to each line.
func (h *journalled) WithAttrs(attrs []slog.Attr) slog.Handler {
	n := *h
	n.Handler = h.Handler.WithAttrs(attrs)
	n.attrs = h.attrs[:len(h.attrs):len(h.attrs)]
	for _, a := range attrs {
		a.Key = h.group + a.Key
		n.attrs = append(n.attrs, a)
	}
	return &n
}

// WithGroup returns a handler whose further attributes belong to a group.
func (h *journalled) WithGroup(name string) slog.Handler {
	n := *h
	n.Handler, n.group = h.Handler.WithGroup(name), h.group+name+"_"
	return &n
}

// addField adds an attribute, and those of a group, as fields.
func addField(fields map[string]string, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "_"
		}
		for _, g := range v.Group() {
			addField(fields, prefix, g)
		}
		return
	}
	if a.Key != "" {
		fields[fieldPrefix+fieldName(prefix+a.Key)] = v.String()
	}
}

// fieldName makes a name that the journal accepts: capitals, digits and underscores.
func fieldName(key string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
}

// priority is the journal's priority of a level.
func priority(l slog.Level) journal.Priority {
	switch {
	case l >= slog.LevelError:
		return journal.PriErr
	case l >= slog.LevelWarn:
		return journal.PriWarning
	case l >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// underJournal reports whether standard error goes to the journal.
func underJournal() bool {
	is, err := journal.StderrIsJournalStream()
	return is && err == nil
}

// leveledLines writes lines to standard error with the priority that the service
// manager takes from their beginning (sd-daemon(3)); plainly where w is something else.
func leveledLines(w io.Writer, plain bool, p journal.Priority, text string) {
	for line := range strings.Lines(text) {
		if !plain {
			fmt.Fprintf(w, "<%d>", p)
		}
		io.WriteString(w, line)
	}
}
