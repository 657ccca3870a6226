// Package daemon is what the long-running programs share: the command line,
// logging, the life of their tasks from READY=1 to the last signal, reload, the
// service manager's watchdog, the metrics listener and the exit code.
package daemon

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"noonmark/internal/config"
)

// levelOf returns the configured level; an unknown one is info.
func levelOf(c config.Log) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(c.Level)) != nil {
		return slog.LevelInfo
	}
	return l
}

// New returns the daemon's logger: on standard error, or if that is the journal, in
// the journal, with priorities and fields. JSON always goes to standard error.
func New(name string, cfg config.Log) *slog.Logger {
	if !underJournal() || strings.EqualFold(cfg.Format, "json") {
		return NewTo(os.Stderr, name, cfg, os.Getenv("JOURNAL_STREAM") != "")
	}
	log, _ := newJournalLogger(name, cfg, os.Stderr)
	return log
}

// newJournalLogger returns a logger that writes to the journal, and to back what that
// does not take.
func newJournalLogger(name string, cfg config.Log, back io.Writer) (*slog.Logger, *entryWriter) {
	lv := new(slog.LevelVar)
	lv.Set(levelOf(cfg))
	h := newJournalled(name, back, func(w io.Writer) slog.Handler { return newText(w, lv, true) })
	return slog.New(&leveled{h, lv}), h.entry
}

// newText returns the handler of text lines; untimed leaves the time out.
func newText(w io.Writer, lv *slog.LevelVar, untimed bool) slog.Handler {
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: lv, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			if untimed {
				return slog.Attr{}
			}
			a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
		}
		return a
	}})
}

// NewTo is New for any writer; untimed leaves the time out of text lines.
func NewTo(w io.Writer, name string, cfg config.Log, untimed bool) *slog.Logger {
	lv := new(slog.LevelVar)
	lv.Set(levelOf(cfg))
	var h slog.Handler
	if strings.EqualFold(cfg.Format, "json") {
		h = slog.NewJSONHandler(w, &slog.HandlerOptions{Level: lv}).WithAttrs([]slog.Attr{slog.String("daemon", name)})
	} else {
		h = newText(w, lv, untimed)
	}
	return slog.New(&leveled{h, lv})
}

// leveled is a handler whose level SetLevel can change.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

func (h *leveled) WithAttrs(a []slog.Attr) slog.Handler {
	return &leveled{h.Handler.WithAttrs(a), h.level}
}

func (h *leveled) WithGroup(name string) slog.Handler {
	return &leveled{h.Handler.WithGroup(name), h.level}
}

// SetLevel changes the level of a logger made by New, and of all derived from it.
func SetLevel(l *slog.Logger, cfg config.Log) error {
	h, ok := l.Handler().(*leveled)
	if !ok {
		return fmt.Errorf("set log level: %T has none that can be set", l.Handler())
	}
	h.level.Set(levelOf(cfg))
	return nil
}

// maxKeys bounds the memory of a Limited.
const maxKeys = 64

// Limited is a rate limit for lines that remote peers can cause. In each interval
// it writes a burst of lines of a kind and counts the rest; the next line written
// carries that count. It is safe for concurrent use. A line that is not written
// costs a lock and no allocation but its arguments.
type Limited struct {
	log      *slog.Logger
	interval time.Duration
	burst    int

	mu   sync.Mutex
	keys map[string]*bucket // under mu
}

type bucket struct {
	start time.Time // of the interval
	n     int       // lines written in it
	held  uint64    // lines not written since the last one written
}

// NewLimited returns a logger that writes at most burst lines of a kind per
// interval.
func NewLimited(l *slog.Logger, interval time.Duration, burst int) *Limited {
	return &Limited{log: l, interval: interval, burst: max(1, burst), keys: map[string]*bucket{}}
}

// Log writes a line of the kind key, or counts it. key comes from a fixed set,
// such as the words of reasons. It is never made from what a peer sent.
func (l *Limited) Log(level slog.Level, key, msg string, args ...any) {
	if !l.log.Enabled(context.Background(), level) {
		return
	}
	l.mu.Lock()
	b := l.keys[key]
	if b == nil {
		if len(l.keys) >= maxKeys {
			key = "other"
			b = l.keys[key]
		}
		if b == nil {
			b = new(bucket)
			l.keys[key] = b
		}
	}
	now := time.Now()
	if now.Sub(b.start) >= l.interval {
		b.start, b.n = now, 0
	}
	if b.n >= l.burst {
		b.held++
		l.mu.Unlock()
		return
	}
	b.n++
	held := b.held
	b.held = 0
	l.mu.Unlock()
	if held > 0 {
		args = append(args[:len(args):len(args)], "held_back", held)
	}
	l.log.Log(context.Background(), level, msg, args...)
}

// Flush logs the counts that no line has carried yet; for the end of the program.
func (l *Limited) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, b := range l.keys {
		if b.held > 0 {
			l.log.Info("log lines held back", "kind", key, "held_back", b.held)
			b.held = 0
		}
	}
}
