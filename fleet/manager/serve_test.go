package manager

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"noonmark/internal/daemon"
)

// While etcd is away, strangers cause a bounded number of lines in the log; each request is
// counted.
func TestStrangersCauseFewLines(t *testing.T) {
	t.Parallel()
	var lines bytes.Buffer
	log := slog.New(slog.NewTextHandler(&lines, nil))
	d := &desk{counts: new(Counts), log: log, limited: daemon.NewLimited(log, time.Hour, 5)}
	for range 100 {
		w := httptest.NewRecorder()
		d.answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/join", strings.NewReader("{}")), func(context.Context, *http.Request, []byte) (any, string, error) {
			return nil, "", errors.New("etcd is away")
		})
		if w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "etcd") {
			t.Fatalf("%d, %q", w.Code, w.Body)
		}
	}
	if n := strings.Count(lines.String(), "etcd is away"); n != 5 || d.counts.Refused()["unavailable"] != 100 {
		t.Errorf("%d lines of 100 requests; counted: %v", n, d.counts.Refused())
	}
	w := httptest.NewRecorder()
	d.answer(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/join", strings.NewReader(strings.Repeat(" ", maxRequest+1))), nil)
	if w.Code != http.StatusBadRequest {
		t.Errorf("a body that is too long: %d", w.Code)
	}
}
