package health

import (
	"context"
	"crypto/x509"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// daemon is a real ntsserve that serves the clock of a snapshot, off from the true one.
type daemon struct {
	dir, ntp, ke string
	w            *status.Writer
	proc         *proctest.Process
}

// publish writes the snapshot of a clock that is off by off, + = fast.
func (s *daemon) publish(t *testing.T, state status.State, off time.Duration) {
	t.Helper()
	now := time.Now()
	const utc = 37
	clock := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), utc) + tai.Time(off)
	must(t, s.w.Write(&status.Snapshot{
		State: state, Kind: status.SystemClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1, Mono: phc.MonoRaw(), Clock: clock,
		LineErr: time.Microsecond, Bound: 20 * time.Microsecond, BoundRate: 10, Limit: time.Second, TAIOffset: utc, RefTime: clock, Reason: "test",
	}))
}

func startServer(t *testing.T, ca *certs.Authority, extra string) *daemon {
	t.Helper()
	s := &daemon{dir: t.TempDir()}
	ports := proctest.FreePorts(t, 2)
	s.ntp, s.ke = fmt.Sprintf("127.0.0.1:%d", ports[0]), fmt.Sprintf("127.0.0.1:%d", ports[1])
	var err error
	s.w, err = status.Create(filepath.Join(s.dir, "status"))
	must(t, err)
	t.Cleanup(func() { s.w.Close() })
	s.publish(t, status.Locked, 0)
	leaf, err := ca.Issue([]string{"127.0.0.1"}, time.Hour, nil, time.Now())
	must(t, err)
	must(t, leaf.Save(s.dir))
	s.start(t, extra)
	return s
}

func (s *daemon) start(t *testing.T, extra string) {
	t.Helper()
	conf := proctest.Write(t, filepath.Join(s.dir, "ntsserve.toml"), fmt.Sprintf(`[source]
path = %q
[[endpoint]]
address = %q
workers = 1
[ke]
listen = %q
certificate = %q
key = %q
[keys]
file = %q
`, filepath.Join(s.dir, "status"), s.ntp, s.ke, filepath.Join(s.dir, certs.ServerCert), filepath.Join(s.dir, certs.ServerKey), filepath.Join(s.dir, "keys"))+extra)
	cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", conf)
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+s.dir) // as systemd does, for the counters
	s.proc = proctest.StartCmd(t, cmd)
	s.proc.WaitFor(t, "msg=ready")
}

func (s *daemon) local() *Local {
	return &Local{
		Status: filepath.Join(s.dir, "status"), Serving: filepath.Join(s.dir, "serving.json"), NTP: netip.MustParseAddrPort(s.ntp),
		KeyFile: filepath.Join(s.dir, "keys"), Timeout: 2 * time.Second,
	}
}

func authority(t *testing.T) (*certs.Authority, *x509.CertPool) {
	t.Helper()
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "fleet"}, time.Now())
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Cert)
	return ca, pool
}

// TestFactsOfARealServer: an ntsserve with its snapshot, its counters and its key file;
// then without each.
func TestFactsOfARealServer(t *testing.T) {
	t.Parallel()
	ca, _ := authority(t)
	s := startServer(t, ca, "")
	l := s.local()
	var problems []Problem
	examine := func(want string) {
		t.Helper()
		proctest.UntilState(t, fmt.Sprintf("the node has the problem %q", want), func() (bool, string) {
			if want == "" {
				s.publish(t, status.Locked, 0)
			}
			problems = Judge(l.Facts(t.Context(), time.Now()), Limits{Bound: time.Millisecond})
			state := fmt.Sprint(problems)
			if want == "" {
				return len(problems) == 0, state
			}
			return strings.Contains(state, want), state
		})
	}
	examine("")
	s.publish(t, status.Acquiring, 0)
	examine("not-locked: acquiring")
	examine("unsynchronised")
	proctest.UntilState(t, "the counters show requests and keys", func() (bool, string) {
		f := l.Facts(t.Context(), time.Now())
		return f.Keys > 0 && f.KeyAge >= 0 && f.Asked > 0 && f.Stratum > 0, fmt.Sprintf("%+v", f)
	}, s.proc)
	examineFile(t, s, examine)
	s.proc.Stop()
	examine("no-answer")
}

func examineFile(t *testing.T, s *daemon, examine func(string)) {
	t.Helper()
	must(t, os.Rename(filepath.Join(s.dir, "keys"), filepath.Join(s.dir, "away")))
	examine("key-file: missing")
	must(t, os.Rename(filepath.Join(s.dir, "away"), filepath.Join(s.dir, "keys")))
	examine("")
}

// TestAccessListsThatRefuseEverybodyFailTheGate: what a rollout must notice.
func TestAccessListsThatRefuseEverybodyFailTheGate(t *testing.T) {
	t.Parallel()
	ca, _ := authority(t)
	s := startServer(t, ca, "[access]\ndeny = [\"127.0.0.0/8\"]\n")
	l := s.local()
	l.Timeout = 50 * time.Millisecond
	proctest.UntilState(t, "refused requests are noticed", func() (bool, string) {
		p := fmt.Sprint(Judge(l.Facts(t.Context(), time.Now()), Limits{Gate: true, Sample: 1}))
		return strings.Contains(p, "no-answer") && strings.Contains(p, "few-answers"), p
	}, s.proc)
}

// TestADeviantFindsOut: three real servers by NTS, the third one 300 ms fast.
func TestADeviantFindsOut(t *testing.T) {
	t.Parallel()
	ca, pool := authority(t)
	var list []*daemon
	var peers []Peer
	for _, name := range []string{"a", "b", "c"} {
		s := startServer(t, ca, "")
		list = append(list, s)
		peers = append(peers, Peer{name, s.ke})
	}
	compare := func(i int) Compared {
		t.Helper()
		c := &Comparison{Own: netip.MustParseAddrPort(list[i].ntp), Roots: pool, Timeout: 5 * time.Second}
		defer c.Close()
		var r Compared
		for range deviatesAfter {
			for j, s := range list {
				off := time.Duration(0)
				if j == 2 {
					off = 300 * time.Millisecond
				}
				s.publish(t, status.Locked, off)
			}
			if r = c.Compare(t.Context(), Peers(peers[i].Name, peers)); len(r.Failed) > 0 || r.Own != nil {
				t.Fatalf("%v, %v", r.Failed, r.Own)
			}
		}
		return r
	}
	if r := compare(2); !strings.Contains(r.Deviates, "2 of 2 witnesses agree that the clock is") || !strings.Contains(r.Deviates, "fast or more: a, b") {
		t.Errorf("the deviant: %q, %v", r.Deviates, r.Readings)
	}
	if r := compare(0); r.Deviates != "" {
		t.Errorf("a node that is right: %q, %v", r.Deviates, r.Readings)
	}
	list[0].proc.Stop()
	c := &Comparison{Own: netip.MustParseAddrPort(list[2].ntp), Roots: pool, Timeout: 200 * time.Millisecond}
	defer c.Close()
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	for range deviatesAfter {
		if r := c.Compare(ctx, Peers("c", peers)); r.Deviates != "" || r.Failed["a"] == nil {
			t.Errorf("one witness of two: %q, %v", r.Deviates, r.Failed)
		}
	}
}
