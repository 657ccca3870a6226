package certs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/roots"
	"noonmark/fleet/store/storetest"
)

func TestSettingsInEtcdAreInput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"no JSON", "{", "are damaged in etcd"},
		{"no name", `{"challenge":"http-01","accept_terms":true}`, "there are 0 names"},
		{"a file for a name", `{"names":["../x"],"challenge":"http-01","accept_terms":true}`, "neither a domain name"},
		{"no terms", `{"names":["a.test"],"challenge":"http-01"}`, "terms of service"},
		{"another challenge", `{"names":["a.test"],"challenge":"sh","accept_terms":true}`, `challenge "sh"; want http-01 or dns-01`},
		{"a wildcard over HTTP", `{"names":["*.a.test"],"challenge":"http-01","accept_terms":true}`, "a wildcard needs dns-01"},
		{"roots that are none", `{"names":["a.test"],"challenge":"http-01","accept_terms":true,"roots":"x"}`, "no certificate in PEM"},
		{"too long", `{"names":["` + strings.Repeat("a", maxValue) + `"]}`, "at most"},
	} {
		if _, err := decodeSettings([]byte(c.text), 1); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	s, err := decodeSettings([]byte(`{"names":["*.a.test","a.test"],"challenge":"dns-01","accept_terms":true,"command":"/bin/sh","pem":"/etc/passwd"}`), 7)
	must(t, err)
	if a, err := s.ACME(Local{HTTP: ":80"}); err != nil || !a.TakesOnly || len(a.DNS) > 0 || a.HTTP != "" || s.Revision != 7 {
		t.Errorf("without a command of its own: %+v, %v", a, err)
	}
	if a, err := s.ACME(Local{HTTP: ":80", DNS: "/x"}); err != nil || a.TakesOnly || len(a.DNS) != 1 || a.DNS[0] != "/x" {
		t.Errorf("with one: %+v, %v", a, err)
	}
}

// TestWhatOtherSettingsChange: an order of another directory is given up, its certificate is
// replaced, and what failed with settings of before does not wait.
func TestWhatOtherSettingsChange(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	in := View{Now: now, Trusted: true, Names: []string{"a"}, Directory: "new", Settings: 5, NotAfter: now.Add(80 * 24 * time.Hour), Life: 90 * 24 * time.Hour, Covers: true, Holder: true, HasAccount: true, HasKey: true}
	id := roots.ID{1}
	good := State{Generation: 1, Account: id, Directory: "new"}
	other := good
	other.Directory = "old"
	order := other.began("x", "old", 0, in.Names, id, now).opened("url")
	pending := in
	pending.Status = Pending
	failed := other.began("x", "new", 0, in.Names, id, now).failed("why", 5, now)
	changed, before := in, in
	changed.Settings, before.Settings = 6, 4
	takes := in
	takes.Trusted = false
	for _, c := range []struct {
		name string
		s    State
		v    View
		want Act
	}{
		{"an order of another directory", order, pending, Abandon},
		{"an order of this one", good.began("x", "new", 0, in.Names, id, now).opened("url"), pending, Authorize},
		{"an order with keys that are replaced", good.began("x", "new", 0, in.Names, id, now).opened("url"), replaced(pending), Abandon},
		{"an account that is replaced", good, replaced(in), Register},
		{"an account that is replaced, and of which this node has no key", good, lost(replaced(in)), Register},
		{"a certificate that is replaced", withAccount(good), replaced(in), Begin},
		{"a certificate of another directory", other, in, Begin},
		{"one of this directory", good, in, Resign},
		{"a failure with these settings", failed, in, Resign},
		{"a failure with settings that this node has not read yet", failed, before, Resign},
		{"a failure with settings of before", failed, changed, Begin},
		{"a node that orders nothing", other, takes, Resign},
	} {
		if got := c.s.Next(c.v); got != c.want {
			t.Errorf("%s: act %d, want %d", c.name, got, c.want)
		}
	}
	if s := order.issued("chain"); s.Directory != "old" || s.Settings != 0 {
		t.Errorf("issued: %+v", s)
	}
}

func replaced(v View) View {
	v.Epoch = 1
	return v
}

func lost(v View) View {
	v.HasAccount, v.HasKey = false, false
	return v
}

func withAccount(s State) State {
	s.AccountEpoch = 1
	return s
}

func TestSettingsAreSetShownAndEnded(t *testing.T) {
	t.Parallel()
	of := storetest.New(t, fleettest.Client(t, startEtcd(t)))
	e := storetest.Entry("certificate settings")
	f := Of(of)
	if err := f.Off(t.Context(), e); !errors.Is(err, ErrOff) {
		t.Errorf("off without settings: %v", err)
	}
	s := Settings{Names: []string{"a.test"}, Challenge: HTTP01}
	if err := f.Set(t.Context(), s, false, e); !errors.Is(err, ErrConfig) {
		t.Errorf("settings without terms: %v", err)
	}
	s.AcceptTerms = true
	must(t, f.Set(t.Context(), s, true, e))
	must(t, f.Set(t.Context(), s, false, e))
	must(t, f.Show(t.Context(), "a", Report{Generation: 3}))
	_, err := f.part.Client().Put(t.Context(), f.part.Key("at", "b"), "{")
	must(t, err)
	o, err := f.Read(t.Context())
	must(t, err)
	if o.Settings == nil || o.Settings.Revision == 0 || o.Settings.Epoch != 1 || o.Reports["a"].Generation != 3 || len(o.Bad) != 1 || !strings.HasSuffix(o.Bad[0].Key, "/b") {
		t.Errorf("%+v", o)
	}
	_, err = f.part.Client().Put(t.Context(), f.part.Key("token", "x"), "y")
	must(t, err)
	must(t, f.Off(t.Context(), e))
	left, err := f.part.Client().Get(t.Context(), f.part.Key("token", "x"))
	must(t, err)
	if s, err := f.Settings(t.Context()); s != nil || err != nil || left.Count != 0 {
		t.Errorf("after the end: %+v, %v, %d answers", s, err, left.Count)
	}
	lines, _, err := of.Audit(t.Context(), 10)
	must(t, err)
	text := ""
	for _, l := range lines {
		text += l.Action + " " + l.Detail + "\n"
	}
	for _, want := range []string{"certificate settings a.test from Let's Encrypt by http-01\n", "certificate settings off\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit record has no %q:\n%s", want, text)
		}
	}
}
