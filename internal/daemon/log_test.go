package daemon

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/config"
)

func TestLogFormatsAndLevels(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := NewTo(&b, "refclockd", config.Log{Level: "warn", Format: "json"}, true)
	l.Info("hidden")
	l.Warn("seen", "offset_ns", 5)
	var m map[string]any
	if err := json.Unmarshal(b.Bytes(), &m); err != nil {
		t.Fatalf("%v: %s", err, &b)
	}
	if m["msg"] != "seen" || m["offset_ns"] != 5.0 || m["daemon"] != "refclockd" || m["time"] == nil {
		t.Errorf("got %v", m)
	}

	b.Reset()
	l = NewTo(&b, "refclockd", config.Log{}, false).With("part", "x").WithGroup("g")
	l.Debug("hidden")
	if err := SetLevel(l, config.Log{Level: "debug"}); err != nil {
		t.Fatal(err)
	}
	l.Debug("seen", "a", 1)
	if want := `^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=DEBUG msg=seen part=x g.a=1\n$`; !regexp.MustCompile(want).Match(b.Bytes()) {
		t.Errorf("got %s, want %s", &b, want)
	}

	b.Reset()
	NewTo(&b, "refclockd", config.Log{}, true).Info("untimed", "time", "kept")
	if b.String() != "level=INFO msg=untimed\n" && b.String() != "level=INFO msg=untimed time=kept\n" {
		t.Errorf("got %s", &b)
	}
	if SetLevel(slog.New(slog.DiscardHandler), config.Log{}) == nil {
		t.Error("set the level of a handler that has none")
	}
}

func TestLimitedCountsTheLinesThatItDoesNotWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		l := NewLimited(NewTo(&b, "x", config.Log{}, true), time.Minute, 2)
		for i := range 1000 {
			l.Log(slog.LevelWarn, "bad_mac", "refused", "i", i)
			l.Log(slog.LevelDebug, "quiet", "hidden")
		}
		l.Log(slog.LevelWarn, "too_short", "refused otherwise")
		time.Sleep(time.Minute)
		l.Log(slog.LevelWarn, "bad_mac", "refused", "i", -1)
		l.Log(slog.LevelWarn, "bad_mac", "refused", "i", -2)
		l.Log(slog.LevelWarn, "bad_mac", "refused", "i", -3)
		l.Flush()
		l.Flush()
		want := `level=WARN msg=refused i=0
level=WARN msg=refused i=1
level=WARN msg="refused otherwise"
level=WARN msg=refused i=-1 held_back=998
level=WARN msg=refused i=-2
level=INFO msg="log lines held back" kind=bad_mac held_back=1
`
		if b.String() != want {
			t.Errorf("got:\n%s\nwant:\n%s", &b, want)
		}
	})
}

// The memory is bounded even if the keys are not from a fixed set.
func TestLimitedMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	l := NewLimited(NewTo(&b, "x", config.Log{}, true), time.Hour, 1)
	for i := range 10 * maxKeys {
		l.Log(slog.LevelInfo, fmt.Sprint(i), "line")
	}
	if n := strings.Count(b.String(), "\n"); n > maxKeys+1 || len(l.keys) > maxKeys+1 {
		t.Errorf("%d lines of %d keys, want at most %d", n, len(l.keys), maxKeys+1)
	}
}
