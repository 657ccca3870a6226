package rollout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/fleettest"
	"noonmark/fleet/seal"
	"noonmark/fleet/store"
	"noonmark/fleet/store/storetest"
	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, writeFiles)) }

var must = fleettest.Must

// site is a fleet: a real etcd, and nodes whose files the real programs check.
type site struct {
	t        *testing.T
	store    *store.Store
	fleet    *Fleet
	nodes    []*testNode
	now      time.Duration
	programs map[Program]string
}

type testNode struct {
	name, dir string
	keeper    *Keeper
	presence  *store.Presence
	sick      string
	files     []File
	applied   []string // "ntsserve reload"
	broken    error    // of Apply
	last      Result
	generated string
}

func newSite(t *testing.T, names ...string) *site {
	t.Helper()
	s := &site{t: t, programs: map[Program]string{
		NTSServe: proctest.Program(t, "ntsserve"), Refclockd: proctest.Program(t, "refclockd"), Alert: proctest.Program(t, "refclockctl"),
	}}
	s.store = storetest.New(t, fleettest.Client(t, fleettest.Etcd(t).Endpoint()))
	s.fleet = Of(s.store)
	for _, n := range names {
		s.join(n)
	}
	return s
}

func (s *site) entry(action string) store.Entry {
	return store.Entry{Time: time.Now(), Node: "operator", Action: action}
}

const localServe = `# the operator's
[[endpoint]]
address = "127.0.0.1:123"
[access]
rate_limit = 4
`

const localClock = `[clock]
source = "sim"
[pulse]
source = "sim"
`

func (s *site) join(name string) {
	s.t.Helper()
	n := &testNode{name: name, dir: s.t.TempDir()}
	must(s.t, s.store.Register(s.t.Context(), name, seal.Generate().Public(), s.entry("join")))
	n.presence = s.store.NewPresence(name, 10*time.Minute)
	local := map[Program]string{NTSServe: localServe, Refclockd: localClock, Alert: "[[alert]]\nname = \"log\"\ntype = \"command\"\ncommand = [\"/bin/true\"]\n"}
	for _, p := range Programs() {
		path := filepath.Join(n.dir, string(p)+".toml")
		proctest.Write(s.t, path, local[p])
		proctest.Write(s.t, LocalPath(path), local[p])
		check := CheckCommand(p)
		check[0] = s.programs[p]
		n.files = append(n.files, File{Program: p, Path: path, Local: LocalPath(path), Check: check, Apply: func(_ context.Context, restart bool) error {
			n.applied = append(n.applied, fmt.Sprintf("%s restart=%t", p, restart))
			return n.broken
		}})
	}
	s.nodes = append(s.nodes, n)
	s.open(n)
}

func (s *site) open(n *testNode) {
	s.t.Helper()
	var err error
	n.keeper, err = New(s.fleet, Config{
		Node: n.name, State: filepath.Join(n.dir, "state"), Files: n.files,
		Health: func() []string {
			if n.sick != "" {
				return []string{n.sick}
			}
			return nil
		},
		Generated: func() map[Program]string { return map[Program]string{Refclockd: n.generated} },
		Mono:      func() time.Duration { return s.now }, Now: time.Now,
	})
	must(s.t, err)
}

// round makes a round of every node.
func (s *site) round() {
	s.t.Helper()
	for _, n := range s.nodes {
		must(s.t, n.presence.Show(s.t.Context(), store.Record{}))
		var err error
		if n.last, err = n.keeper.Round(s.t.Context()); err != nil {
			s.t.Fatalf("%s: %v", n.name, err)
		}
	}
}

// during lets time pass.
func (s *site) during(d time.Duration) {
	s.t.Helper()
	for end := s.now + d; s.now < end; s.now += 30 * time.Second {
		s.round()
	}
}

func (s *site) apply(text string, p Params) Rollout {
	s.t.Helper()
	r, err := s.fleet.Apply(s.t.Context(), set(s.t, text), p, s.entry("apply"))
	must(s.t, err)
	return r
}

func (s *site) state() *State {
	s.t.Helper()
	st, err := s.fleet.Read(s.t.Context())
	must(s.t, err)
	return st
}

func (s *site) file(n *testNode, p int) string {
	s.t.Helper()
	b, err := os.ReadFile(n.files[p].Path)
	must(s.t, err)
	return string(b)
}

var quick = Params{Step: 1, Soak: 60, Patience: 60}

func TestRolloutsWithRealPrograms(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b", "c")
	a := s.nodes[0]
	s.round()
	if ours, err := written(s.file(a, 0)); !ours || err != nil || a.applied[0] != "ntsserve restart=false" {
		t.Fatalf("the local file is not in force: %v, applied %v\n%s", err, a.applied, s.file(a, 0))
	}
	for _, x := range s.nodes {
		x.applied = nil
	}

	s.takesAGoodOne()
	s.refusesWhatAProgramRefuses()
	s.goesBackFromWhatHarms()
	s.undoes()
	audit, _, err := s.store.Audit(t.Context(), 100)
	must(t, err)
	if text := fmt.Sprint(audit); !strings.Contains(text, "rollout undone") || !strings.Contains(text, "apply rollout 1: configuration ") || !strings.Contains(text, "rollout back") ||
		!strings.Contains(text, "undo rollout 5: the empty configuration: wrong day") {
		t.Errorf("audit record: %s", text)
	}
}

// takesAGoodOne rolls out a configuration with an overlay: canary, the others, done.
func (s *site) takesAGoodOne() {
	t, a, b, c := s.t, s.nodes[0], s.nodes[1], s.nodes[2]
	const good = `
[ntsserve.access]
deny = ["192.0.2.0/24"]
rate_limit = 8
[alert.conditions]
bound = "1us"
[node.b.ntsserve.access]
deny = ["198.51.100.0/24"]
`
	diff, err := s.fleet.Diff(t.Context(), set(t, good))
	if err != nil || !strings.Contains(diff, "+ node.b.ntsserve.access.deny = ['198.51.100.0/24']") {
		t.Errorf("diff: %v\n%s", err, diff)
	}
	s.apply(good, quick)
	if _, err := s.fleet.Apply(t.Context(), set(t, "[ntsserve.ke]\nrate = 1\n"), quick, s.entry("apply")); !errors.Is(err, ErrBusy) {
		t.Errorf("two rollouts at once: %v", err)
	}
	s.round()
	if !strings.Contains(s.file(a, 0), "192.0.2.0/24") || strings.Contains(s.file(b, 0)+s.file(c, 0), "192.0.2.0/24") {
		t.Errorf("not only the canary has it:\n%s\n%s", s.file(a, 0), s.file(b, 0))
	}
	s.during(10 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Done {
		t.Fatalf("rollout %+v", st.Rollout)
	}
	for _, x := range s.nodes {
		if text := s.file(x, 0); !strings.Contains(text, "rate_limit = 4") || !strings.Contains(text, "deny") {
			t.Errorf("%s:\n%s", x.name, text)
		}
		if got := fmt.Sprint(x.applied); got != "[ntsserve restart=false alert restart=true]" {
			t.Errorf("%s applied %s: an access list needs no restart", x.name, got)
		}
		if got := sprint(x.last.Report.Overrides); !strings.Contains(got, "{ntsserve access.rate_limit local}") {
			t.Errorf("%s overrides %s", x.name, got)
		}
		if text, err := os.ReadFile(x.files[0].Local); err != nil || string(text) != localServe {
			t.Errorf("the local file: %v\n%s", err, text)
		}
		x.applied = nil
	}
	if !strings.Contains(s.file(b, 0), "198.51.100.0/24") || strings.Contains(s.file(b, 0), "192.0.2.0/24") {
		t.Errorf("the overlay of b:\n%s", s.file(b, 0))
	}
	if _, err := s.fleet.Apply(t.Context(), set(t, good), quick, s.entry("apply")); !errors.Is(err, ErrSame) {
		t.Errorf("the same again: %v", err)
	}
}

// refusesWhatAProgramRefuses: then no file changes.
func (s *site) refusesWhatAProgramRefuses() {
	t, a := s.t, s.nodes[0]
	before := s.file(a, 0)
	s.apply("[ntsserve.access]\nrate_prefix4 = 99\n", quick)
	s.during(3 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "node a: ntsserve refuses the file") || !strings.Contains(st.Rollout.Why, "99 is not a prefix length") {
		t.Errorf("rollout %+v", st.Rollout)
	}
	if s.file(a, 0) != before || len(a.applied) > 0 {
		t.Error("a file that was refused was written")
	}
}

// goesBackFromWhatHarms rolls out a configuration that makes the second node unhealthy:
// all go back, and it says why.
func (s *site) goesBackFromWhatHarms() {
	t, b, c := s.t, s.nodes[1], s.nodes[2]
	s.apply("[ntsserve.access]\nkiss_rate = 1\n[ntsserve.ke]\nrate = 5\n", quick)
	for range 20 {
		s.during(30 * time.Second)
		if strings.Contains(s.file(b, 0), "kiss_rate") {
			b.sick = "answered ratio 0.20 is below 0.50"
		}
	}
	st := s.state()
	if st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "node b: not healthy after the change: answered ratio 0.20") {
		t.Errorf("rollout %+v", st.Rollout)
	}
	for _, x := range s.nodes {
		if strings.Contains(s.file(x, 0), "kiss_rate") || !strings.Contains(s.file(x, 0), "deny") {
			t.Errorf("%s is not as before:\n%s", x.name, s.file(x, 0))
		}
	}
	if strings.Contains(fmt.Sprint(c.applied), "ntsserve") {
		t.Error("c had it")
	}
	if got := fmt.Sprint(b.applied); !strings.Contains(got, "ntsserve restart=true") {
		t.Errorf("b applied %s: [access] kiss_rate needs a restart", got)
	}
	if r := b.last.Report; r.Refused != st.Rollout.Number || !strings.Contains(r.Why, "answered ratio") {
		t.Errorf("b reports %+v", r)
	}
}

// undoes takes back a rollout that is in progress, and one that is done.
func (s *site) undoes() {
	t, a := s.t, s.nodes[0]
	before := s.file(a, 0)
	s.apply("[ntsserve.ke]\nrate = 7\n", quick)
	s.round()
	if !strings.Contains(s.file(a, 0), "rate = 7") {
		t.Fatalf("the canary does not have it:\n%s", s.file(a, 0))
	}
	r, err := s.fleet.Undo(t.Context(), "a mistake", s.entry("undo"))
	if err != nil || r.Phase != Back {
		t.Fatalf("undo: %v, %+v", err, r)
	}
	s.during(2 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || s.file(a, 0) != before {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 0))
	}
	if _, err := s.fleet.Undo(t.Context(), "again", s.entry("undo")); !errors.Is(err, ErrIdle) || !strings.Contains(err.Error(), "taken back already: a mistake") {
		t.Errorf("undo of what was undone: %v", err)
	}

	// The base of the first rollout, which is the last one that was done, is empty. The
	// rollout that undoes it has an order, too.
	first := s.state().Rollout.InForce()
	must(t, s.fleet.commit(t.Context(), s.state().Revision, Rollout{Number: 4, Target: first, Phase: Done, Params: quick}, store.Entry{}))
	if r, err = s.fleet.Undo(t.Context(), "wrong day", s.entry("undo")); err != nil || r.Phase != Canary || r.Target != "" {
		t.Fatalf("undo of a rollout that is done: %v, %+v", err, r)
	}
	s.round()
	if b := s.nodes[1]; strings.Contains(s.file(a, 0), "192.0.2.0/24") || !strings.Contains(s.file(b, 0), "198.51.100.0/24") {
		t.Errorf("not only the canary is back:\n%s\n%s", s.file(a, 0), s.file(b, 0))
	}
	s.during(10 * time.Minute)
	for _, x := range s.nodes {
		if text := s.file(x, 0); strings.Contains(text, "deny") || !strings.Contains(text, "rate_limit = 4") {
			t.Errorf("%s:\n%s", x.name, text)
		}
	}
	if st := s.state(); st.Rollout.Phase != Done {
		t.Errorf("rollout %+v", st.Rollout)
	}
}

// TestANodeWithoutALocalFileIsLeftAlone: it takes nothing, confirms nothing and holds
// nobody up. When the operator writes the local file, it follows.
func TestANodeWithoutALocalFileIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b")
	a, b := s.nodes[0], s.nodes[1]
	for _, x := range s.nodes { // as noonmark-fleet run has it
		x.keeper.cfg.Files = x.files[:1]
	}
	must(t, os.Remove(a.files[0].Local))
	s.round()
	if got := fmt.Sprint(a.last.Report.Unmanaged); got != "[ntsserve]" || len(b.last.Report.Unmanaged) > 0 {
		t.Errorf("a leaves %s alone, b %v", got, b.last.Report.Unmanaged)
	}

	const good = "[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\n"
	named := quick
	named.Canaries = []string{"a"}
	if _, err := s.fleet.Apply(t.Context(), set(t, good), named, s.entry("apply")); !errors.Is(err, ErrNoCanary) || !strings.Contains(err.Error(), "there is no ntsserve.local.toml") {
		t.Errorf("a as a canary: %v", err)
	}
	named.Canaries = []string{"z"}
	if _, err := s.fleet.Apply(t.Context(), set(t, good), named, s.entry("apply")); !errors.Is(err, ErrNoCanary) || !strings.Contains(err.Error(), "no node z") {
		t.Errorf("a canary that is no node: %v", err)
	}
	if _, err := s.fleet.Apply(t.Context(), set(t, good+"[node.z.ntsserve.access]\nrate_limit = 1\n"), quick, s.entry("apply")); !errors.Is(err, store.ErrNoNode) || !strings.Contains(err.Error(), "lists them: a, b") {
		t.Errorf("an overlay of a node that is none: %v", err)
	}
	if r := s.apply(good, quick); fmt.Sprint(r.Granted) != "[b]" {
		t.Errorf("granted %v", r.Granted)
	}
	s.during(5 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Done || s.file(a, 0) != localServe || len(a.applied) > 0 || a.last.Report.Applied != "" {
		t.Errorf("rollout %+v, a applied %v, reports %+v\n%s", st.Rollout, a.applied, a.last.Report, s.file(a, 0))
	}
	if !strings.Contains(s.file(b, 0), "192.0.2.0/24") {
		t.Errorf("b:\n%s", s.file(b, 0))
	}

	proctest.Write(t, a.files[0].Local, localServe)
	s.round()
	if !strings.Contains(s.file(a, 0), "192.0.2.0/24") || !strings.Contains(s.file(a, 0), "rate_limit = 4") {
		t.Errorf("a does not follow:\n%s", s.file(a, 0))
	}

	// A local file that is lost is no wish to be left alone.
	must(t, os.Remove(a.files[0].Local))
	s.round()
	if r := a.last.Report; len(r.Unmanaged) > 0 || !strings.Contains(r.Files[NTSServe], "restore it") {
		t.Errorf("the local file is lost: %+v", r)
	}
	proctest.Write(t, a.files[0].Local, localServe)

	// A program whose file the agents do not keep is refused by name.
	_, err := s.fleet.Apply(t.Context(), set(t, good+"[alert.conditions]\nbound = \"1us\"\n"), quick, s.entry("apply"))
	if !errors.Is(err, ErrNoCanary) || !strings.Contains(err.Error(), "a: it takes nothing for alert from the fleet") {
		t.Errorf("alerts, which nobody keeps: %v", err)
	}
}

func TestANodeKeepsItsFilesThroughFailures(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b")
	a := s.nodes[0]
	s.round()

	// A reload that fails is a refusal, and the old file is in place again.
	a.broken = errors.New("unit not found")
	s.apply("[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\n", quick)
	s.during(2 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "unit not found") || strings.Contains(s.file(a, 0), "192.0.2.0") {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 0))
	}
	a.broken = nil

	// An operator who edits the file that is generated: it is not overwritten.
	edited := s.file(a, 0) + "# mine\n"
	proctest.Write(t, a.files[0].Local, localServe)
	proctest.Write(t, a.files[0].Path, edited)
	s.apply("[ntsserve.access]\ndeny = [\"192.0.2.1\"]\n", quick)
	s.during(2 * time.Minute)
	if st := s.state(); !strings.Contains(st.Rollout.Why, "edited by hand") || s.file(a, 0) != edited {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 0))
	}
	must(t, os.Remove(a.files[0].Path))

	// The agent is killed during a trial, and begins again with what is on the disc.
	s.apply("[ntsserve.access]\ndeny = [\"192.0.2.2\"]\n", quick)
	s.round()
	if !a.keeper.kept.Trial {
		t.Fatalf("no trial: %+v", a.keeper.kept)
	}
	s.now += 59 * time.Second
	s.open(a)
	s.round()
	s.now += 59 * time.Second
	s.round()
	if !a.last.Report.Trial {
		t.Error("time before the restart counts")
	}

	// It is cut off from etcd, and the change harms it: it goes back by itself.
	fleet := a.keeper.fleet
	gone := storetest.Open(t, fleettest.Client(t, "127.0.0.1:1"), storetest.Name)
	a.keeper.fleet, a.keeper.cfg.Timeout = Of(gone), 50*time.Millisecond
	a.sick = "not locked"
	for range 4 {
		var err error
		if a.last, err = a.keeper.Round(t.Context()); err == nil {
			t.Error("no error without etcd")
		}
		s.now += 30 * time.Second
	}
	if r := a.last.Report; r.Applied != "" || !strings.Contains(r.Why, "not locked") || strings.Contains(s.file(a, 0), "192.0.2.2") {
		t.Errorf("%+v\n%s", r, s.file(a, 0))
	}
	a.keeper.fleet, a.keeper.cfg.Timeout = fleet, time.Minute
	a.sick = ""
	s.during(2 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone {
		t.Errorf("rollout %+v", st.Rollout)
	}

	// A change of the local file, and of generated witnesses, is checked and written.
	a.applied = nil
	proctest.Write(t, a.files[0].Local, strings.Replace(localServe, "4", "5", 1))
	a.generated = "[[witness]]\naddress = \"192.0.2.7\"\n"
	s.round()
	if got := fmt.Sprint(a.applied); got != "[ntsserve restart=true refclockd restart=true]" {
		t.Errorf("applied %s", got)
	}
	if !strings.Contains(s.file(a, 0), "rate_limit = 5") || !strings.Contains(s.file(a, 1), "192.0.2.7") {
		t.Errorf("files:\n%s\n%s", s.file(a, 0), s.file(a, 1))
	}
	proctest.Write(t, a.files[0].Local, "[access]\nrate_limit = -1\n")
	s.round()
	if got := a.last.Report.Files[NTSServe]; !strings.Contains(got, "access.rate_limit") || !strings.Contains(s.file(a, 0), "rate_limit = 5") {
		t.Errorf("a local file with an error: %q\n%s", got, s.file(a, 0))
	}
	a.applied = nil
	s.round()
	if len(a.applied) > 0 || a.last.Report.Files[NTSServe] == "" {
		t.Errorf("checked again without a change, or forgotten: %v", a.last.Report.Files)
	}
}

func TestDamagedConfigurationInEtcdIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	a := s.nodes[0]
	s.round()
	before := s.file(a, 0)
	evil := Set{All: Fragments{NTSServe: "user = \"root\"\n"}, Nodes: map[string]Fragments{}}
	_, err := s.fleet.Apply(t.Context(), evil, quick, s.entry("apply"))
	must(t, err)
	s.during(2 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, ErrKey.Error()) || s.file(a, 0) != before {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 0))
	}
	// A text whose content was replaced, and a report that is none.
	good := set(t, "[ntsserve.access]\nkiss_rate = 2\n")
	part := s.store.Part(PartName)
	r := s.apply("[ntsserve.access]\nkiss_rate = 2\n", quick)
	_, err = part.Client().Put(t.Context(), part.Key("text", fingerprint(good.All[NTSServe])), "[access]\nkiss_rate = 3\n")
	must(t, err)
	_, err = part.Client().Put(t.Context(), part.Key("at", "zz"), "{")
	must(t, err)
	s.during(2 * time.Minute)
	if st := s.state(); st.Rollout.Number != r.Number || st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "another content") || len(st.Bad) != 1 {
		t.Errorf("rollout %+v, bad %v", st.Rollout, st.Bad)
	}
	proctest.Write(t, filepath.Join(a.dir, "state"), "{")
	if _, err := New(s.fleet, a.keeper.cfg); !errors.Is(err, ErrState) {
		t.Errorf("damaged state: %v", err)
	}
}

// TestWhatSystemdDeniesIsNamed: with the texts of systemctl 252.
func TestWhatSystemdDeniesIsNamed(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"Failed to restart ntsserve.service: Interactive authentication required.\nSee system logs and 'systemctl status ntsserve.service' for details.": true,
		"Failed to reload ntsserve.service: Access denied":                    true,
		"Failed to connect to bus: Operation not permitted":                   true,
		"Failed to reload ntsserve.service: Unit ntsserve.service not found.": false,
		"Job for ntsserve.service failed.":                                    false,
	} {
		if got := deniedBySystemd(oneLine(text)); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
	if got := oneLine("a\nb\n"); got != "a; b" {
		t.Errorf("one line: %q", got)
	}
}
