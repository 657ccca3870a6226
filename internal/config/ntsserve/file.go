// Package ntsserve is the configuration of ntsserve: the keys of its file,
// their defaults and checks, and the typed settings that its parts are made
// from. It is the only copy; every program that reads the file uses it.
//
// Each key is documented in configs/ntsserve.toml, whose values are the
// defaults here.
package ntsserve

import (
	"net/netip"
	"time"

	"noonmark/internal/config"
	"noonmark/refclock/status"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/sysclock"
	"noonmark/server/threads"
)

// DefaultPath is where the daemon reads its file when no other is named.
const DefaultPath = "/etc/noonmark/ntsserve.toml"

// File is the configuration file.
type File struct {
	User        string         `toml:"user"`
	Priority    string         `toml:"priority"`
	Clients     string         `toml:"clients"`
	Source      Source         `toml:"source"`
	Endpoint    []Endpoint     `toml:"endpoint"`
	KE          KE             `toml:"ke"`
	Certificate []Certificate  `toml:"certificate"`
	ACME        ACME           `toml:"acme"`
	Keys        Keys           `toml:"keys"`
	MAC         MAC            `toml:"mac"`
	Key         []Key          `toml:"key"`
	Access      Access         `toml:"access"`
	Log         config.Log     `toml:"log"`
	Metrics     config.Metrics `toml:"metrics"`
}

// Source is [source]: the clock that is served.
type Source struct {
	Type    string `toml:"type"`
	Path    string `toml:"path"`
	Address string `toml:"address"`
	Stratum int    `toml:"stratum"`
	RefID   string `toml:"refid"`
}

// Endpoint is an [[endpoint]]: an address that answers NTP.
type Endpoint struct {
	Address    config.AddrPort `toml:"address"`
	Interface  string          `toml:"interface"`
	NTS        string          `toml:"nts"`        // empty: "allow"
	Workers    int             `toml:"workers"`    // 0: one a processor
	Timestamps string          `toml:"timestamps"` // empty: "auto"
	DSCP       int             `toml:"dscp"`
	Smear      bool            `toml:"smear"`

	ReceiveLatency  config.Duration `toml:"receive_latency"`
	TransmitLatency config.Duration `toml:"transmit_latency"`
}

// KE is [ke]: NTS key establishment.
type KE struct {
	Listen         config.AddrPort `toml:"listen"`
	Certificate    string          `toml:"certificate"`
	Key            string          `toml:"key"`
	Server         string          `toml:"server"`
	Port           int             `toml:"port"`
	MaxConnections int             `toml:"max_connections"`
	MaxPerAddress  int             `toml:"max_per_address"`  // of one prefix; 0: no limit of its own
	Rate           float64         `toml:"rate"`             // per s; 0: no limit
	RatePerAddress float64         `toml:"rate_per_address"` // per s; 0: no limit
	Timeout        config.Duration `toml:"timeout"`
}

// Certificate is a [[certificate]]: a further pair of PEM files.
type Certificate struct {
	File string `toml:"file"`
	Key  string `toml:"key"`
}

// ACME is [acme]: certificates that are ordered.
type ACME struct {
	Names       []string        `toml:"names"`
	Directory   string          `toml:"directory"`
	AcceptTerms bool            `toml:"accept_terms"`
	Email       string          `toml:"email"`
	Profile     string          `toml:"profile"`
	CAFile      string          `toml:"ca_file"`
	HTTP        config.AddrPort `toml:"http"`
	TLS         config.AddrPort `toml:"tls"`
	StateDir    string          `toml:"state_dir"`
}

// Keys is [keys]: the cookie keys.
type Keys struct {
	File       string          `toml:"file"`
	Rotate     config.Duration `toml:"rotate"`
	Keep       int             `toml:"keep"`
	Renew      string          `toml:"renew"` // "auto", "never" or a duration
	RenewAhead config.Duration `toml:"renew_ahead"`
}

// MAC is [mac]: requests with a message authentication code of a symmetric key.
type MAC struct {
	KeysFile string `toml:"keys_file"`
	Refused  string `toml:"refused"` // "silence", "crypto_nak" or "plain"
}

// Key is a [[key]]: a symmetric key.
type Key struct {
	ID   uint32        `toml:"id"`
	Type string        `toml:"type"`
	Key  config.Secret `toml:"key"`
	File string        `toml:"file"` // that has the key instead
}

// Access is [access]: who is answered, and how often.
type Access struct {
	Allow    []config.Prefix `toml:"allow"`
	Deny     []config.Prefix `toml:"deny"`
	NTSOnly  []config.Prefix `toml:"nts_only"`
	Rate     float64         `toml:"rate_limit"` // per s and prefix; 0: no limit
	Burst    int             `toml:"rate_burst"`
	Prefix4  int             `toml:"rate_prefix4"`
	Prefix6  int             `toml:"rate_prefix6"`
	KissRate float64         `toml:"kiss_rate"` // per s; 0: none
}

// Default returns a file with the values of keys that are left out.
func Default() File {
	return File{
		Priority: threads.High.String(),
		Clients:  "off",
		Source:   Source{Type: "snapshot", Path: status.DefaultPath, Address: sysclock.DefaultChrony, Stratum: sysclock.DefaultStratum},
		KE:       KE{Timeout: config.D(5 * time.Second), MaxConnections: ntske.DefaultMaxConns},
		ACME:     ACME{Directory: certs.DefaultDirectory, StateDir: "/var/lib/ntsserve/acme"},
		Keys:     Keys{File: "/var/lib/ntsserve/keys", Rotate: config.D(nts.DefaultRotate), Keep: nts.DefaultKeep, Renew: "auto", RenewAhead: config.D(nts.DefaultAhead)},
		MAC:      MAC{Refused: "silence"},
		Access:   Access{Burst: 16, Prefix4: 32, Prefix6: 56, KissRate: 4},
		Log:      config.DefaultLog(),
	}
}

// DefaultKE is where NTS-KE listens when a certificate is given and no address
// (the port is that of RFC 8915, section 7.1).
func DefaultKE() netip.AddrPort { return netip.MustParseAddrPort("0.0.0.0:4460") }

// DefaultSnapshot is where the snapshot of another source than refclockd is put.
const DefaultSnapshot = "/run/ntsserve/status"
