package setup

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"noonmark/internal/doctor"
	"noonmark/server/certs"
)

// Setup waits until clients get time, by NTS too where it made the certificate.
func TestWaitForTheFirstAnswers(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		name                string
		receiver            bool
		locks, answers, nts int // after how many seconds; negative: never
		verify              bool
		waited              float64
		want                Outcome
		says                string
	}{
		{"NTS never answers", false, 0, 0, -1, true, 60, Outcome{Synchronised: true, NTS: "refused"}, "no answer with NTS: refused"},
		{"ntsserve never answers", false, 0, -1, 0, true, 60, Outcome{}, "ntsserve: no answer"},
		{"refclockd never locks", true, -1, 0, 0, true, 60, Outcome{State: "searching"}, "refclockd: searching"},
		{"NTS answers later than NTP", true, 5, 7, 12, true, 12, Outcome{State: "locked", Synchronised: true, Authenticated: true}, "stratum 1, also with NTS"},
		{"NTS is not verified", true, 5, 7, -1, false, 7, Outcome{State: "locked", Synchronised: true}, "ntsserve: stratum 1"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				after := func(s int) bool { return s >= 0 && time.Since(began) >= time.Duration(s)*time.Second }
				w := watch{receiver: x.receiver, reference: func(o *Outcome) {
					if o.Synchronised, o.State = after(x.locks), "searching"; o.Synchronised {
						o.State = "locked"
					}
				}, ask: func(_ context.Context, o *Outcome) {
					if o.Synchronised, o.Answer = after(x.answers), "no answer"; o.Synchronised {
						o.Answer = "stratum 1"
					}
				}}
				if x.verify {
					w.verify = func(context.Context) error {
						if !after(x.nts) {
							return errors.New("refused")
						}
						return nil
					}
				}
				var out bytes.Buffer
				o := w.live(t.Context(), &out, time.Minute)
				if o.Waited != x.waited || !strings.Contains(out.String(), x.says) {
					t.Errorf("waited %v s, said\n%s", o.Waited, &out)
				}
				o.Waited, o.Answer = 0, ""
				if o != x.want {
					t.Errorf("%+v, want %+v", o, x.want)
				}
			})
		})
	}
}

// Only what setup made and configured is verified.
func TestNTSIsVerifiedWhereSetupMadeIt(t *testing.T) {
	t.Parallel()
	s := load(t, "lan")
	m := s.look(nil)
	s.setUnits(m)
	p := s.carryOut(t, m, Defaults(m))
	authority := filepath.Join(s.root, authorityDir, certs.AuthorityCert)
	if verify, err := p.verifier(authority); err != nil || verify == nil {
		t.Errorf("own authority: %v", err)
	}
	for name, change := range map[string]func(*Plan){
		"a certificate of others":       func(p *Plan) { p.Certificate = Keep },
		"a configuration by hand":       func(p *Plan) { p.Files = []FileChange{{Path: ntsserveFile, Action: Keep}} },
		"no name":                       func(p *Plan) { p.Names = nil },
		"no NTS":                        func(p *Plan) { p.Answers.NTS = "none" },
		"a certificate that is ordered": func(p *Plan) { p.Answers.NTS = "acme time.example.org" },
	} {
		q := *p
		change(&q)
		if verify, err := q.verifier(authority); err != nil || verify != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(authority, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := p.verifier(authority); err == nil {
		t.Error("an empty authority is accepted")
	}
	for want, who := range map[string][]doctor.Process{
		"taken by chronyd: remove ntsservercert":   {{PID: 5, Name: "ntsserve"}, {PID: 7, Name: "chronyd"}},
		"taken by nginx (pid 7): stop it":          {{PID: 7, Name: "nginx"}},
		"nothing listens on TCP 4460: journalctl ": nil,
		"journalctl -u ntsserve shows why":         {{PID: 5, Name: "ntsserve"}},
	} {
		if got := remedyNTS(who, who != nil); !strings.Contains(got, want) {
			t.Errorf("%v: %q, want %q", who, got, want)
		}
	}
}
