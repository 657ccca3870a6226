// Package keyexchange runs NTS-KE in a process of its own. Strangers cause its work:
// its processor time has a low priority, its memory a limit, and whatever ends it, NTP
// is answered, and a new process begins. Both sides are the same program.
//
// The process has no files. What it needs comes through its standard input, so that it
// is nowhere else; it reports through its standard output, and logs to standard error.
// Each message is one line of JSON. The listener is file descriptor 3.
package keyexchange

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"noonmark/internal/config"
	"noonmark/server/nts"
	"noonmark/server/ntske"
)

// Argument is the first argument of the program that begins the process.
const Argument = "nts-ke-process"

const (
	listenerFD = 3
	// reportEvery is the interval between two reports, and between two looks at what
	// has changed.
	reportEvery = time.Second
	// hangs is how long a process may be silent or busy with one event.
	hangs = 15 * time.Second
	// maxReport is more than a report has, octets. The process talks with strangers,
	// so what it says is input.
	maxReport = 16 << 10
)

// Settings are for the life of a process.
type Settings struct {
	NTPServer      string        `json:"ntp_server"`
	NTPPort        int           `json:"ntp_port"`
	Timeout        time.Duration `json:"timeout"`
	MaxConnections int           `json:"max_connections"`
	MaxPerAddress  int           `json:"max_per_address"`
	Rate           float64       `json:"rate"`
	RatePerAddress float64       `json:"rate_per_address"`
	Prefix4        int           `json:"prefix4"`
	Prefix6        int           `json:"prefix6"`

	KeyRing nts.RingConfig `json:"key_ring"`
}

// server is the configuration of the server. TLS, Ring, Denied and Done are missing.
func (s *Settings) server() ntske.Config {
	return ntske.Config{
		NTPServer: s.NTPServer, NTPPort: s.NTPPort, Timeout: s.Timeout, MaxConns: s.MaxConnections, MaxPerAddr: s.MaxPerAddress,
		Rate: s.Rate, RatePerIP: s.RatePerAddress, Prefix4: s.Prefix4, Prefix6: s.Prefix6,
	}
}

// Check returns an error if no server can have these settings.
func (s *Settings) Check() error {
	c := s.server()
	return c.Check()
}

// State is what changes while a process runs.
type State struct {
	Certificates []Certificate  `json:"certificates"`
	Secrets      string         `json:"secrets"` // of nts.Ring.Export
	Allow        []netip.Prefix `json:"allow"`
	Deny         []netip.Prefix `json:"deny"`
	NTSOnly      []netip.Prefix `json:"nts_only"`
	Log          config.Log     `json:"log"`
}

// Certificate is a certificate with its private key.
type Certificate struct {
	Chain [][]byte `json:"chain"` // DER, that of the server first
	Key   []byte   `json:"key"`   // PKCS #8
}

// Certificates returns certificates as a State has them.
func Certificates(list []*tls.Certificate) ([]Certificate, error) {
	var out []Certificate
	for _, c := range list {
		key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			return nil, fmt.Errorf("pass on the key of certificate: %w", err)
		}
		out = append(out, Certificate{c.Certificate, key})
	}
	return out, nil
}

// certificates is the inverse of Certificates.
func certificates(list []Certificate) ([]*tls.Certificate, error) {
	var out []*tls.Certificate
	for _, c := range list {
		if len(c.Chain) == 0 {
			return nil, errors.New("a certificate is empty")
		}
		leaf, err := x509.ParseCertificate(c.Chain[0])
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(c.Key)
		if err != nil {
			return nil, err
		}
		signer, ok := key.(crypto.Signer)
		if !ok {
			return nil, errors.New("a key cannot sign")
		}
		out = append(out, &tls.Certificate{Certificate: c.Chain, PrivateKey: signer, Leaf: leaf})
	}
	return out, nil
}

// order is a message to the process. Settings come with the first one.
type order struct {
	Settings *Settings `json:"settings,omitempty"`
	State    *State    `json:"state,omitempty"`
	Number   uint64    `json:"number"` // of the state
	Stop     bool      `json:"stop,omitempty"`
}

// report is a message of the process.
type report struct {
	Exchanges map[string]uint64 `json:"exchanges"`        // by the word for the reason
	Open      int               `json:"open"`             // connections
	Number    uint64            `json:"number"`           // of the state that is in force
	Refused   string            `json:"refused,omitzero"` // why the last state is not
	Stuck     string            `json:"stuck,omitzero"`   // why the process must be ended
}
