package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"noonmark/internal/fleetview"
	"noonmark/internal/web"
	"noonmark/phc"
)

// TestPageShowsWhatAgentsPublish: the file of a real agent, with real etcd, is what the page
// reads, and has what status prints. The nodes are read because the page was asked.
func TestPageShowsWhatAgentsPublish(t *testing.T) {
	t.Parallel() // with the other test that waits most of its time
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Minute)
	defer stop()
	s, err := New(ctx, t.TempDir(), Options{Bin: programs(t), Params: params, Seed: 1})
	must(t, err)
	defer s.Close()
	defer logFailure(t, s)
	a, err := s.Found(ctx, "a", 1)
	must(t, err)
	b, err := s.Join(ctx, "b", 1)
	must(t, err)
	page := web.New(web.Config{
		Listen: netip.MustParseAddrPort("127.0.0.1:9125"), MaxConns: 8, MaxStreams: 1, Snapshot: filepath.Join(s.Dir, "status"),
		Fleet: b.Published(), Wanted: b.Wanted(), Mono: phc.MonoRaw, Log: slog.New(slog.DiscardHandler),
	})
	type answer struct {
		Age     float64  `json:"age_s"`
		ReadAge *float64 `json:"read_age_s"`
		Stopped bool
		fleetview.File
	}
	// until asks the page until the answer is right.
	until := func(what string, ok func(*answer) bool) (last answer) {
		t.Helper()
		must(t, s.until(ctx, what, func() error {
			w := httptest.NewRecorder()
			page.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:9125/api/v1/fleet", nil))
			last = answer{}
			if err := json.Unmarshal(w.Body.Bytes(), &last); err != nil || w.Code != http.StatusOK {
				return fmt.Errorf("%d %s: %w", w.Code, w.Body, err)
			}
			if !ok(&last) {
				return errors.New(w.Body.String())
			}
			return nil
		}))
		return last
	}
	must(t, s.WaitForClock(ctx))
	must(t, a.WaitForServing(ctx, 2))
	for _, n := range s.Nodes {
		must(t, n.StartServer(ctx))
	}
	for _, n := range s.Nodes {
		must(t, n.WaitForHealth(ctx, http.StatusOK))
	}
	got := until("both nodes are shown as they are", func(x *answer) bool {
		return x.Serving == 2 && len(x.Nodes) == 2 && x.Nodes[0].Health != nil && x.Nodes[0].Health.Announced && x.Nodes[1].Health != nil && x.Nodes[1].Health.BoundNS != nil &&
			x.Self.State == fleetview.Serves && x.Self.Health != nil && x.Self.Health.Announced
	})
	if got.ReadAge == nil || *got.ReadAge < 0 || got.Age < 0 || got.Stopped || got.Name != "default" && got.Name == "" || got.Node != "b" || len(got.Roots) == 0 || got.Self.Server == "" || !got.Self.Alone {
		t.Errorf("the page: %+v", got)
	}
	out, err := b.Command(ctx, "status", "-json")
	must(t, err)
	var status fleetview.Fleet
	must(t, json.Unmarshal(out, &status))
	if status.Name != got.Name || status.Rotate != got.Rotate || len(status.Nodes) != len(got.Nodes) || status.Nodes[0].Name != got.Nodes[0].Name || status.Nodes[1].State != got.Nodes[1].State {
		t.Errorf("status -json has\n%s, the page\n%+v", out, got)
	}

	_, err = a.Repeat(ctx, "drain", "b", "-why", "new disc")
	must(t, err)
	until("the node says at once that it is drained, and why", func(x *answer) bool { return x.Self.State == fleetview.Drained && x.Self.Drain == "new disc" })
	until("the nodes are read again", func(x *answer) bool { return x.Nodes[1].State == fleetview.Drained && x.Nodes[1].Drain == "new disc" })
}
