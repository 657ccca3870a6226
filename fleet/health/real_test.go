package health

import (
	"context"
	"crypto/x509"
	"fmt"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/store"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// realServer is a real ntsserve that serves the clock of a snapshot, off from the true one.
type realServer struct {
	dir, ntp, ke string
	w            *status.Writer
	proc         *proctest.Process
}

// publish writes the snapshot of a clock that is off by off, + = fast.
func (s *realServer) publish(t *testing.T, state status.State, off time.Duration) {
	t.Helper()
	before := phc.MonoRaw()
	now := time.Now()
	mono := phc.MonoRaw()
	bound := 20*time.Microsecond + time.Duration(mono-before) // between the readings the processor may have been another's
	const utc = 37
	clock := tai.FromUnix(now.Unix(), int64(now.Nanosecond()), utc) + tai.Time(off)
	must(t, s.w.Write(&status.Snapshot{
		State: state, Kind: status.SystemClock, Stratum: 1, RefID: [4]byte{'G', 'P', 'S'}, PHCIndex: -1, Mono: mono, Clock: clock,
		LineErr: time.Microsecond, Bound: bound, BoundRate: 10, Limit: time.Second, TAIOffset: utc, RefTime: clock, Reason: "test",
	}))
}

func startServer(t *testing.T, ca *certs.Authority, extra string) *realServer {
	t.Helper()
	s := &realServer{dir: t.TempDir()}
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

func (s *realServer) start(t *testing.T, extra string) {
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

func (s *realServer) local() *Local {
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

func examineFile(t *testing.T, s *realServer, examine func(string)) {
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

// trusted is a node of a fleet with a real ntsserve.
type trusted struct {
	*node
	server *realServer
	trust  *Trust
	off    time.Duration // of its clock
}

// trustedSite is a fleet in a real etcd whose nodes compare their real ntsserve.
type trustedSite struct {
	*site
	nodes   []*trusted
	drained Trusted // the last round in which a node drained itself
}

func newTrustedSite(t *testing.T, names ...string) *trustedSite {
	t.Helper()
	s := &trustedSite{site: newSite(t, names...)}
	ca, pool := authority(t)
	for _, n := range s.site.nodes {
		x := &trusted{node: n, server: startServer(t, ca, "")}
		n.keeper.cfg.Reached = func() Peer { return Peer{Address: x.server.ke, TLS: "127.0.0.1", NTP: x.server.ntp} }
		c := &Comparison{Own: netip.MustParseAddrPort(x.server.ntp), Roots: pool, Timeout: 5 * time.Second}
		t.Cleanup(c.Close)
		x.trust = NewTrust(s.store, TrustConfig{
			Node: n.name, Compare: c.Compare, Mono: func() time.Duration { return s.now }, Now: time.Now, Timeout: time.Minute,
		})
		s.nodes = append(s.nodes, x)
		must(t, s.store.NewPresence(n.name, 10*time.Minute).Show(t.Context(), store.Record{State: "serves"}))
	}
	s.round()
	return s
}

// compare makes a round of each node, one after the other. The result has the rounds in
// which a node acted.
func (s *trustedSite) compare() (acted string) {
	s.t.Helper()
	s.round()
	for _, n := range s.nodes {
		for _, x := range s.nodes {
			x.server.publish(s.t, status.Locked, x.off)
		}
		r, err := n.trust.Round(s.t.Context())
		must(s.t, err)
		if r.Own != nil || len(r.Failed) > 0 {
			s.t.Fatalf("%s: %v, %v", n.name, r.Own, r.Failed)
		}
		switch {
		case r.Drained:
			s.drained = r
			acted += n.name + " drained "
		case r.Returned:
			acted += n.name + " returned "
		case r.Refused != nil:
			acted += n.name + " refused "
		}
	}
	return acted
}

func (s *trustedSite) drains() (list string) {
	s.t.Helper()
	snap, err := s.store.Read(s.t.Context())
	must(s.t, err)
	for _, n := range snap.Nodes {
		if n.Drain != "" {
			list += fmt.Sprintf("%s: %s\n", n.Name, n.Drain)
		}
	}
	return list
}

// TestANodeWhoseTimeDeviatesDrainsItselfAndReturns: three real ntsserve that compare
// themselves by NTS; one becomes wrong, and right again.
func TestANodeWhoseTimeDeviatesDrainsItselfAndReturns(t *testing.T) {
	t.Parallel()
	s := newTrustedSite(t, "a", "b", "c")
	c := s.nodes[2]
	for range deviatesAfter {
		if acted := s.compare(); acted != "" {
			t.Fatalf("all are right: %s", acted)
		}
	}
	c.off = 300 * time.Millisecond
	acted := ""
	for range deviatesAfter {
		acted += s.compare()
	}
	// The least that both allow; how much less than 300 ms that is, the delays of the answers decide.
	least := time.Duration(math.MinInt64)
	for _, x := range s.drained.Readings {
		least = max(least, x.Offset-x.Bound)
		if (x.Offset - c.off).Abs() > x.Bound {
			t.Errorf("%s reads %v, with a bound of %v", x.Name, x.Offset, x.Bound)
		}
	}
	if got, want := s.drains(), fmt.Sprintf("c: deviates: 2 of 2 witnesses agree that the clock is %v fast or more: a, b\n", least); acted != "c drained " || got != want {
		t.Fatalf("c is fast: %s, %s, want %s", acted, got, want)
	}
	s.round()
	if v := c.last.Verdict; v.Announce || !c.last.Facts.Drained {
		t.Errorf("c is announced: %+v", v)
	}
	if !s.nodes[0].last.Verdict.Announce || !s.nodes[1].last.Verdict.Announce {
		t.Error("the others are withdrawn")
	}
	if acted := s.compare(); acted != "" {
		t.Errorf("c stays wrong: %s", acted)
	}

	c.off = 0
	begun := s.now
	for acted = ""; acted == "" && s.now-begun < 5*defaultReturns; s.now += 2 * time.Minute { // a comparison that fails delays it
		if acted = s.compare(); acted != "" && s.now-begun < defaultReturns {
			t.Fatalf("%v after c is right: %s", s.now-begun, acted)
		}
	}
	if acted != "c returned " || s.drains() != "" {
		t.Errorf("c is right for long: %s, %s", acted, s.drains())
	}
	s.round()
	if !c.last.Verdict.Announce {
		t.Errorf("c is not announced: %+v", c.last.Verdict)
	}

	must(t, s.store.Drain(t.Context(), "c", "deviates: an operator says so", store.Entry{Time: time.Now(), Node: "operator", Action: "drain"}))
	s.now += 2 * defaultReturns
	if acted := s.compare() + s.compare(); acted != "" || s.drains() == "" {
		t.Errorf("an operator has drained c: %s, %s", acted, s.drains())
	}
	list, _, err := s.store.Audit(t.Context(), 100)
	must(t, err)
	own := ""
	for _, e := range list {
		if e.Node == "c" {
			own += e.Action + " "
		}
	}
	if own != "drain undrain " {
		t.Errorf("audit record of c: %s", own)
	}
}

// TestADeviantFindsOut: three real servers by NTS, the third one 300 ms fast.
func TestADeviantFindsOut(t *testing.T) {
	t.Parallel()
	ca, pool := authority(t)
	var list []*realServer
	var peers []Peer
	for _, name := range []string{"a", "b", "c"} {
		s := startServer(t, ca, "")
		list = append(list, s)
		peers = append(peers, Peer{Name: name, Address: s.ke})
	}
	others := func(i int) []Peer { return slices.Concat(peers[:i], peers[i+1:]) }
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
			if r = c.Compare(t.Context(), others(i)); len(r.Failed) > 0 || r.Own != nil {
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
		if r := c.Compare(ctx, others(2)); r.Deviates != "" || r.Failed["a"] == nil {
			t.Errorf("one witness of two: %q, %v", r.Deviates, r.Failed)
		}
	}
	// One that is back is asked for keys again, though a client would wait for long.
	for range freshAfter - deviatesAfter {
		c.Compare(ctx, others(2))
	}
	list[0].start(t, "")
	for _, s := range list {
		s.publish(t, status.Locked, 0)
	}
	back := &Comparison{Own: c.Own, Roots: pool, Timeout: 5 * time.Second, clients: c.clients}
	if r := back.Compare(t.Context(), others(2)); r.Failed["a"] != nil {
		t.Errorf("a witness that is back: %v", r.Failed)
	}
}
