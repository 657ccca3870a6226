package observe

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"noonmark/internal/durable"
	"noonmark/phc"
	"noonmark/server"
	"noonmark/server/nts"
)

// What another program may have put there is refused by name.
func TestReadServingRefusesWhatIsNone(t *testing.T) {
	t.Parallel()
	const now = int64(time.Hour)
	dir := t.TempDir()
	for _, c := range []struct {
		name, text string
		want       error
	}{
		{"missing", "", ErrNoServing},
		{"empty", " ", ErrBadServing},
		{"no JSON", "hello", ErrBadServing},
		{"a list", "[1]", ErrBadServing},
		{"no process", `{"mono_ns":3600000000000}`, ErrBadServing},
		{"a number out of range", `{"pid":1,"mono_ns":3600000000000,"endpoints":[{"requests":-1}]}`, ErrBadServing},
		{"too many endpoints", `{"pid":1,"mono_ns":3600000000000,"endpoints":[{}` + strings.Repeat(",{}", maxEndpoints) + "]}", ErrBadServing},
		{"old", `{"pid":1,"mono_ns":3500000000000}`, ErrStaleServing},
		{"of the future", `{"pid":1,"mono_ns":3602000000000}`, ErrStaleServing},
		{"good", `{"pid":1,"mono_ns":3599000000000}`, nil},
	} {
		path := filepath.Join(dir, "serving.json")
		os.Remove(path)
		if c.text != "" {
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := ReadServing(path, now); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	if _, err := ReadServing(dir, now); !errors.Is(err, durable.ErrNotRegular) {
		t.Errorf("a folder: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxServing+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadServing(big, now); err == nil {
		t.Error("a file of a megabyte is read")
	}
}

func TestServingIsWrittenAndReadBack(t *testing.T) {
	t.Parallel()
	ring, err := nts.NewRing(nts.RingConfig{}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ntp, err := server.New(server.Config{Snapshot: "/nonexistent/status", Endpoints: []server.Endpoint{{Name: "x"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer ntp.Close()
	path := filepath.Join(t.TempDir(), ServingName)
	NewServingTask(path, ntp, NTS{Ring: func() *nts.Ring { return ring }}, phc.MonoRaw, slog.New(slog.DiscardHandler)).write()
	s, err := ReadServing(path, phc.MonoRaw())
	if err != nil {
		t.Fatal(err)
	}
	if s.PID != os.Getpid() || s.Synchronised || len(s.Endpoints) != 1 || s.Endpoints[0].Name != "x" || s.KE != nil || s.CookieKeys == nil || s.CookieKeys.Keys == 0 {
		t.Errorf("%+v", s)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v: another user must be able to read it", fi, err)
	}
}

func TestServingText(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	s := &Serving{
		PID: 7, UptimeS: 61, Synchronised: true,
		Endpoints: []ServingEndpoint{
			{Name: "a", Workers: 2, Requests: 9, Octets: 432, Answered: map[string]uint64{"ntp": 3, "nts": 5}, Dropped: map[string]uint64{"too_short": 1}, Stamps: map[string]uint64{"hardware": 9, "none": 0},
				Late: StampError{3, 120, 250}, LatencyNS: 4000},
			{Name: "b"},
		},
		Clients: &ServingClients{Networks: 3, List: []ServingClient{{"192.0.2.0/24", 9, 5, 61, 1.2}}},
		KE:      &ServingKE{Open: 1, Results: map[string]uint64{"served": 5}}, Certificates: []CertificateState{{From: "c.pem", Names: []string{"x.test"}, NotAfter: day.AddDate(0, 0, 3), Alarm: true}},
		CookieKeys: &CookieKeys{Keys: 9, Since: day, Overdue: true},
	}
	const want = `ntsserve     pid 7, runs for 1m1s, answers as synchronised
endpoint     a: 2 workers, 9 requests, 432 octets
  answered   nts 5, ntp 3
  dropped    too_short 1
  stamps     hardware 9
  sent       none early, late by 120ns in the mean, 250ns at most in 99 of 100; 4µs from clock to wire; 0 refused by the system, 0 stamped again
endpoint     b: waits for its address, 0 requests, 0 octets
  answered   none
  dropped    none
  stamps     none
  sent       none early, none late; 0s from clock to wire; 0 refused by the system, 0 stamped again
clients      3 networks; refclockctl clients lists them
nts-ke       1 open; served 5
certificate  c.pem: x.test, until 2026-12-01 (3 days), DUE FOR RENEWAL
cookie keys  9 are accepted; secret since 2026-11-28, OVERDUE: it should have been replaced
`
	var b strings.Builder
	if s.WriteText(&b, day); b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", &b, want)
	}
	b.Reset()
	const clients = `network                                        requests  authenticated          for       last
192.0.2.0/24                                          9              5         1m1s         1s
and 2 more
`
	if s.Clients.WriteText(&b); b.String() != clients {
		t.Errorf("got:\n%s\nwant:\n%s", &b, clients)
	}
}

// Without cookie keys, because their file cannot be used, everybody sees that there are
// none.
func TestMissingCookieKeysAreShown(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	reg.MustRegister(NewNTSMetrics(NTS{Ring: func() *nts.Ring { return nil }}))
	families, err := reg.Gather()
	if err != nil || len(families) != 1 || families[0].GetName() != "noonmark_nts_cookie_keys" || families[0].GetMetric()[0].GetGauge().GetValue() != 0 {
		t.Errorf("metrics: %v, %v", families, err)
	}
	var out strings.Builder
	(&Serving{CookieKeys: &CookieKeys{}}).WriteText(&out, time.Now())
	if !strings.Contains(out.String(), "NTS is not served") {
		t.Errorf("text: %s", out.String())
	}
}
