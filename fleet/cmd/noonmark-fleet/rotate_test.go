package main

import (
	"encoding/json"
	"testing"
	"time"

	"noonmark/fleet/roots"
	"noonmark/fleet/store"
	"noonmark/internal/exitcode"
)

// show lets the node show a record with the present time.
func (x *configured) show(r store.Record) {
	x.t.Helper()
	r.Clock = time.Now().Unix()
	must(x.t, x.shown.Show(x.t.Context(), r))
}

// begin gives the fleet a root that seals, and its schedule.
func (x *configured) begin() (holds []roots.ID) {
	x.t.Helper()
	for {
		snap, err := x.own.Read(x.t.Context())
		must(x.t, err)
		d, err := roots.Step(snap.Plan, roots.View{Self: "a", Now: time.Now(), Nodes: snap.View()})
		must(x.t, err)
		switch {
		case d.Changed:
			must(x.t, x.own.Commit(x.t.Context(), snap, store.Change{Plan: d.Plan}))
		case d.Draw > 0:
			for range d.Draw {
				holds = append(holds, roots.ID{byte(len(holds) + 1)})
			}
			must(x.t, x.own.Commit(x.t.Context(), snap, store.Change{Plan: snap.Plan.Add(time.Now(), holds...)}))
			x.show(store.Record{Trusted: true, Rotates: true, Holds: holds, Plan: snap.Plan.Version + 1})
		default:
			x.show(store.Record{Trusted: true, Rotates: true, Holds: holds, Plan: snap.Plan.Version})
			return holds
		}
	}
}

// TestAnOperatorRotates: through all that can be refused.
func TestAnOperatorRotates(t *testing.T) {
	t.Parallel()
	x := newConfigured(t)
	x.want(exitcode.Unavailable, []string{"not all nodes can confirm", "node a is away", "rotate -wait 24h"}, "rotate")
	x.want(exitcode.Unavailable, []string{"this node has no lease"}, "rotate", "-wait", "24h")
	x.show(store.Record{Trusted: true})
	x.want(exitcode.Unavailable, []string{"node a has an agent of an earlier version"}, "rotate")
	x.show(store.Record{Rotates: true})
	x.want(exitcode.Unavailable, []string{"does not trust this node's clock"}, "rotate")
	x.show(store.Record{Trusted: true, Rotates: true})
	x.want(exitcode.Unavailable, []string{"no root has begun yet"}, "rotate")
	holds := x.begin()
	x.want(exitcode.DataErr, []string{"no rotation is ordered"}, "rotate", "-end")
	x.want(exitcode.Usage, []string{"1000h0m0s: the order", "want 2h0m0s to 192h0m0s"}, "rotate", "-wait", "1000h")

	x.want(exitcode.OK, []string{"new roots are being drawn"}, "rotate")
	x.want(exitcode.TempFail, []string{"a rotation is ordered already"}, "rotate")
	x.want(exitcode.OK, []string{": all nodes get new roots", "it waits: node a has not the present plan on its disc"}, "status")
	var r struct {
		Rotation *struct {
			Ordered, Ends, Early time.Time
			Waits                []struct{ Node, Reason string }
		}
	}
	must(t, json.Unmarshal([]byte(x.want(exitcode.OK, nil, "status", "-json")), &r))
	if o := r.Rotation; o == nil || o.Ends.Sub(o.Ordered) != 2*time.Hour || !o.Early.IsZero() || len(o.Waits) != 1 || o.Waits[0].Reason != "plan" {
		t.Errorf("status -json: %+v", r.Rotation)
	}
	x.want(exitcode.OK, []string{"the rotation is ended"}, "rotate", "-end")
	x.show(store.Record{}) // an agent of an earlier version
	x.want(exitcode.Unavailable, []string{"does not trust this node's clock"}, "rotate", "-wait", "24h")
	x.show(store.Record{Trusted: true, Holds: holds})
	x.want(exitcode.OK, []string{"it waits: node a has an agent of an earlier version", "new roots are being drawn"}, "rotate", "-wait", "24h")
	x.want(exitcode.OK, []string{"a                    rotate           ordered until ", "a                    rotate-end"}, "audit")
}
