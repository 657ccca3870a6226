package certs

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A source hangs in each of its two loops while it reports what has happened. Whether a
// certificate is missing is asked every second and must not wait for it.
func TestHangingSourceIsStuck(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		who  string
		kind Kind // at which it hangs
		cfg  func(f *fixture) Config
		hang func(f *fixture)
		wait time.Duration // until it is stuck
	}{
		{"files", Refused, func(f *fixture) Config {
			return Config{Pairs: []Pair{f.put(f.pair("a"), []byte("garbage"), []byte("garbage"))}}
		},
			func(f *fixture) { f.put(f.pair("a"), []byte("other garbage"), []byte("garbage")) }, lookLimit},
		{"acme", OrderFailed, func(f *fixture) Config {
			dir := t.TempDir()
			return Config{ACME: &ACME{Directory: "https://ca.test/dir", CAFile: filepath.Join(dir, "none"), Names: []string{"a.test"}, AcceptTerms: true,
				HTTP: "127.0.0.1:0", Dir: filepath.Join(dir, "acme")}}
		}, func(*fixture) {}, orderLimit + maxWait},
	} {
		t.Run(c.who, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, f := time.Now(), newFixture(t)
				hold := make(chan struct{})
				cfg := c.cfg(f)
				cfg.Event = func(e Event) {
					if e.Kind == c.kind && time.Since(start) > time.Hour {
						<-hold
					}
				}
				s, err := New(cfg)
				if err != nil {
					t.Fatal(err)
				}
				clock := func() int64 { return 1 + int64(time.Since(start)) }
				s.looking.Clock, s.ordering.Clock = clock, clock
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() { s.Run(ctx); close(ended) }()
				time.Sleep(time.Hour + time.Second)
				if err := s.Hanging(); err != nil {
					t.Errorf("after an hour: %v", err)
				}
				c.hang(f)
				time.Sleep(c.wait + 5*DefaultPoll)
				if err := s.Hanging(); err == nil || !strings.HasPrefix(err.Error(), c.who+": stuck for ") {
					t.Errorf("it hangs: %v", err)
				}
				if err := s.Missing(); err == nil {
					t.Error("no certificate is missing")
				}
				close(hold)
				synctest.Wait()
				if err := s.Hanging(); err != nil {
					t.Errorf("after it went on: %v", err)
				}
				cancel()
				<-ended
			})
		})
	}
}
