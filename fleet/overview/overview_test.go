package overview

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/certs"
	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/fleetview"
)

// plan has a root that only opens, one that seals, one that is ahead and one that waits.
func plan(t *testing.T, now int64) (p roots.Plan, ids [4]roots.ID) {
	t.Helper()
	p, err := roots.New(roots.Defaults(), time.Unix(now-100*86400, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i, since := range []int64{now - 9*86400, now - 86400, now + 7*86400, 0} {
		ids[i][0] = byte(i + 1)
		p.Roots = append(p.Roots, roots.Root{ID: ids[i], Since: since, Published: now - 90*86400})
	}
	p.Version = 7
	return p, ids
}

// What a node does not show is not known, and never healthy.
func TestWhatNodesShow(t *testing.T) {
	t.Parallel()
	now := time.Unix(1790000000, 0)
	p, ids := plan(t, now.Unix())
	live := func(name string, holds ...roots.ID) store.Node {
		return store.Node{Name: name, Live: true, Record: store.Record{State: "serves", Trusted: true, Clock: now.Unix() - 3, Holds: holds}}
	}
	bound := int64(120)
	src := &Sources{
		At: now, Fleet: &store.Snapshot{Plan: p, Planner: "b", Nodes: []store.Node{live("a", ids[0], ids[1]), live("b", ids[1]), {Name: "c", Drain: "laggard"}, live("d")}},
		Health: []health.Entry{
			{Name: "a", Live: true, Up: true, Record: health.Record{Healthy: true, BoundNS: &bound, Stratum: 1, Load: 12.5, State: "locked, disciplined"}},
			{Name: "b", Live: true, Record: health.Record{Announced: true, Reasons: []string{"no-answer: timeout"}}},
			{Name: "c", Up: true},
			{Name: "removed", Live: true, Up: true},
		},
		Configuration: &rollout.State{Rollout: rollout.Rollout{Number: 3, Phase: rollout.Canary, Target: "t", Granted: []string{"a"}}, Nodes: []rollout.NodeView{
			{Name: "a", Live: true, Report: rollout.Report{Applied: "t", Rollout: 3, Trial: true}},
			{Name: "b", Live: true, Report: rollout.Report{Unmanaged: []rollout.Program{rollout.NTSServe}}},
			{Name: "d", Report: rollout.Report{Files: map[rollout.Program]string{rollout.NTSServe: "edited by hand"}, Overrides: []rollout.Override{{Program: rollout.NTSServe, Key: "ke.rate", By: "local"}}}},
		}},
		Certificate: &certs.Overview{
			Settings: &certs.Settings{Names: []string{"time.test"}, Challenge: certs.HTTP01}, State: certs.State{Generation: 2},
			Reports: map[string]certs.Report{"a": {Generation: 2, NotAfter: 1800000000}, "b": {Why: "left alone: test", Alone: true}, "d": {Generation: 1}},
		},
	}
	v := Of("f", "a", now, src, agent.Local{Plan: p, Holds: ids[:3]}, nil)
	b, err := json.Marshal(v.Nodes)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`"name":"a","live":true,"state":"serves","drain":"","clock_trusted":true,"clock_s":-3,"plan":0,"holds":2,"health":{"announced":true,"healthy":true,"kept":false,"reasons":[],"clock":"locked, disciplined","bound_ns":120,"stratum":1,"load":12.5}`,
		`"health":{"announced":false,"healthy":false,"kept":false,"reasons":["no-answer: timeout"],`,
		`"name":"c","live":false,"state":"away","drain":"laggard","clock_trusted":false,"clock_s":0,"plan":0,"holds":0,"health":null`,
		`"state":"on trial"`, `"unmanaged":["ntsserve"],"state":"left alone: there is no ntsserve.local.toml"`,
		`"overrides":[{"program":"ntsserve","key":"ke.rate","by":"local"}],"files":{"ntsserve":"edited by hand"}`,
		`"generation":2,"not_after":1800000000,"state":"in place"`, `"why":"left alone: test","alone":true,"state":"left alone: test"`, `"state":"has not taken it yet"`,
	} {
		if !strings.Contains(string(b), want) {
			t.Errorf("no %s:\n%s", want, b)
		}
	}
	if v.Serving != 3 || v.Planner != "b" || len(v.Nodes) != 4 || v.Etcd != "" || v.Certificate.Generation != 2 || v.Rollout.Phase != "canary" {
		t.Errorf("%+v", v)
	}
}

// The schedule has when each root seals, and when it is removed.
func TestScheduleOfRoots(t *testing.T) {
	t.Parallel()
	const now = 1790000000
	p, ids := plan(t, now)
	at := func(s int64) time.Time { return time.Unix(s, 0).UTC() }
	const kept = 9*86400 + 3600 // (keep + 1) * rotate, and the lead
	want := []fleetview.Root{
		{ID: ids[0].String(), State: "opens", Since: at(now - 9*86400), Until: at(now - 86400), Expires: at(now - 86400 + kept)},
		{ID: ids[1].String(), State: "sealing", Since: at(now - 86400), Until: at(now + 7*86400), Expires: at(now + 7*86400 + kept)},
		{ID: ids[2].String(), State: "planned", Since: at(now + 7*86400), Until: at(now + 15*86400), Expires: at(now + 15*86400 + kept)},
		{ID: ids[3].String(), State: "pending"},
	}
	// Without etcd they are those of the disc.
	v := Of("f", "a", at(now), &Sources{}, agent.Local{Plan: p, Holds: ids[:]}, errors.New("gone"))
	if len(v.Roots) != len(want) {
		t.Fatalf("%+v", v.Roots)
	}
	for i, w := range want {
		if v.Roots[i] != w {
			t.Errorf("root %d: %+v, want %+v", i, v.Roots[i], w)
		}
	}
	if v.Etcd != "gone" || v.Until != at(now+15*86400) || v.Without != at(now+15*86400-1800) || v.Rollout != nil || len(v.Nodes) != 0 {
		t.Errorf("without etcd: %+v", v)
	}
	// An order waits for nodes that are known only from etcd.
	ordered := p
	ordered.Rotation = &roots.Rotation{Ordered: now - 60, Ends: now + 3600}
	if r := Of("f", "a", at(now), &Sources{}, agent.Local{Plan: ordered}, nil).Rotation; r == nil || r.Ordered != at(now-60) || r.Ends != at(now+3600) || !r.Early.IsZero() || len(r.Waits) != 0 {
		t.Errorf("an order, without etcd: %+v", r)
	}
	away := &Sources{Fleet: &store.Snapshot{Plan: ordered, Nodes: []store.Node{{Name: "b"}}}}
	if r := Of("f", "a", at(now), away, agent.Local{}, nil).Rotation; r == nil || len(r.Waits) != 1 || r.Waits[0].Node != "b" || r.Waits[0].Reason != "away" || r.Waits[0].Why == "" {
		t.Errorf("an order: %+v", r)
	}
	// A plan on the disc that is newer than what was read is the present one.
	old := p
	old.Version, old.Roots = 6, p.Roots[:2]
	if v := Of("f", "a", at(now), &Sources{Fleet: &store.Snapshot{Plan: old}}, agent.Local{Plan: p}, nil); v.Plan != 7 || len(v.Roots) != 4 {
		t.Errorf("plan %d with %d roots, want the one of the disc", v.Plan, len(v.Roots))
	}
}

// Doctor and page tell states apart by words that are this module's.
func TestWordsOfStates(t *testing.T) {
	t.Parallel()
	for r, want := range map[roots.Readiness]string{
		roots.Serves: fleetview.Serves, roots.IsDrained: fleetview.Drained, roots.ClockUntrusted: fleetview.ClockUntrusted, roots.OtherPeriods: fleetview.OtherPeriods,
	} {
		if r.Word() != want {
			t.Errorf("%v is %q in views, and %q in plans", r, want, r.Word())
		}
	}
}
