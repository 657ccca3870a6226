// Package appliance writes the files of the simulated appliance: the configurations
// of refclockd, ntsserve and refclockweb on free ports of loopback, and a private
// certificate authority. The demo and tests run the real programs with them.
package appliance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"noonmark/internal/freeports"
	"noonmark/internal/observe"
	"noonmark/server/certs"
)

// Fault is something that goes wrong with the simulated receiver, as in a
// [[sim.fault]].
type Fault struct {
	Kind    string
	At, For time.Duration
}

// Options are what differs between two appliances.
type Options struct {
	Seed          uint64
	Start         time.Time // sim.start, a full second; zero: now
	Oscillator    string    // sim.oscillator; empty: "tcxo"
	HoldoverLimit string    // discipline.holdover_limit; empty: the default
	Faults        []Fault
}

// Site is an appliance's folder and addresses.
type Site struct {
	Dir  string
	NTP  int // UDP port
	KE   int // TCP port of NTS-KE
	Page int // TCP port of the page

	ports *freeports.Row // they stay those of the appliance while its programs end and start again
}

// Write writes the files of an appliance into dir, where the programs also keep
// theirs. The caller closes the result.
func Write(dir string, o Options) (*Site, error) {
	s := &Site{Dir: dir}
	if err := s.reserve(); err != nil {
		return nil, err
	}
	if err := s.write(o); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Site) write(o Options) error {
	if err := s.certificates(); err != nil {
		return err
	}
	if err := os.MkdirAll(s.ServerRuntime(), 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"refclockd": s.refclockd(o), "ntsserve": fmt.Sprintf(ntsserveTOML, s.Dir, s.NTP, s.KE),
		"refclockweb": fmt.Sprintf(refclockwebTOML, s.Dir, s.Page, filepath.Join(s.ServerRuntime(), observe.ServingName)),
	} {
		if err := os.WriteFile(s.Config(name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the reservation of the ports. The programs have ended.
func (s *Site) Close() { s.ports.Release() }

// Config is the path of a program's configuration.
func (s *Site) Config(program string) string { return filepath.Join(s.Dir, program+".toml") }

// ServerRuntime is the runtime folder of ntsserve, which systemd would make: the
// value of RUNTIME_DIRECTORY.
func (s *Site) ServerRuntime() string { return filepath.Join(s.Dir, "ntsserve") }

// URL is the address of the page.
func (s *Site) URL() string { return fmt.Sprintf("http://127.0.0.1:%d/", s.Page) }

// AntennaUnplugged are the faults that together are an antenna that is unplugged: the receiver loses the fix
// and stops its pulse.
func AntennaUnplugged(at, last time.Duration) (all []Fault) {
	for _, kind := range [...]string{"antenna_open", "void", "no_pulse"} {
		all = append(all, Fault{kind, at, last})
	}
	return all
}

const ntsserveTOML = `clients = "prefixes"
[source]
type = "snapshot"
path = "%[1]s/status"
[[endpoint]]
address = "127.0.0.1:%[2]d"
nts = "allow"
[ke]
listen = "127.0.0.1:%[3]d"
certificate = "%[1]s/server.pem"
key = "%[1]s/server.key"
server = "localhost"
port = %[2]d
[keys]
file = "%[1]s/keys"
`

const refclockwebTOML = `listen = "127.0.0.1:%[2]d"
[refclockd]
config = "%[1]s/refclockd.toml"
snapshot = "%[1]s/status"
history = "%[1]s/history"
[ntsserve]
config = "%[1]s/ntsserve.toml"
counters = "%[3]s"
[fleet]
file = "%[1]s/fleet.json"
`

func (s *Site) refclockd(o Options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "runtime_dir = %[1]q\nstate_dir = %[1]q\n[clock]\nsource = \"sim\"\n[pulse]\nsource = \"sim\"\n[leap]\nfile = \"\"\nzone = \"\"\n[sim]\nseed = %[2]d\n", s.Dir, o.Seed)
	if !o.Start.IsZero() {
		fmt.Fprintf(&b, "start = %q\n", o.Start.UTC().Format(time.RFC3339))
	}
	if o.Oscillator != "" {
		fmt.Fprintf(&b, "oscillator = %q\n", o.Oscillator)
	}
	for _, f := range o.Faults {
		fmt.Fprintf(&b, "[[sim.fault]]\nkind = %q\nat = %q\nfor = %q\n", f.Kind, f.At, f.For)
	}
	if o.HoldoverLimit != "" {
		fmt.Fprintf(&b, "[discipline]\nholdover_limit = %q\n", o.HoldoverLimit)
	}
	if !o.Start.IsZero() { // a simulation may play in the past
		fmt.Fprintf(&b, "[receiver]\nnot_before = %q\n", o.Start.UTC().AddDate(0, -1, 0).Format(time.DateOnly))
	}
	return b.String()
}

// certificates makes a certificate authority that is valid for a day and a
// certificate for localhost: ca.pem, server.pem, server.key. The authority's key is
// not written.
func (s *Site) certificates() error {
	const life = 24 * time.Hour
	now := time.Now()
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "Noonmark demo CA", Life: life}, now)
	if err != nil {
		return err
	}
	leaf, err := ca.Issue([]string{"localhost", "127.0.0.1", "::1"}, life, nil, now)
	if err != nil {
		return err
	}
	if err := leaf.Save(s.Dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.Dir, certs.AuthorityCert), ca.CertPEM(), 0o644)
}

// reserve reserves the ports.
func (s *Site) reserve() (err error) {
	if s.ports, err = freeports.Reserve(3); err == nil {
		s.NTP, s.KE, s.Page = s.ports.First, s.ports.First+1, s.ports.First+2
	}
	return err
}

// NTPAddress is where ntsserve answers NTP.
func (s *Site) NTPAddress() string { return fmt.Sprintf("127.0.0.1:%d", s.NTP) }
