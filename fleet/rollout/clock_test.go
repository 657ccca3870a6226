package rollout

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/internal/proctest"
)

const oneWitness = "[[refclockd.witness]]\naddress = \"time.example\"\n"

// TestAFragmentReachesTheNodesThatNameIt: it goes to a file of the agent, in the order of a
// rollout. A node whose refclockd.toml does not name that file keeps its other part, is no
// first node, and nobody's file of root is written.
func TestAFragmentReachesTheNodesThatNameIt(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", "b", "c")
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]
	local := map[string]string{}
	for _, x := range s.nodes {
		dir := filepath.Join(x.dir, "cache")
		must(t, os.Mkdir(dir, 0o755))
		f := &x.files[1]
		f.Path, f.Apply, f.Check, f.Fragment = filepath.Join(dir, "refclockd.toml"), nil, nil, true
		local[x.name] = localClock
		if x != a {
			local[x.name] = fmt.Sprintf("fleet = %q\n%s", f.Path, localClock)
		}
		if x == c {
			local[x.name] += "[[witness]]\naddress = \"own.example\"\n"
		}
		proctest.Write(t, f.Local, local[x.name])
		x.keeper.cfg.Files, x.keeper.cfg.Generated = x.files[:2], nil
	}
	s.round()
	if got := fmt.Sprint(a.last.Report.Managed, b.last.Report.Managed, a.last.Report.Unmanaged); got != "[ntsserve] [ntsserve refclockd] []" {
		t.Errorf("kept: %s", got)
	}

	// Of the nodes that can show a result, the first one by name is b.
	set1 := set(t, oneWitness+"[ntsserve.access]\ndeny = [\"192.0.2.0/24\"]\n[[node.c.refclockd.witness]]\naddress = \"c.example\"\n")
	named := quick
	named.Canaries = []string{"a"}
	if _, err := s.fleet.Apply(t.Context(), set1, named, s.entry("apply")); !errors.Is(err, ErrNoCanary) || !strings.Contains(err.Error(), "refclockd.toml does not name the file of the agent") {
		t.Errorf("a as a canary: %v", err)
	}
	r, err := s.fleet.Apply(t.Context(), set1, quick, s.entry("apply"))
	if err != nil || fmt.Sprint(r.Granted) != "[b]" || !slices.Equal(r.Params.Programs, []Program{NTSServe, Refclockd}) {
		t.Fatalf("%v, %+v", err, r)
	}
	s.round()
	if text := s.file(b, 1); !strings.Contains(text, "time.example") || strings.Contains(text, "sim") || strings.Contains(s.file(c, 1), "example") {
		t.Errorf("not only the canary has it, or it has what is local:\n%s\n%s", text, s.file(c, 1))
	}
	s.during(10 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Done {
		t.Fatalf("rollout %+v", st.Rollout)
	}
	if !strings.Contains(s.file(c, 1), "c.example") || !strings.Contains(s.file(a, 0), "192.0.2.0/24") {
		t.Errorf("overlay of c, or the other part of a:\n%s\n%s", s.file(c, 1), s.file(a, 0))
	}
	if _, err := os.Stat(a.files[1].Path); err == nil || fmt.Sprint(a.last.Report.Skipped) != "[refclockd]" || len(b.last.Report.Skipped) > 0 {
		t.Errorf("a: %v, skipped %v; b skipped %v", err, a.last.Report.Skipped, b.last.Report.Skipped)
	}
	if got := sprint(c.last.Report.Overrides); !strings.Contains(got, "{refclockd witness local}") {
		t.Errorf("c overrides %s", got)
	}
	for _, x := range s.nodes {
		if text, err := os.ReadFile(x.files[1].Local); err != nil || string(text) != local[x.name] {
			t.Errorf("%s: the local file: %v\n%s", x.name, err, text)
		}
		if strings.Contains(fmt.Sprint(x.applied), "refclockd") {
			t.Errorf("%s: systemd was asked for refclockd: %v", x.name, x.applied)
		}
	}
	servers, _, err := refclockd.LoadFleet(b.files[1].Path)
	if err != nil || len(servers) != 1 || servers[0].Name != "time.example" {
		t.Errorf("refclockd reads %v, %v", servers, err)
	}

	// An operator names the file: the node follows.
	proctest.Write(t, a.files[1].Local, fmt.Sprintf("fleet = %q\n%s", a.files[1].Path, localClock))
	s.round()
	if !strings.Contains(s.file(a, 1), "time.example") {
		t.Errorf("a does not follow:\n%s", s.file(a, 1))
	}
	s.goesBackFromFragments()
}

// goesBackFromFragments: from one that refclockd would refuse, and from one that it does not
// use.
func (s *site) goesBackFromFragments() {
	t, a := s.t, s.nodes[0]
	before := s.file(a, 1)
	s.apply("[[refclockd.witness]]\naddress = \"time.example\"\ninterval = \"1s\"\n", quick)
	s.during(3 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "node a: refclockd would refuse the file") || !strings.Contains(st.Rollout.Why, "1s is out of range") || s.file(a, 1) != before {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 1))
	}

	var asked []Program
	a.keeper.cfg.OnTrial = func(of []Program) []string { asked = of; return []string{"refclockd: witnesses: x: no answer yet"} }
	s.apply("[[refclockd.witness]]\naddress = \"x\"\n", quick)
	s.during(10 * time.Minute)
	if st := s.state(); st.Rollout.Phase != Undone || !strings.Contains(st.Rollout.Why, "node a: not healthy after the change: refclockd: witnesses: x: no answer yet") || s.file(a, 1) != before {
		t.Errorf("rollout %+v\n%s", st.Rollout, s.file(a, 1))
	}
	if !slices.Contains(asked, Refclockd) || !a.last.Report.Healthy {
		t.Errorf("asked for %v; later a is %v", asked, a.last.Report.Reasons)
	}

	// A file that somebody else has written stays, and the report says so.
	proctest.Write(t, a.files[1].Path, before+"[[witness]]\naddress = \"mine\"\n")
	s.round()
	if why := a.last.Report.Files[Refclockd]; !strings.Contains(why, ErrEdited.Error()) {
		t.Errorf("an edited fragment: %q", why)
	}
	must(t, os.Remove(a.files[1].Path))
	s.round()
	if why := a.last.Report.Files[Refclockd]; why != "" || s.file(a, 1) != before {
		t.Errorf("after its removal: %q\n%s", why, s.file(a, 1))
	}
}
