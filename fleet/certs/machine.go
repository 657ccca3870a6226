// Package certs gives all nodes of a fleet the certificate of its shared name. One node
// at a time, the holder of a lease, orders it from an ACME server (RFC 8555); all nodes
// answer the challenge, and get the private key sealed. State and Next are pure; Keeper
// connects them with etcd, the ACME server and the PEM file of one node.
package certs

import (
	"slices"
	"time"

	"noonmark/fleet/roots"
)

// State is where the certificate is: one value in etcd. Every change is a transaction
// on the value that was read and on the lease of the holder, so that one who has lost
// the lease changes nothing.
type State struct {
	Generation uint64   `json:"generation"` // counts orders; that of the certificate in force
	Chain      string   `json:"chain,omitempty"`
	Key        roots.ID `json:"key"`                 // fingerprint of the secret of its private key
	Directory  string   `json:"directory,omitempty"` // from which it is
	Epoch      uint64   `json:"epoch,omitempty"`     // as Settings.Epoch when it was ordered

	Order        *Order   `json:"order,omitempty"`         // that is open; nil: none
	Account      roots.ID `json:"account"`                 // fingerprint of the secret of the account key; zero: none yet
	AccountEpoch uint64   `json:"account_epoch,omitempty"` // as Settings.Epoch when it was drawn

	Failures  int    `json:"failures,omitempty"` // in a row
	NotBefore int64  `json:"not_before,omitempty"`
	Why       string `json:"why,omitempty"`      // of the last failure
	Settings  int64  `json:"settings,omitempty"` // revision of those that failed last
}

// Order is an order at the ACME server. It is written before anything can be issued:
// with its key before it is opened, with its URL before it is finalized. An order that
// is not written here is never finalized, and the server issues one certificate for an
// order. So each generation has one certificate, whoever is killed or held up when.
type Order struct {
	Generation uint64   `json:"generation"`
	Names      []string `json:"names"`
	Directory  string   `json:"directory,omitempty"`
	Epoch      uint64   `json:"epoch,omitempty"`
	Key        roots.ID `json:"key"`
	URL        string   `json:"url,omitempty"` // empty: not opened yet
	Node       string   `json:"node"`          // that began it
	Since      int64    `json:"since"`         // POSIX seconds, of that node's clock
}

// Status is what the ACME server shows of an order (RFC 8555, section 7.1.6).
type Status int

// The statuses.
const (
	Unknown Status = iota // it was not asked
	Pending               // authorizations are open
	Ready                 // it can be finalized
	Processing
	Valid
	Invalid
)

// NotAfter is when the certificate in force expires, POSIX seconds; 0: there is none that can
// be read.
func (s State) NotAfter() int64 {
	leaf, err := parseChain(s.Chain)
	if err != nil {
		return 0
	}
	return leaf.NotAfter.Unix()
}

// View is what a node knows when it decides.
type View struct {
	Now     time.Time
	Trusted bool // the clock

	Names     []string // of the certificate, as configured
	Directory string   // of the ACME server, as configured
	Settings  int64    // revision of what is configured
	Epoch     uint64   // keys of an earlier one are replaced

	Holder   bool // this node holds the lease
	Held     bool // some node does
	NotAfter time.Time
	Life     time.Duration // of the certificate in force; 0: there is none that can be read
	Covers   bool          // it has all names

	HasAccount bool   // this node can open the key of the account; there is one
	HasKey     bool   // and that of the order
	Status     Status // of the order
}

// Act is what a node does next.
type Act int

// The acts, in the order of an order.
const (
	Rest      Act = iota // nothing is due, or another node does it
	Campaign             // get the lease
	Register             // draw the key of the account, seal it to all nodes
	Begin                // draw the key of the certificate, seal it to all nodes, write the order
	Open                 // open an order at the server, write its URL
	Authorize            // answer its challenges
	Finalize             // send the certificate request
	Fetch                // download the certificate, write it
	Abandon              // the order has ended without a certificate: write that
	Resign               // give the lease back
)

// Times of an order.
const (
	firstWait = 2 * time.Minute
	maxWait   = 6 * time.Hour
	// renewFraction: a new certificate is ordered when a third of the life is left.
	renewFraction = 3
	// abandonAfter is when an order that the holder cannot finish, because it lacks its
	// key, is given up. Servers let open orders end within seven days.
	abandonAfter = 8 * 24 * time.Hour
)

// Due reports whether a new certificate is to be ordered.
func (s State) Due(v View) bool {
	if s.Generation == 0 || v.Life <= 0 || !v.Covers || s.Directory != v.Directory || s.Epoch < v.Epoch {
		return true
	}
	return v.Now.After(v.NotAfter.Add(-v.Life / renewFraction))
}

// Next decides. A node whose clock is not trusted orders nothing: it does not know when a
// certificate ends. A node that cannot finish an open order leaves the lease to others. What
// failed with settings of before does not wait.
func (s State) Next(v View) Act {
	if !v.Trusted {
		return idle(v)
	}
	if s.Order != nil {
		return s.onOrder(v)
	}
	waits := s.Failures > 0 && v.Settings <= s.Settings && v.Now.Unix() < s.NotBefore && s.NotBefore-v.Now.Unix() <= int64(maxWait/time.Second)
	if !s.Due(v) || waits {
		return idle(v)
	}
	fresh := s.Account == (roots.ID{}) || s.AccountEpoch < v.Epoch
	switch {
	case !fresh && !v.HasAccount:
		return idle(v)
	case !v.Holder:
		return campaign(v)
	case fresh:
		return Register
	}
	return Begin
}

func (s State) onOrder(v View) Act {
	o := s.Order
	ended := v.Now.Unix()-o.Since > int64(abandonAfter/time.Second) || o.Epoch < v.Epoch
	switch {
	case !v.HasAccount && !ended, !v.HasKey && !ended:
		return idle(v)
	case !v.Holder:
		return campaign(v)
	case !v.HasAccount, !v.HasKey, o.Epoch < v.Epoch, o.Directory != v.Directory, !slices.Equal(o.Names, v.Names) && o.URL == "":
		return Abandon
	case o.URL == "":
		return Open
	}
	switch v.Status {
	case Pending:
		return Authorize
	case Ready:
		return Finalize
	case Valid:
		return Fetch
	case Invalid:
		return Abandon
	}
	return Rest // not asked, or the server is at work
}

func idle(v View) Act {
	if v.Holder {
		return Resign
	}
	return Rest
}

func campaign(v View) Act {
	if v.Held {
		return Rest
	}
	return Campaign
}

// began returns the state with a new order.
func (s State) began(node, directory string, epoch uint64, names []string, key roots.ID, now time.Time) State {
	s.Order = &Order{Generation: s.Generation + uint64(s.Failures) + 1, Names: names, Directory: directory, Epoch: epoch, Key: key, Node: node, Since: now.Unix()}
	return s
}

// opened returns the state with the URL of the order.
func (s State) opened(url string) State {
	o := *s.Order
	o.URL = url
	s.Order = &o
	return s
}

// issued returns the state with the certificate of the order.
func (s State) issued(chain string) State {
	s.Generation, s.Chain, s.Key, s.Directory, s.Epoch = s.Order.Generation, chain, s.Order.Key, s.Order.Directory, s.Order.Epoch
	s.Order, s.Failures, s.NotBefore, s.Why, s.Settings = nil, 0, 0, "", 0
	return s
}

// failed returns the state without the order. Each failure in a row triples the wait, which
// ends with other settings than those of the revision.
func (s State) failed(why string, settings int64, now time.Time) State {
	s.Failures++
	wait := firstWait
	for range s.Failures - 1 {
		wait = min(3*wait, maxWait)
	}
	s.Order, s.Settings, s.NotBefore, s.Why = nil, settings, now.Add(wait).Unix(), why
	return s
}
