package refclockweb

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"

	"noonmark/internal/config"
	"noonmark/internal/durable"
	"noonmark/server/certs"
)

// Limits of the file with the token.
const (
	minToken = 20 // characters: with 64 different ones, 120 bits
	maxToken = 4096
)

// Settings is a checked file.
type Settings struct {
	File
	Warnings []string
	Pairs    []certs.Pair
	Order    *certs.ACME // nil: no certificate is ordered
	// Token is the SHA-256 of the bearer token; nil: none is asked for.
	Token *[sha256.Size]byte
}

// Load reads and checks the file at path, and the token file that it names. All
// errors come at once, joined, each a *config.Error with line and key.
func Load(path string) (*Settings, error) {
	s, c, err := load(path)
	if err != nil {
		return nil, err
	}
	if s.TokenFile != "" {
		if s.Token, err = ReadToken(s.TokenFile); err != nil {
			c.Refuse("token_file", "%w", err)
		}
	}
	return s, c.Err()
}

// LoadWithoutToken is Load without a look at the token file, which may not exist yet, or not
// be readable now. Token is nil.
func LoadWithoutToken(path string) (*Settings, error) {
	s, c, err := load(path)
	if err != nil {
		return nil, err
	}
	return s, c.Err()
}

// load reads the file at path; c has what is wrong with its keys.
func load(path string) (s *Settings, c *config.Checker, err error) {
	s = &Settings{File: Default()}
	f, err := config.Load(path, &s.File)
	if err != nil {
		return nil, nil, err
	}
	c = config.NewChecker(f)
	s.check(f, c)
	return s, c, nil
}

// Exposed reports whether other machines can reach the page.
func (s *Settings) Exposed() bool { return !s.Listen.Addr().IsLoopback() }

func (s *Settings) check(f *config.File, c *config.Checker) {
	c.Require(s.Listen.IsValid(), "listen", "is empty; want %v, or leave it out", DefaultListen())
	for i, n := range s.Names {
		_, err := netip.ParseAddr(n)
		good := n != "" && len(n) <= 253 && !strings.ContainsAny(n, "/: \t\"*")
		c.Require(good || err == nil, "names", "names[%d] %q is no host name; want a name or an address, without a port", i, n)
	}
	c.Require(s.MaxConnections >= 4 && s.MaxConnections <= 1024, "max_connections", "%d is out of range; want 4 to 1024", s.MaxConnections)
	c.Require(s.MaxStreams >= 1 && s.MaxStreams < s.MaxConnections, "max_streams", "%d is out of range; want 1 to %d, fewer than max_connections", s.MaxStreams, s.MaxConnections-1)
	for _, x := range [...]struct{ key, value string }{
		{"refclockd.config", s.Refclockd.Config}, {"refclockd.snapshot", s.Refclockd.Snapshot}, {"refclockd.history", s.Refclockd.History}, {"ntsserve.config", s.Ntsserve.Config}, {"ntsserve.counters", s.Ntsserve.Counters},
		{"fleet.file", s.Fleet.File},
	} {
		c.Require(filepath.IsAbs(x.value), x.key, "%q is not an absolute path; want one, or leave it out", x.value)
	}
	for _, p := range s.Certificate {
		c.Require(p.File != "" && p.Key != "", "certificate", "file or key is missing; want two PEM files")
		s.Pairs = append(s.Pairs, certs.Pair{Cert: p.File, Key: p.Key})
	}
	if f.Has("acme") {
		s.Order = s.ACME.Order(c, "configs/refclockweb.toml")
	}
	if s.Listen.IsValid() && s.Exposed() {
		c.Require(s.TokenFile != "", "listen", "%v can be reached by other machines, and there is no token; want token_file, or 127.0.0.1", s.Listen)
		c.Require(len(s.Certificate) > 0 || s.Order != nil, "listen", "%v can be reached by other machines, and there is no certificate; want a [[certificate]] or [acme], or 127.0.0.1", s.Listen)
	}
	s.Log.Check(c)
}

// ReadToken returns the SHA-256 of the bearer token in a file. It refuses a file that every
// user can read, and a token that could be guessed.
func ReadToken(path string) (*[sha256.Size]byte, error) {
	b, mode, err := durable.ReadFile(path, maxToken)
	if err != nil {
		remedy := "want a file with one line of 20 or more random characters (openssl rand -base64 24)"
		if errors.Is(err, fs.ErrPermission) {
			remedy = "it must belong to the user that refclockweb runs as"
		}
		return nil, fmt.Errorf("%w; %s", err, remedy)
	}
	token := bytes.TrimSpace(b)
	switch {
	case mode.Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s can be read by every user of this machine; want chmod 640", path)
	case len(token) < minToken || bytes.ContainsAny(token, " \t\r\n"):
		return nil, fmt.Errorf("%s has no token of %d or more characters without spaces; want one line of random characters (openssl rand -base64 24)", path, minToken)
	}
	sum := sha256.Sum256(token)
	return &sum, nil
}

// ReloadedKeys are the keys that a running program takes over; all others need a
// restart. Certificates are read again when their files change.
func ReloadedKeys() []string { return []string{"log.level"} }

// Changes lists the keys that differ from those of a running program.
func (s *Settings) Changes(running *Settings) config.Changes {
	return config.Compare(s.File, running.File, ReloadedKeys())
}
