package certs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	clientv3 "go.etcd.io/etcd/client/v3"

	"noonmark/fleet/store"
	"noonmark/internal/fleetview"
)

// PEMName is the name of the file with certificate and key of the fleet. A node takes part if
// its ntsserve reads a file of this name, in whatever folder, as both. So the agent replaces no
// file that an operator has made.
const PEMName = fleetview.PEMName

// The challenges that a fleet can answer (RFC 8555, sections 8.3 and 8.4).
const (
	HTTP01 = "http-01"
	DNS01  = "dns-01"
)

// Settings are those of the certificate, the same on all nodes. They name no command and no
// file of a node: who writes to etcd must not choose what a node runs or replaces.
type Settings struct {
	Names       []string `json:"names"`
	Directory   string   `json:"directory,omitempty"` // as ACME.Directory
	AcceptTerms bool     `json:"accept_terms"`
	Email       string   `json:"email,omitempty"`
	Roots       string   `json:"roots,omitempty"` // as ACME.Roots
	Challenge   string   `json:"challenge"`       // HTTP01 or DNS01

	// Epoch counts the calls that replaced the keys, see Fleet.Set.
	Epoch    uint64 `json:"epoch,omitempty"`
	Revision int64  `json:"-"` // of etcd
}

// Local is what a node itself says about challenges.
type Local struct {
	HTTP string // address to answer http-01 at
	DNS  string // program for dns-01; empty: this node orders no certificate that needs it
}

// ACME returns how a node orders the certificate. The error wraps ErrConfig.
func (s Settings) ACME(l Local) (ACME, error) {
	a := ACME{Directory: s.Directory, AcceptTerms: s.AcceptTerms, Email: s.Email, Roots: s.Roots}
	switch {
	case s.Challenge == HTTP01:
		a.HTTP = l.HTTP
	case s.Challenge != DNS01:
		return a, fmt.Errorf("%w: challenge %.40q; want %s or %s", ErrConfig, s.Challenge, HTTP01, DNS01)
	case l.DNS == "":
		a.TakesOnly = true
	default:
		a.DNS = []string{l.DNS}
	}
	return a, a.Check(s.Names)
}

// Check returns what is wrong with the settings. The error wraps ErrConfig.
func (s Settings) Check() error {
	_, err := s.ACME(Local{HTTP: ":80", DNS: "dns"})
	return err
}

// String is for the audit record.
func (s Settings) String() string {
	from := s.Directory
	if from == "" {
		from = "Let's Encrypt"
	}
	return fmt.Sprintf("%s from %s by %s", strings.Join(s.Names, ", "), from, s.Challenge)
}

// Fleet is the certificate of a fleet in etcd. Its methods may be called from any goroutine,
// and take as long as ctx allows.
type Fleet struct {
	store *store.Store
	part  *store.Part
}

// Of returns the certificate of a fleet.
func Of(s *store.Store) *Fleet { return &Fleet{s, s.Part(PartName)} }

// Overview is the certificate and the nodes at one revision of etcd.
type Overview struct {
	Settings *Settings // nil: the fleet has no certificate
	State    State
	Holder   string            // the node that orders; empty: none
	Reports  map[string]Report // by node
	Bad      []store.Bad
}

// Set sets the settings. With replace, account and certificate get new keys: the account before
// is deactivated, the certificate before is revoked. It needs the rights of the administrator. The
// error wraps ErrConfig.
func (f *Fleet) Set(ctx context.Context, s Settings, replace bool, e store.Entry) error {
	if err := s.Check(); err != nil {
		return err
	}
	now, err := f.Read(ctx)
	if err != nil {
		return err
	}
	s.Epoch = max(now.State.Epoch, now.State.AccountEpoch)
	if now.Settings != nil {
		s.Epoch = max(s.Epoch, now.Settings.Epoch)
	}
	e.Detail = s.String()
	if replace {
		s.Epoch++
		e.Detail += ", with new keys"
	}
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return f.part.Commit(ctx, e, nil, clientv3.OpPut(f.part.Key("settings"), string(b)))
}

// Off ends the upkeep of the certificate: nodes keep what they have on their discs. It needs
// the rights of the administrator. The error wraps ErrOff.
func (f *Fleet) Off(ctx context.Context, e store.Entry) error {
	s, err := f.Settings(ctx)
	if err != nil {
		return err
	}
	if s == nil {
		return ErrOff
	}
	e.Detail = "off"
	return f.part.Commit(ctx, e, nil, clientv3.OpDelete(f.part.Key("settings")), clientv3.OpDelete(f.part.Key("token", ""), clientv3.WithPrefix()))
}

// ErrOff says that there is nothing to end.
var ErrOff = errors.New("the fleet orders no certificate")

// Settings reads the settings; nil: there are none. The error wraps ErrConfig if they cannot
// be used.
func (f *Fleet) Settings(ctx context.Context) (*Settings, error) {
	r, err := f.part.Client().Get(ctx, f.part.Key("settings"))
	if err != nil {
		return nil, fmt.Errorf("read settings of the certificate: %w", err)
	}
	if len(r.Kvs) == 0 {
		return nil, nil
	}
	return decodeSettings(r.Kvs[0].Value, r.Kvs[0].ModRevision)
}

// Show writes the report of a node.
func (f *Fleet) Show(ctx context.Context, node string, p Report) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return f.part.Commit(ctx, store.Entry{}, nil, clientv3.OpPut(f.part.Key("at", node), string(b)))
}

// Read returns the present state.
func (f *Fleet) Read(ctx context.Context) (*Overview, error) {
	r, err := f.part.Client().Txn(ctx).Then(
		clientv3.OpGet(f.part.Key("settings")), clientv3.OpGet(f.part.Key("state")), clientv3.OpGet(f.part.Key("holder")),
		clientv3.OpGet(f.part.Key("at", ""), clientv3.WithPrefix(), clientv3.WithLimit(store.MaxNodes)),
	).Commit()
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	o := &Overview{Reports: map[string]Report{}}
	bad := func(key []byte, err error) {
		if err != nil {
			o.Bad = append(o.Bad, store.Bad{Key: string(key), Err: err})
		}
	}
	for _, kv := range r.Responses[0].GetResponseRange().Kvs {
		o.Settings, err = decodeSettings(kv.Value, kv.ModRevision)
		bad(kv.Key, err)
	}
	for _, kv := range r.Responses[1].GetResponseRange().Kvs {
		o.State, err = decodeState(kv.Value)
		bad(kv.Key, err)
	}
	for _, kv := range r.Responses[2].GetResponseRange().Kvs {
		o.Holder = string(kv.Value)
	}
	for _, kv := range r.Responses[3].GetResponseRange().Kvs {
		p, err := decodeReport(kv.Value)
		bad(kv.Key, err)
		o.Reports[strings.TrimPrefix(string(kv.Key), f.part.Key("at", ""))] = p
	}
	return o, nil
}

func decodeSettings(b []byte, revision int64) (*Settings, error) {
	s := &Settings{Revision: revision}
	if len(b) > maxValue {
		return nil, fmt.Errorf("%w: they have %d octets in etcd, at most %d; set them again", ErrConfig, len(b), maxValue)
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%w: they are damaged in etcd (%w); set them again", ErrConfig, err)
	}
	return s, s.Check()
}

func decodeState(b []byte) (s State, err error) {
	if len(b) > maxValue {
		return s, fmt.Errorf("read certificate: state of %d octets, at most %d", len(b), maxValue)
	}
	if err := json.Unmarshal(b, &s); err != nil {
		return State{}, fmt.Errorf("read certificate: state is damaged: %w", err)
	}
	return s, nil
}

func decodeReport(b []byte) (p Report, err error) {
	if len(b) > maxReport {
		return p, fmt.Errorf("report of %d octets, at most %d", len(b), maxReport)
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return Report{}, fmt.Errorf("report is damaged: %w", err)
	}
	return p, nil
}
