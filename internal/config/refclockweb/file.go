// Package refclockweb is the configuration of refclockweb: the keys of its file,
// their defaults and checks, and the typed settings that its parts are made from.
//
// Each key is documented in configs/refclockweb.toml, whose values are the defaults
// here.
package refclockweb

import (
	"net/netip"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/fleetview"
	"noonmark/internal/observe"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// DefaultPath is where the program reads its file when no other is named.
const DefaultPath = "/etc/noonmark/refclockweb.toml"

// DefaultListen is where the page is served when no other address is given.
func DefaultListen() netip.AddrPort { return netip.MustParseAddrPort("127.0.0.1:9125") }

// File is the configuration file.
type File struct {
	Listen         config.AddrPort `toml:"listen"`
	Names          []string        `toml:"names"`
	TokenFile      string          `toml:"token_file"`
	MaxConnections int             `toml:"max_connections"`
	MaxStreams     int             `toml:"max_streams"`
	Certificate    []Certificate   `toml:"certificate"`
	ACME           ntsserve.ACME   `toml:"acme"`
	Refclockd      Refclockd       `toml:"refclockd"`
	Ntsserve       Ntsserve        `toml:"ntsserve"`
	Fleet          Fleet           `toml:"fleet"`
	Log            config.Log      `toml:"log"`
}

// Certificate is a [[certificate]]: a pair of PEM files.
type Certificate struct {
	File string `toml:"file"`
	Key  string `toml:"key"`
}

// Refclockd is [refclockd]: the daemon that is shown.
type Refclockd struct {
	Config   string `toml:"config"`
	Snapshot string `toml:"snapshot"`
	History  string `toml:"history"`
	User     string `toml:"user"`
}

// Ntsserve is [ntsserve]: the server that is shown.
type Ntsserve struct {
	Config   string `toml:"config"`
	Counters string `toml:"counters"`
}

// Fleet is [fleet]: the fleet that this machine is a node of.
type Fleet struct {
	File string `toml:"file"`
}

// Default returns a file with the values of keys that are left out.
func Default() File {
	return File{
		Listen: config.AddrPort{AddrPort: DefaultListen()}, MaxConnections: 64, MaxStreams: 16,
		ACME:      ntsserve.ACME{Directory: certs.DefaultDirectory, StateDir: "/var/lib/refclockweb/acme"},
		Refclockd: Refclockd{Config: refclockd.DefaultPath, Snapshot: status.DefaultPath, History: "/var/lib/refclock/history", User: "refclock"},
		Ntsserve:  Ntsserve{Config: ntsserve.DefaultPath, Counters: observe.DefaultServing},
		Fleet:     Fleet{File: fleetview.DefaultFile},
		Log:       config.DefaultLog(),
	}
}
