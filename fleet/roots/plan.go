package roots

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Format names the format of a plan in etcd.
const Format = "noonmark-fleet-1"

// maxPlan limits the length of a plan in etcd, octets; one of 32 roots has 4 kB.
const maxPlan = 64 << 10

// maxPending limits how many roots may wait for acknowledgement.
const maxPending = 16

// ErrPlan is wrapped by errors about the content of a plan.
var ErrPlan = errors.New("plan is not usable")

// Root is one root secret in the plan.
type Root struct {
	ID        ID    `json:"id"`
	Since     int64 `json:"since,omitempty"`     // POSIX seconds from which it seals; 0: pending
	Published int64 `json:"published"`           // POSIX seconds at which it was added
	Condemned bool  `json:"condemned,omitempty"` // revoked; it is removed once another root seals
}

// Pending reports whether the root waits for acknowledgement.
func (r Root) Pending() bool { return r.Since == 0 }

// Plan is the schedule of a fleet. It is a value: the functions of this package
// return new plans and leave those they get as they are.
type Plan struct {
	Format  string `json:"format"`
	Version uint64 `json:"version"` // rises by one with each change
	Changed int64  `json:"changed"` // POSIX seconds of the planner's clock at the last change
	Params  Params `json:"params"`
	Roots   []Root `json:"roots"` // those with a since in ascending order, then the pending ones

	Rotation *Rotation `json:"rotation,omitempty"` // nil: none is ordered
}

// New returns the plan of a fleet without roots.
func New(p Params, now time.Time) (Plan, error) {
	if err := p.Check(); err != nil {
		return Plan{}, err
	}
	return Plan{Format: Format, Version: 1, Changed: now.Unix(), Params: p}, nil
}

// TakeOver returns the plan of a fleet that begins with the roots of a server which has
// clients already. They are in ascending order of their since.
func TakeOver(p Params, list []Root, now time.Time) (Plan, error) {
	n, err := New(p, now)
	if err != nil {
		return Plan{}, err
	}
	n.Roots = slices.Clone(list)
	if err := n.check(); err != nil {
		return Plan{}, fmt.Errorf("take over roots: %w: %w", ErrPlan, err)
	}
	return n, nil
}

// Parse reads a plan and checks it. The error wraps ErrPlan.
func Parse(b []byte) (Plan, error) {
	var p Plan
	if len(b) > maxPlan {
		return p, fmt.Errorf("%w: longer than %d octets", ErrPlan, maxPlan)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	if d.More() {
		return Plan{}, fmt.Errorf("%w: data after the JSON object", ErrPlan)
	}
	if err := p.check(); err != nil {
		return Plan{}, fmt.Errorf("%w: %w", ErrPlan, err)
	}
	return p, nil
}

func (p Plan) check() error {
	if p.Format != Format {
		return fmt.Errorf("the format is %.40q, not %q", p.Format, Format)
	}
	if err := p.Params.Check(); err != nil {
		return err
	}
	if p.Version == 0 || p.Changed <= 0 {
		return errors.New("there is no version or no time of the last change")
	}
	seen := map[ID]bool{}
	scheduled := 0
	for i, r := range p.Roots {
		switch {
		case seen[r.ID]:
			return fmt.Errorf("root %v is there twice", r.ID)
		case r.Since < 0 || r.Published <= 0:
			return fmt.Errorf("root %v has a time before 1970, or was never published", r.ID)
		case !r.Pending() && i > 0 && (p.Roots[i-1].Pending() || r.Since <= p.Roots[i-1].Since):
			return fmt.Errorf("root %v is not in ascending order of since", r.ID)
		}
		seen[r.ID] = true
		if !r.Pending() {
			scheduled++
		}
	}
	if r := p.Rotation; r != nil && (r.Ordered <= 0 || r.Ends <= r.Ordered || r.Early < 0) {
		return errors.New("the rotation has no time of its order, or ends before it")
	}
	if scheduled > MaxFile || len(p.Roots)-scheduled > maxPending {
		return fmt.Errorf("%d roots with and %d without a since, at most %d and %d are possible", scheduled, len(p.Roots)-scheduled, MaxFile, maxPending)
	}
	return nil
}

// Encode returns the plan as Parse reads it.
func (p Plan) Encode() ([]byte, error) {
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("encode plan: %w", err)
	}
	return json.Marshal(p)
}

// Scheduled returns the roots that have a since, in ascending order.
func (p Plan) Scheduled() []Root {
	i := slices.IndexFunc(p.Roots, Root.Pending)
	if i < 0 {
		i = len(p.Roots)
	}
	return p.Roots[:i:i]
}

// Waiting returns the pending roots, in the order in which they will begin.
func (p Plan) Waiting() []Root { return p.Roots[len(p.Scheduled()):] }

// Until is the promise of the plan, POSIX seconds: no root that is not in it begins
// earlier, unless roots are revoked, and none of its roots that begins earlier is
// replaced. 0: no root has a since.
func (p Plan) Until() int64 {
	s := p.Scheduled()
	if len(s) == 0 {
		return 0
	}
	end := s[len(s)-1].Since + seconds(p.Params.Renew)
	if p.Rotation != nil && p.Rotation.Early != 0 {
		return min(end, p.Rotation.Early)
	}
	return end
}

// Expires returns when the last cookie of a root has expired that seals until end, and the
// root is removed; both are POSIX seconds.
func (p Plan) Expires(end int64) int64 { return end + seconds(p.Params.life()+p.Params.Lead) }

// Sealing returns the root that seals at an instant: the latest that has begun.
func (p Plan) Sealing(now int64) (r Root, ok bool) {
	for _, x := range p.Scheduled() {
		if x.Since <= now {
			r, ok = x, true
		}
	}
	return r, ok
}

// Add returns the plan with further pending roots. Their secrets are sealed to every
// node before the plan is written.
func (p Plan) Add(now time.Time, ids ...ID) Plan {
	n := p.next(now)
	for _, id := range ids {
		n.Roots = append(n.Roots, Root{ID: id, Published: now.Unix()})
	}
	return n
}

// ErrUnknownRoot is wrapped by the error of Condemn for a root that is not in the plan.
var ErrUnknownRoot = errors.New("there is no such root")

// Condemn returns the plan with roots revoked; no IDs revoke all. Step removes them. It
// ends a rotation: other roots begin at once. It takes no clock, so it works from a machine
// whose clock is wrong: if Changed were in the future, no planner could replace the roots.
func (p Plan) Condemn(ids ...ID) (Plan, error) {
	n := p.next(time.Unix(p.Changed, 0))
	n.Rotation = nil
	for _, id := range ids {
		if !slices.ContainsFunc(n.Roots, func(r Root) bool { return r.ID == id }) {
			return p, fmt.Errorf("revoke %v: %w; `noonmark-fleet status` lists them", id, ErrUnknownRoot)
		}
	}
	for i := range n.Roots {
		if len(ids) == 0 || slices.Contains(ids, n.Roots[i].ID) {
			n.Roots[i].Condemned = true
		}
	}
	return n, nil
}

// next returns a copy that is one version later.
func (p Plan) next(now time.Time) Plan {
	p.Roots = slices.Clone(p.Roots)
	p.Version++
	p.Changed = max(p.Changed, now.Unix())
	return p
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
