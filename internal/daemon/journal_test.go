package daemon

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"strings"
	"testing"

	"github.com/coreos/go-systemd/v22/journal"

	"noonmark/internal/config"
)

// sent is what the journal got.
type sent struct {
	message string
	p       journal.Priority
	fields  map[string]string
}

func TestJournalGetsPrioritiesAndFields(t *testing.T) {
	t.Parallel()
	var got []sent
	var back bytes.Buffer
	var refuse error
	log, entry := newJournalLogger("refclockd", config.Log{Level: "debug"}, &back)
	entry.send = func(m string, p journal.Priority, f map[string]string) error {
		got = append(got, sent{m, p, maps.Clone(f)})
		return refuse
	}
	log.With("follower", "system").WithGroup("a").With("k", 1).Warn("clock lost", "by-whom", "x=\"y\"", "secret", config.Secret("0001"), slog.Group("g", "n", 7))
	log.Error("e")
	log.Info("state", "state", "locked")
	log.Debug("d")
	want := []sent{
		{`level=WARN msg="clock lost" follower=system a.k=1 a.by-whom="x=\"y\"" a.secret=(hidden) a.g.n=7`, journal.PriWarning, map[string]string{
			"SYSLOG_IDENTIFIER": "refclockd", "NOONMARK_MESSAGE": "clock lost", "NOONMARK_FOLLOWER": "system", "NOONMARK_A_K": "1",
			"NOONMARK_A_BY_WHOM": `x="y"`, "NOONMARK_A_SECRET": "(hidden)", "NOONMARK_A_G_N": "7"}},
		{"level=ERROR msg=e", journal.PriErr, map[string]string{"SYSLOG_IDENTIFIER": "refclockd", "NOONMARK_MESSAGE": "e"}},
		{"level=INFO msg=state state=locked", journal.PriInfo, map[string]string{"SYSLOG_IDENTIFIER": "refclockd", "NOONMARK_MESSAGE": "state", "NOONMARK_STATE": "locked"}},
		{"level=DEBUG msg=d", journal.PriDebug, map[string]string{"SYSLOG_IDENTIFIER": "refclockd", "NOONMARK_MESSAGE": "d"}},
	}
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d", len(got), len(want))
	}
	for i, w := range want {
		if got[i].message != w.message || got[i].p != w.p || !maps.Equal(got[i].fields, w.fields) {
			t.Errorf("got  %+v\nwant %+v", got[i], w)
		}
	}
	if back.Len() > 0 {
		t.Errorf("standard error has %q", &back)
	}

	// The level can be changed, and what the journal does not take is not lost.
	if err := SetLevel(log, config.Log{Level: "warn"}); err != nil {
		t.Fatal(err)
	}
	refuse = errors.New("no journal")
	log.Info("not shown")
	log.Warn("w")
	if len(got) != len(want)+1 || back.String() != "<4>level=WARN msg=w\n" {
		t.Errorf("%d entries, standard error %q", len(got), &back)
	}
}

func TestLinesBeforeTheLogHaveAPriority(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	leveledLines(&b, true, journal.PriErr, "a: bad\nb: bad\n")
	leveledLines(&b, false, journal.PriErr, "a: bad\nb: bad\n")
	if want := "a: bad\nb: bad\n<3>a: bad\n<3>b: bad\n"; b.String() != want {
		t.Errorf("%q, want %q", b.String(), want)
	}
	leveledLines(io.Discard, false, journal.PriErr, "")
}
