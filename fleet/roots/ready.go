package roots

import (
	"slices"
	"time"
)

// Local is what a node knows of itself.
type Local struct {
	Now     time.Time
	Trusted bool // refclockd trusts the clock
	Drained bool
	Holds   []ID // roots whose secrets are in the key file or ready for it

	// Rotate and Keep are those of its ntsserve. Rotate 0: those of the fleet.
	Rotate time.Duration
	Keep   int

	// Confirmed is how long ago, by a monotonic clock, etcd confirmed with a
	// linearizable read that the plan is the present one. Negative: never.
	Confirmed time.Duration
}

// Readiness says whether a node may serve, and if not, why. Its String is for people,
// Word is the label of a metric.
type Readiness uint8

// The states of readiness.
const (
	Serves         Readiness = iota // it may serve
	ClockUntrusted                  // refclockd does not trust the clock
	IsDrained                       // an operator or a planner has drained it
	NoRoot                          // no root has begun
	MissingRoot                     // it lacks a root that may have sealed cookies
	PlanEnded                       // its plan has ended, and etcd does not confirm it
	OtherPeriods                    // its ntsserve derives other keys from the same roots
)

var readiness = [...]struct{ word, message string }{
	Serves:         {"serves", "serves"},
	ClockUntrusted: {"clock-untrusted", "refclockd does not trust the clock; run: refclockctl doctor"},
	IsDrained:      {"drained", "is drained; when it may serve again, run: noonmark-fleet undrain NODE"},
	NoRoot:         {"no-root", "no root secret has begun; it waits for a node that may plan"},
	MissingRoot:    {"missing-root", "lacks a root secret that seals cookies; it waits for a node that holds it"},
	PlanEnded:      {"plan-ended", "the schedule of root secrets has ended and etcd does not answer; repair the connection to etcd"},
	OtherPeriods:   {"other-periods", "has another keys.rotate or keys.keep in ntsserve.toml than the fleet; noonmark-fleet status shows those of the fleet"},
}

// String says why the node does not serve.
func (r Readiness) String() string { return readiness[r].message }

// Word is the label of the metric.
func (r Readiness) Word() string { return readiness[r].word }

// Ready decides whether a node whose key file was written from this plan may serve.
//
// A root that the node does not know begins no earlier than Until, and no earlier
// than a lead after a planner has written it. So the node serves while its plan
// reaches half a lead further, or while it is known that no other plan was written
// half a lead ago.
func (p Plan) Ready(l Local) Readiness {
	now, margin := l.Now.Unix(), seconds(p.Params.Lead)/2
	switch _, ok := p.Sealing(now); {
	case !l.Trusted:
		return ClockUntrusted
	case l.Drained:
		return IsDrained
	case l.Rotate != 0 && (l.Rotate != p.Params.Rotate || l.Keep != p.Params.Keep):
		return OtherPeriods
	case !ok:
		return NoRoot
	}
	for _, r := range p.Scheduled() {
		if r.Since <= now+margin && !slices.Contains(l.Holds, r.ID) {
			return MissingRoot
		}
	}
	if now+margin >= p.Until() && (l.Confirmed < 0 || l.Confirmed > p.Params.Lead/2) {
		return PlanEnded
	}
	return Serves
}

// Lasts returns until when the node may serve without etcd, POSIX seconds.
func (p Plan) Lasts(holds []ID) int64 {
	end := p.Until()
	for _, r := range p.Scheduled() {
		if !slices.Contains(holds, r.ID) {
			end = min(end, r.Since)
		}
	}
	return end - seconds(p.Params.Lead)/2
}
