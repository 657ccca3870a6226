package nts

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"
)

func TestInvalidRenewalIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg RingConfig
		ok  bool
	}{
		{RingConfig{Renew: -time.Hour}, false},
		{RingConfig{Renew: time.Hour}, false},         // shorter than a period
		{RingConfig{Keep: 64, Renew: 2 * day}, false}, // more secrets at once than a file may have
		{RingConfig{Renew: 8*day + time.Millisecond}, false},
		{RingConfig{Ahead: -time.Second}, false},
		{RingConfig{Ahead: 9 * day}, false},
		{RingConfig{Renew: NeverRenew}, true},
		{RingConfig{Renew: day}, true},
		{RingConfig{Ahead: 2 * day}, true},
		{RingConfig{Rotate: time.Minute, Keep: 1}, true},
	} {
		if _, err := NewRing(c.cfg, t0); (err == nil) != c.ok {
			t.Errorf("%+v: %v", c.cfg, err)
		}
	}
}

func TestRenewalAsOperatorsWriteIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{"": -2, "soon": -2, "0s": -2, "-1ns": -2, "auto": 0, "never": NeverRenew, "192h": 192 * time.Hour} {
		if d, err := ParseRenew(text); (err != nil) != (want == -2) || err == nil && d != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
}

// thief has copied the key file at some time.
type thief struct {
	at   time.Time
	file []byte
}

// canOpen tries all roots of the stolen file, whatever their beginning says.
func (x *thief) canOpen(t *testing.T, cfg RingConfig, now time.Time, cookie []byte) bool {
	t.Helper()
	roots, err := parseRoots(x.file)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(roots, func(rt root) bool {
		r := &Ring{cfg: cfg, roots: []root{rt}}
		r.publish(now)
		return opens(r, cookie) == nil
	})
}

// Years of a server that looks at its keys every few hours: a file that was
// stolen opens nothing that is sealed more than Renew + Ahead later, and valid
// cookies open all the time.
func TestStolenKeyFileOpensNothingSealedAfterItsTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		cfg  RingConfig
		step time.Duration
	}{
		{"defaults", RingConfig{}, 7 * time.Hour},
		{"shared, announced a day ahead", RingConfig{Ahead: day}, 5 * time.Hour},
		{"short periods", RingConfig{Rotate: time.Hour, Keep: 3}, 17 * time.Minute},
		{"new secret each period", RingConfig{Renew: day}, 11 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := c.cfg.withDefaults()
			if err != nil {
				t.Fatal(err)
			}
			p := path(t)
			r, err := OpenRing(p, c.cfg, t0)
			if err != nil {
				t.Fatal(err)
			}
			type sealed struct {
				at     time.Time
				cookie []byte
			}
			var cookies []sealed
			var thieves []thief
			secrets, last := 0, 0
			for now := t0; now.Before(t0.Add(90 * cfg.Renew)); now = now.Add(c.step) {
				r.Rotate(now)
				done, err := r.Renew(now)
				if err != nil {
					t.Fatal(err)
				}
				if done.Drawn {
					secrets++
					if early := done.Begins.Sub(now); early < cfg.Ahead {
						t.Fatalf("drawn at %v, begins at %v", now, done.Begins)
					}
				}
				last = len(r.roots)
				fresh := seal(t, r)
				for _, x := range thieves {
					if now.Sub(x.at) > cfg.Renew+cfg.Ahead+c.step && x.canOpen(t, cfg, now, fresh) {
						t.Fatalf("stolen at %v, opens a cookie sealed at %v", x.at, now)
					}
				}
				for _, x := range cookies {
					valid := now.Sub(x.at) <= time.Duration(cfg.Keep-1)*cfg.Rotate
					if err := opens(r, x.cookie); valid && err != nil {
						t.Fatalf("a cookie sealed at %v, at %v: %v", x.at, now, err)
					}
				}
				cookies = append(cookies, sealed{now, fresh})
				if len(cookies) > 60 {
					cookies = cookies[1:]
				}
				if b, err := os.ReadFile(p); err == nil && len(thieves) < 4 {
					thieves = append(thieves, thief{now, b})
				} else if err != nil {
					t.Fatal(err)
				}
			}
			if least := int(90 * cfg.Renew / (cfg.Renew + cfg.Ahead + c.step)); secrets < least-1 || last > maxRenewals+2 {
				t.Errorf("%d secrets were drawn, want %d; %d are in the file", secrets, least, last)
			}
		})
	}
}

func TestOldKeyFileIsRenewedAtOnceAndItsCookiesStayValid(t *testing.T) {
	t.Parallel()
	p := path(t)
	r := open(t, p, t0) // written by a version that never renewed
	now := t0.Add(400 * day)
	r.Rotate(now)
	old := seal(t, r)
	if s := r.Secrets(now); len(s) != 1 || !s[0].Until.Before(now) {
		t.Errorf("secrets before: %+v", s)
	}
	done, err := r.Renew(now)
	if err != nil || !done.Drawn || !done.Begins.Equal(now.Add(DefaultAhead)) {
		t.Fatalf("%+v, %v", done, err)
	}
	if again, err := r.Renew(now.Add(time.Second)); err != nil || again != (Renewal{}) {
		t.Errorf("a second later: %+v, %v", again, err)
	}
	later := done.Begins
	r.Rotate(later)
	if fresh := seal(t, r); bytes.Equal(fresh[:3], old[:3]) || opens(r, old) != nil {
		t.Errorf("the new secret does not seal, or the old cookie is void: %v", opens(r, old))
	}
	if s := r.Secrets(later); len(s) != 2 || s[0].Sealing || !s[1].Sealing || !s[0].Until.Equal(later) || !s[1].Until.Equal(later.Add(8*day)) {
		t.Errorf("secrets after: %+v", s)
	}
	r.Rotate(now.Add(20 * day))
	if done, err := r.Renew(now.Add(20 * day)); err != nil || done.Removed != 1 {
		t.Errorf("the old secret stays in the file: %+v, %v", done, err)
	}
}

// Two servers with one file draw one secret, and a third that only reads follows.
func TestServersThatShareAFileDrawOneSecret(t *testing.T) {
	t.Parallel()
	p := path(t)
	a, b := open(t, p, t0), open(t, p, t0)
	reader, err := OpenRing(p, RingConfig{Renew: NeverRenew}, t0)
	if err != nil {
		t.Fatal(err)
	}
	now := t0.Add(9 * day)
	first, err := a.Renew(now)
	if err != nil || !first.Drawn {
		t.Fatalf("%+v, %v", first, err)
	}
	if second, err := b.Renew(now.Add(time.Second)); err != nil || second.Drawn {
		t.Errorf("the second server: %+v, %v", second, err)
	}
	if third, err := reader.Renew(now); err != nil || third != (Renewal{}) {
		t.Errorf("one that never renews: %+v, %v", third, err)
	}
	if err := reader.Reload(now); err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{now, first.Begins, first.Begins.Add(day)} {
		for _, r := range []*Ring{a, b, reader} {
			r.Rotate(at)
		}
		for _, from := range []*Ring{a, b, reader} {
			for _, to := range []*Ring{a, b, reader} {
				if err := opens(to, seal(t, from)); err != nil {
					t.Errorf("at %v: %v", at, err)
				}
			}
		}
	}
	if s := reader.Secrets(first.Begins); len(s) != 2 || !s[1].Until.IsZero() {
		t.Errorf("secrets of one that never renews: %+v", s)
	}
}

func TestRenewalThatCannotBeWrittenChangesNothing(t *testing.T) {
	t.Parallel()
	p := path(t)
	r := open(t, p, t0)
	c := seal(t, r)
	if err := os.WriteFile(p, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	now := t0.Add(9 * day)
	if done, err := r.Renew(now); !errors.Is(err, ErrRingFile) || done != (Renewal{}) || !r.RenewalDue(now) {
		t.Errorf("%+v, %v", done, err)
	}
	if err := opens(r, c); err != nil {
		t.Error(err)
	}
	early := t0.Add(-time.Hour)
	if done, err := r.Renew(early); err != nil || done != (Renewal{}) {
		t.Errorf("a clock from before the first secret: %+v, %v", done, err)
	}
}

// Operators add and announce secrets at any time: the schedule goes on.
func TestRenewalAndOperatorsSecretsGoTogether(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 2))
	r := open(t, path(t), t0)
	for now := t0; now.Before(t0.Add(400 * day)); now = now.Add(time.Duration(rnd.IntN(48)) * time.Hour) {
		r.Rotate(now)
		if _, err := r.Renew(now); err != nil {
			t.Fatal(err)
		}
		if rnd.IntN(6) == 0 {
			if _, err := r.NewRoot(now.Add(time.Duration(rnd.IntN(20*24))*time.Hour), now); err != nil && !errors.Is(err, ErrRingFile) {
				t.Fatal(err)
			}
		}
		var sealing SecretInfo
		for _, s := range r.Secrets(now) {
			if s.Sealing {
				sealing = s
			}
		}
		if age := now.Sub(sealing.Since); age > 8*day+48*time.Hour {
			t.Fatalf("at %v the sealing secret is %v old", now, age)
		}
		if err := opens(r, seal(t, r)); err != nil {
			t.Fatal(err)
		}
	}
}
