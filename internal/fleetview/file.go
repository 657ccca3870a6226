package fleetview

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"noonmark/internal/durable"
)

// FileName is the name of the file in the runtime folder of the agent.
const FileName = "fleet.json"

// DefaultDir is where a node keeps its membership. NodeFile is the file that says so.
const (
	DefaultDir = "/var/lib/noonmark-fleet"
	NodeFile   = DefaultDir + "/" + NodeName
	NodeName   = "node.json"
)

// FragmentDir is where an agent writes what the fleet sets for programs whose own file it may
// not write, when systemd runs it. ClockFragment is the file for refclockd, AlertFragment that
// for `refclockctl alert`: the key fleet of each names it.
const (
	FragmentDir   = "/var/cache/noonmark-fleet"
	ClockFragment = "refclockd.toml"
	AlertFragment = "alert.toml"
)

// PEMName is the name of the file with certificate and key of the fleet that ntsserve reads.
const PEMName = "fleet.pem"

// DefaultAlert is where `refclockctl alert` says what it takes from a fleet, when systemd runs
// it.
const DefaultAlert = "/run/noonmark-alert/" + AlertName

// AlertName is the name of that file in its runtime folder.
const AlertName = "fragment.json"

// DefaultFile is where the agent publishes when systemd runs it.
const DefaultFile = "/run/noonmark-fleet/" + FileName

// WantedName is the name of the file in the runtime folder of refclockweb that it writes
// while somebody looks at the fleet.
const WantedName = "fleet.wanted"

// DefaultWanted is where refclockweb writes it when systemd runs it.
const DefaultWanted = "/run/refclockweb/" + WantedName

// WantedFor is how long after it was written the file says that somebody looks. The page
// asks every few seconds.
const WantedFor = 2 * time.Minute

const (
	// format is the version of the file. A reader refuses others.
	format = 1
	// Every is the longest time between two writes of an agent that works.
	Every = 10 * time.Second
	// StaleAfter is the age from which the agent does not work: a read of etcd holds up a
	// write by 10 s at most.
	StaleAfter = time.Minute
	// MaxNodes limits how many nodes are published: more than a fleet can have (docs/fleet.md,
	// "Sizing").
	MaxNodes = 1000
	// maxRoots is twice what a plan can have.
	maxRoots = 64
	// maxSize limits the file, octets. A node takes 1 kB, with many reasons 2 kB.
	maxSize = 2 << 20
	// maxReasons and maxText limit what is published of one node: others have written it.
	maxReasons = 8
	maxText    = 300 // octets
)

// File is what an agent publishes. Its JSON keys only grow.
type File struct {
	Format   int   `json:"format"`
	PID      int   `json:"pid"`
	Mono     int64 `json:"mono_ns"`      // CLOCK_MONOTONIC_RAW at which it was written
	ReadMono int64 `json:"read_mono_ns"` // at which the nodes were read from etcd; 0: not yet
	Omitted  int   `json:"omitted"`      // nodes that are not in the list, because there are too many

	Self Self `json:"self"`
	Fleet
}

// Self is what the agent knows of its own node, also without etcd. Texts are empty where
// nothing is wrong. Its JSON keys only grow.
type Self struct {
	State   string  `json:"state"`         // Serves, or a word for why the node may not serve
	Why     string  `json:"why"`           // the same in words
	Drain   string  `json:"drain"`         // who or what has drained it
	Clock   string  `json:"clock_error"`   // why the clock is not trusted
	Disc    string  `json:"disc_error"`    // what could not be written
	Refusal string  `json:"plan_refusal"`  // why this node does not plan; others may
	Health  *Health `json:"health"`        // null: not examined
	Config  string  `json:"config_error"`  // what is wrong with the configuration file
	Refused string  `json:"refused"`       // why this node refused the last configuration, or left it again
	Alone   bool    `json:"config_alone"`  // its configuration is left alone
	Cert    string  `json:"cert_error"`    // what is wrong with the certificate of the fleet
	NoCert  bool    `json:"cert_alone"`    // this node takes no part in the certificate
	CertEnd int64   `json:"cert_ends"`     // POSIX seconds, of the one on the disc; 0: none
	Server  string  `json:"server_config"` // path of ntsserve's configuration
}

// States of Self that doctor tells apart; the others have a sentence.
const (
	Drained        = "drained"
	ClockUntrusted = "clock-untrusted"
	OtherPeriods   = "other-periods"
)

// LocalPath is the file of an operator beside the configuration at path, from which the agent
// makes that: "ntsserve.local.toml" beside "ntsserve.toml".
func LocalPath(path string) string { return strings.TrimSuffix(path, ".toml") + ".local.toml" }

// Encode returns the file for a reader: its format and limits are kept. What f refers to
// may be changed.
func (f *File) Encode() ([]byte, error) {
	f.Format = format
	f.trim()
	for {
		b, err := json.Marshal(f)
		if err != nil || len(b) < maxSize || len(f.Nodes) == 0 {
			return append(b, '\n'), err
		}
		f.keep(len(f.Nodes) / 2)
	}
}

// trim keeps the limits.
func (f *File) trim() {
	s := &f.Self
	short(&s.Drain, &s.Clock, &s.Disc, &s.Refusal, &s.Config, &s.Refused, &s.Cert, &f.Etcd)
	if s.Health != nil {
		s.Health.Reasons = shorten(s.Health.Reasons)
	}
	f.Roots = f.Roots[:min(len(f.Roots), maxRoots)]
	f.keep(MaxNodes)
	for i := range f.Nodes {
		n := &f.Nodes[i]
		short(&n.Drain)
		if h := n.Health; h != nil {
			h.Reasons = shorten(h.Reasons)
		}
		if c := n.Configuration; c != nil {
			c.Reasons, c.Overrides = shorten(c.Reasons), c.Overrides[:min(len(c.Overrides), maxReasons)]
			short(&c.Why, &c.State)
			for p, why := range c.Files {
				short(&why)
				c.Files[p] = why
			}
		}
		if c := n.Certificate; c != nil {
			short(&c.Why, &c.State)
		}
	}
	if r := f.Rotation; r != nil {
		r.Waits = r.Waits[:min(len(r.Waits), MaxNodes)]
	}
	if r := f.Rollout; r != nil {
		r.Granted = r.Granted[:min(len(r.Granted), MaxNodes)]
		short(&r.Why)
	}
	if o := f.Certificate; o != nil {
		o.Names = o.Names[:min(len(o.Names), maxReasons)]
		short(&o.Why)
	}
}

// keep keeps n nodes: those that do not serve are worth more than others.
func (f *File) keep(n int) {
	if len(f.Nodes) <= n {
		return
	}
	rank := func(n *Node) int {
		if n.State == Serves {
			return 1
		}
		return 0
	}
	list := slices.Clone(f.Nodes)
	slices.SortStableFunc(list, func(a, b Node) int { return rank(&a) - rank(&b) })
	f.Omitted += len(list) - n
	f.Nodes = list[:n]
}

func shorten(list []string) []string {
	list = slices.Clone(list[:min(len(list), maxReasons)])
	for i := range list {
		short(&list[i])
	}
	return list
}

func short(texts ...*string) {
	for _, t := range texts {
		if len(*t) > maxText {
			*t = (*t)[:maxText] + "..."
		}
	}
}

// Errors of Read.
var (
	ErrNone   = errors.New("no agent of a fleet publishes here")
	ErrBad    = errors.New("is no file of a fleet's agent")
	ErrFormat = errors.New("is of another version of noonmark-fleet; install programs of one version")
	ErrClock  = errors.New("was written in the future: by another boot, or in another time namespace")
)

// Read reads the file at path; mono is CLOCK_MONOTONIC_RAW, ns. The file is input: what is
// too large, damaged or of another version is an error. One that is old is none: Age says so.
func Read(path string, mono int64) (*File, error) {
	b, _, err := durable.ReadFile(path, maxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s: %w", path, ErrNone)
	case err != nil:
		return nil, err
	}
	f, err := parse(b)
	if err == nil && f.Age(mono) < -time.Second {
		err = ErrClock
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// parse reads the content of the file. Keys that it does not know are those of newer agents.
func parse(b []byte) (*File, error) {
	var version struct {
		Format int `json:"format"`
	}
	if json.Unmarshal(b, &version) != nil {
		return nil, ErrBad
	}
	if version.Format != format {
		return nil, fmt.Errorf("%w (format %d, want %d)", ErrFormat, version.Format, format)
	}
	f := new(File)
	if json.Unmarshal(b, f) != nil || f.PID <= 0 || f.Mono <= 0 || f.ReadMono < 0 || f.ReadMono > f.Mono || f.Self.State == "" || len(f.Nodes) > MaxNodes || len(f.Roots) > maxRoots {
		return nil, ErrBad
	}
	return f, nil
}

// Age is how long ago the file was written.
func (f *File) Age(mono int64) time.Duration { return time.Duration(mono - f.Mono) }

// Stale reports whether the agent does not write any more.
func (f *File) Stale(mono int64) bool { return f.Age(mono) > StaleAfter }
