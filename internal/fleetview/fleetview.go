// Package fleetview is what one node knows of all nodes of its fleet: the structure that
// `noonmark-fleet status -json` prints, and the file with it that the agent of a node
// publishes for refclockweb and `refclockctl doctor`.
package fleetview

import "time"

// Fleet is the fleet as one node sees it. Its JSON keys are a contract.
type Fleet struct {
	Name string    `json:"fleet"`
	Node string    `json:"node"` // that sees it
	Time time.Time `json:"time"`

	// Etcd is empty if etcd was read; else why not, and nodes and roots are those of
	// the copy on the disc of the node, or those that were read before.
	Etcd    string    `json:"etcd_error"`
	Plan    uint64    `json:"plan"`    // version
	Until   time.Time `json:"until"`   // no root that is not listed begins before
	Without time.Time `json:"without"` // the node serves without etcd until then
	Rotate  string    `json:"rotate"`
	Keep    int       `json:"keep"`
	Roots   []Root    `json:"roots"`
	Nodes   []Node    `json:"nodes"`
	Serving int       `json:"serving"` // nodes
	Planner string    `json:"planner"` // the node that plans for all; empty: none, or etcd was not read

	Rotation    *Rotation `json:"rotation"`    // null: none is ordered
	Rollout     *Rollout  `json:"rollout"`     // null: etcd was not read
	Certificate *Order    `json:"certificate"` // null: the fleet orders none, or etcd was not read
}

// Rotation is an order to begin new roots before the schedule ends. Its JSON keys are a
// contract.
type Rotation struct {
	Ordered time.Time `json:"ordered"`
	Ends    time.Time `json:"ends"`  // it is given up then
	Early   time.Time `json:"early"` // new roots may begin from then on; zero: not all nodes have them
	Waits   []Waiter  `json:"waits"`
}

// Waiter is a node for which an order waits. Its JSON keys are a contract.
type Waiter struct {
	Node   string `json:"node"`
	Reason string `json:"reason"` // "away", "drain-unread", "version", "roots", "plan"
	Why    string `json:"why"`    // the same in words
}

// Root is a root secret in the schedule. Its JSON keys are a contract.
type Root struct {
	ID      string    `json:"id"`
	State   string    `json:"state"`   // "sealing", "opens", "planned", "pending", "condemned"
	Since   time.Time `json:"since"`   // it seals from then on; zero: pending
	Until   time.Time `json:"until"`   // the next one begins then; zero: pending
	Expires time.Time `json:"expires"` // then its last cookie has expired, and it is removed; zero: pending
	Holders int       `json:"holders"` // nodes
}

// Serves is the state of a node that may serve.
const Serves = "serves"

// Node is a node as it shows itself. Its JSON keys are a contract.
type Node struct {
	Name    string  `json:"name"`
	Live    bool    `json:"live"`
	State   string  `json:"state"` // Serves, or a word for why not; "away": it has no lease
	Drain   string  `json:"drain"` // why it shall not serve; empty: it is not drained
	Trusted bool    `json:"clock_trusted"`
	Clock   float64 `json:"clock_s"` // its clock - that of the node that sees it, s; up to 10 s are the age of the record
	Plan    uint64  `json:"plan"`
	Holds   int     `json:"holds"` // roots

	Health        *Health        `json:"health"`        // null: it shows none
	Configuration *Configuration `json:"configuration"` // null: etcd was not read
	Certificate   *Certificate   `json:"certificate"`   // null: the fleet orders none, or etcd was not read
}

// Health is what a node found when it examined itself. Its JSON keys are a contract.
type Health struct {
	Announced bool     `json:"announced"`
	Healthy   bool     `json:"healthy"`
	Kept      bool     `json:"kept"` // announced although not healthy: no other node is
	Reasons   []string `json:"reasons"`
	Clock     string   `json:"clock"`    // state and reason of refclockd; empty: not known
	BoundNS   *int64   `json:"bound_ns"` // of the clock; null: there is none
	Stratum   int      `json:"stratum"`
	Load      float64  `json:"load"` // requests a second
}

// Rollout is the last configuration that was applied. Its JSON keys are a contract.
type Rollout struct {
	Number  uint64   `json:"number"` // 0: nothing was applied yet
	Phase   string   `json:"phase"`
	Target  string   `json:"target"` // empty: the empty configuration
	Base    string   `json:"base"`
	Granted []string `json:"granted"`
	Why     string   `json:"why"`
}

// Configuration is what a node shows of its configuration. Its JSON keys are a contract.
type Configuration struct {
	Applied   string            `json:"applied"` // in its files
	Rollout   uint64            `json:"rollout"` // that brought it
	Trial     bool              `json:"trial"`
	Refused   uint64            `json:"refused"` // rollout whose target it has refused, or left again
	Why       string            `json:"why,omitempty"`
	Healthy   bool              `json:"healthy"`
	Reasons   []string          `json:"reasons,omitempty"`
	Unjudged  bool              `json:"unjudged,omitempty"`  // it was not healthy when it took the version
	Unmanaged []string          `json:"unmanaged,omitempty"` // programs whose file is left alone
	Skipped   []string          `json:"skipped,omitempty"`   // programs for which the fleet sets something that the node does not take
	Overrides []Override        `json:"overrides,omitempty"`
	Files     map[string]string `json:"files,omitempty"` // what is wrong with a file, by program
	State     string            `json:"state"`           // a sentence for people
}

// Override is a key of the fleet that another file overrides. Its JSON keys are a contract.
type Override struct {
	Program string `json:"program"`
	Key     string `json:"key"`
	By      string `json:"by"`
}

// Order is the certificate of the fleet. Its JSON keys are a contract.
type Order struct {
	Names      []string  `json:"names"`
	Directory  string    `json:"directory"` // of the ACME server; empty: Let's Encrypt
	Challenge  string    `json:"challenge"`
	Generation uint64    `json:"generation"` // 0: there is none yet
	Expires    time.Time `json:"expires"`    // zero: there is none yet
	Ordering   string    `json:"ordering"`   // the node that began an open order; empty: none is open
	Holder     string    `json:"holder"`     // the node that goes on with it; empty: none at this moment
	Failures   int       `json:"failures"`   // orders since the last certificate
	Why        string    `json:"why"`        // of the last failure
	Next       time.Time `json:"next"`       // of the next order after failures; zero: there is no wait
}

// Certificate is what a node shows of the certificate. Its JSON keys are a contract.
type Certificate struct {
	Generation uint64 `json:"generation"` // on its disc
	NotAfter   int64  `json:"not_after"`  // POSIX seconds
	Serves     string `json:"serves,omitempty"`
	Why        string `json:"why,omitempty"`
	Alone      bool   `json:"alone,omitempty"` // it takes no part
	State      string `json:"state"`           // a sentence for people
}
