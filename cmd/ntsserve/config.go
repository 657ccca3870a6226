package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/daemon"
	"noonmark/refclock/status"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/nts"
	"noonmark/server/ntske"
	"noonmark/server/sysclock"
	"noonmark/server/threads"
	"noonmark/server/transport/sockets"
)

// defaultConfig is read when -config does not name another file.
const defaultConfig = "/etc/noonmark/ntsserve.toml"

// file is the configuration file.
type file struct {
	User        string               `toml:"user"`
	Priority    string               `toml:"priority"`
	Source      sourceConfig         `toml:"source"`
	Endpoint    []endpointConfig     `toml:"endpoint"`
	KE          keConfig             `toml:"ke"`
	Certificate []certificateConfig  `toml:"certificate"`
	ACME        acmeConfig           `toml:"acme"`
	Keys        keysConfig           `toml:"keys"`
	Access      accessConfig         `toml:"access"`
	Log         daemon.LogConfig     `toml:"log"`
	Metrics     daemon.MetricsConfig `toml:"metrics"`
}

type sourceConfig struct {
	Type    string `toml:"type"`
	Path    string `toml:"path"`
	Address string `toml:"address"`
	Stratum int    `toml:"stratum"`
	RefID   string `toml:"refid"`
}

type endpointConfig struct {
	Address    config.AddrPort `toml:"address"`
	Interface  string          `toml:"interface"`
	NTS        string          `toml:"nts"`
	Workers    int             `toml:"workers"`
	Timestamps string          `toml:"timestamps"`
	DSCP       int             `toml:"dscp"`
	Smear      bool            `toml:"smear"`

	ReceiveLatency  config.Duration `toml:"receive_latency"`
	TransmitLatency config.Duration `toml:"transmit_latency"`
}

type keConfig struct {
	Listen         config.AddrPort `toml:"listen"`
	Certificate    string          `toml:"certificate"`
	Key            string          `toml:"key"`
	Server         string          `toml:"server"`
	Port           int             `toml:"port"`
	MaxConnections int             `toml:"max_connections"`
	MaxPerAddress  int             `toml:"max_per_address"`
	Rate           float64         `toml:"rate"`
	RatePerAddress float64         `toml:"rate_per_address"`
	Timeout        config.Duration `toml:"timeout"`
}

// certificateConfig is a further pair of PEM files.
type certificateConfig struct {
	File string `toml:"file"`
	Key  string `toml:"key"`
}

type acmeConfig struct {
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

type keysConfig struct {
	File   string          `toml:"file"`
	Rotate config.Duration `toml:"rotate"`
	Keep   int             `toml:"keep"`
}

type accessConfig struct {
	Allow    []config.Prefix `toml:"allow"`
	Deny     []config.Prefix `toml:"deny"`
	NTSOnly  []config.Prefix `toml:"nts_only"`
	Rate     float64         `toml:"rate_limit"`
	Burst    int             `toml:"rate_burst"`
	Prefix4  int             `toml:"rate_prefix4"`
	Prefix6  int             `toml:"rate_prefix6"`
	KissRate float64         `toml:"kiss_rate"`
}

// settings is a configuration that makes sense.
type settings struct {
	file
	endpoints []server.Endpoint
	access    *server.Access
	limit     server.LimitConfig
	priority  threads.Priority
	user      *identity // to become, nil: as started
	useKE     bool
	useNTS    bool // cookies are opened here, wherever NTS-KE is
	ntpPort   int  // told to NTS clients, 0 = the usual
	certs     certs.Config
	ring      nts.RingConfig
	source    *sysclock.Config // nil: refclockd's snapshot
	warnings  []string
}

func defaults() file {
	return file{
		Priority: threads.High.String(),
		Source:   sourceConfig{Type: "snapshot", Path: status.DefaultPath, Address: sysclock.DefaultChrony, Stratum: sysclock.DefaultStratum},
		KE:       keConfig{Timeout: config.D(5 * time.Second), MaxConnections: 512, MaxPerAddress: 16},
		ACME:     acmeConfig{Directory: certs.DefaultDirectory, StateDir: "/var/lib/ntsserve/acme"},
		Keys:     keysConfig{File: "/var/lib/ntsserve/keys", Rotate: config.D(nts.DefaultRotate), Keep: nts.DefaultKeep},
		Access:   accessConfig{Burst: 16, Prefix4: 32, Prefix6: 56, KissRate: 4},
	}
}

// defaultKE is where NTS-KE listens when a certificate is given and no address
// (RFC 8915, section 7.1 has the port).
var defaultKE = netip.MustParseAddrPort("0.0.0.0:4460")

// load reads and checks a configuration file. It opens no other file; what of
// them is missing is a warning.
func load(path string) (*settings, error) {
	s := &settings{file: defaults()}
	f, err := config.Load(path, &s.file)
	if err != nil {
		return nil, err
	}
	return s, s.check(f)
}

// check turns the file into settings. All that is wrong is told at once.
func (s *settings) check(f *config.File) error {
	var errs []error
	bad := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	s.checkSource(f, bad)
	var err error
	if s.priority, err = threads.ParsePriority(s.Priority); err != nil {
		bad(f.OneOf("priority", s.Priority, "normal", "high", "realtime"))
	}

	if s.User != "" {
		if s.user, err = findUser(s.User); err != nil {
			bad(f.Errorf("user", "%w; want one that exists, as ntsserve (systemd/noonmark.sysusers makes it), or leave it out", err))
		}
	}

	s.useKE = f.Has("ke.listen") && s.KE.Listen.IsValid() || s.KE.Certificate != "" || s.KE.Key != "" || len(s.Certificate) > 0 || f.Has("acme")
	s.useNTS = s.useKE || f.Has("keys.file")
	if s.useKE {
		s.checkKE(f, bad)
	}
	if s.useNTS {
		s.ring = nts.RingConfig{Rotate: s.Keys.Rotate.Duration, Keep: s.Keys.Keep}
		if s.Keys.Rotate.Duration <= 0 || s.Keys.Keep <= 0 {
			bad(f.Errorf("keys.rotate", "rotation every %v and %d keys kept make no key ring; want for instance rotate = \"24h\" and keep = 8", s.Keys.Rotate, s.Keys.Keep))
		} else if _, err := nts.NewRing(s.ring, time.Now()); err != nil {
			bad(f.Errorf("keys.rotate", "makes no key ring: %w", err))
		}
		if s.Keys.File == "" {
			bad(f.Errorf("keys.file", "is empty; want a file in a directory that only this program can write, as /var/lib/ntsserve/keys"))
		}
	}

	if len(s.Endpoint) == 0 {
		bad(f.Errorf("endpoint", "there is none; want at least\n[[endpoint]]\naddress = \"0.0.0.0:123\""))
	}
	seen := map[string]int{}
	for i, e := range s.Endpoint {
		key := fmt.Sprintf("endpoint[%d]", i)
		ep, err := s.endpoint(f, key, e)
		bad(err)
		id := e.Address.String() + "%" + e.Interface
		if j, ok := seen[id]; ok && e.Address.Port() != 0 {
			bad(f.Errorf(key+".address", "endpoint[%d] has it already; want another address, port or interface", j))
		}
		seen[id] = i
		s.endpoints = append(s.endpoints, ep)
		if s.ntpPort == 0 && e.NTS != "off" && s.KE.Server == "" {
			s.ntpPort = int(e.Address.Port())
		}
	}
	if s.KE.Port != 0 {
		s.ntpPort = s.KE.Port
	}
	s.checkAccess(f, bad)
	bad(s.Log.Check(f))
	if s.Metrics.Exposed() {
		s.warnings = append(s.warnings, "metrics.listen is not a loopback address: everybody who reaches it can read the metrics")
	}
	return errors.Join(errs...)
}

// defaultSnapshot is where the snapshot of another source than refclockd is put.
const defaultSnapshot = "/run/ntsserve/status"

func (s *settings) checkSource(f *config.File, bad func(error)) {
	c := &s.Source
	bad(f.OneOf("source.type", c.Type, "snapshot", "chrony", "kernel"))
	if c.Path == "" {
		bad(f.Errorf("source.path", "is empty; want the file refclockd publishes, usually %q", status.DefaultPath))
	}
	for _, x := range [...]struct{ key, of string }{{"address", "chrony"}, {"stratum", "kernel"}, {"refid", "kernel"}} {
		if f.Has("source."+x.key) && c.Type != x.of {
			bad(f.Errorf("source."+x.key, "is of no use here; want type = %q, or leave it out", x.of))
		}
	}
	if c.Type == "snapshot" {
		return
	}
	if !f.Has("source.path") {
		c.Path = defaultSnapshot
	}
	s.source = &sysclock.Config{Path: c.Path, Stratum: uint8(c.Stratum), RefID: sysclock.DefaultRefID}
	if c.Type == "chrony" {
		s.source.Chrony = c.Address
		if err := sysclock.CheckChrony(c.Address); err != nil {
			bad(f.Errorf("source.address", "%w; want %q, or the path of chronyd's socket", err, sysclock.DefaultChrony))
		}
	}
	if c.Stratum < 1 || c.Stratum > 15 {
		bad(f.Errorf("source.stratum", "%d is no stratum; want 1 to 15: one more than that of the clock's own reference", c.Stratum))
	}
	if c.RefID != "" {
		if a, err := netip.ParseAddr(c.RefID); err == nil && a.Is4() {
			s.source.RefID = a.As4()
		} else if len(c.RefID) <= 4 && c.Stratum == 1 {
			s.source.RefID = [4]byte{}
			copy(s.source.RefID[:], c.RefID)
		} else {
			bad(f.Errorf("source.refid", "%q is no reference identifier; want the IPv4 address of the clock's reference, or at stratum 1 up to four letters", c.RefID))
		}
	}
}

// maxLatency is more than a card needs from its stamps to the wire.
const maxLatency = 100 * time.Microsecond

func (s *settings) endpoint(f *config.File, key string, e endpointConfig) (server.Endpoint, error) {
	var errs []error
	if !e.Address.IsValid() {
		errs = append(errs, f.Errorf(key+".address", "is missing; want %s", config.AddrPort{}.Expect()))
	}
	var p server.Policy
	switch e.NTS {
	case "", "allow":
	case "only":
		p = server.NoPlain
		if !s.useNTS {
			errs = append(errs, f.Errorf(key+".nts", "there are no cookie keys, so nobody would be answered; want ke.certificate and ke.key, [acme], or keys.file shared with the NTS-KE server"))
		}
	case "off":
		p = server.NoNTS
	default:
		errs = append(errs, f.OneOf(key+".nts", e.NTS, "allow", "only", "off"))
	}
	mode := sockets.Auto
	if e.Timestamps != "" {
		if m, err := sockets.ParseMode(e.Timestamps); err == nil {
			mode = m
		} else {
			errs = append(errs, f.OneOf(key+".timestamps", e.Timestamps, "auto", "hardware", "software", "off"))
		}
	}
	if e.Workers < 0 || e.Workers > 256 {
		errs = append(errs, f.Errorf(key+".workers", "%d is no number of workers; want 1 to 256, or 0 for one a processor", e.Workers))
	}
	if e.DSCP < 0 || e.DSCP > 63 {
		errs = append(errs, f.Errorf(key+".dscp", "%d is no code point; want 0 to 63", e.DSCP))
	}
	for _, x := range [...]struct {
		key string
		v   time.Duration
	}{{".receive_latency", e.ReceiveLatency.Duration}, {".transmit_latency", e.TransmitLatency.Duration}} {
		if x.v < 0 || x.v > maxLatency {
			errs = append(errs, f.Errorf(key+x.key, "%v lies between no card's stamps and its wire; want 0s to %v", x.v, maxLatency))
		}
	}
	if e.Smear && s.Source.Type != "snapshot" {
		errs = append(errs, f.Errorf(key+".smear", "a clock of source.type = %q executes its leap seconds itself, and nobody tells when the last one was; want type = \"snapshot\", or no smearing", s.Source.Type))
	}
	return server.Endpoint{
		Policy: p, Smear: e.Smear,
		Socket: sockets.Config{
			Addr: e.Address.AddrPort, Interface: e.Interface, Stamps: mode, Sockets: e.Workers, DSCP: uint8(e.DSCP),
			ReceiveLatency: e.ReceiveLatency.Duration, TransmitLatency: e.TransmitLatency.Duration,
		},
	}, errors.Join(errs...)
}

func (s *settings) checkKE(f *config.File, bad func(error)) {
	k := &s.KE
	if !k.Listen.IsValid() {
		k.Listen.AddrPort = defaultKE
	}
	s.checkCertificates(f, bad)
	if k.Server != "" && !ntske.ValidServer(k.Server) {
		bad(f.Errorf("ke.server", "%q is no NTP server; want an address without zone, or a full domain name", k.Server))
	}
	if k.Port < 0 || k.Port > 65535 {
		bad(f.Errorf("ke.port", "%d is no port; want 1 to 65535, or 0 for that of the first endpoint with NTS", k.Port))
	}
	for _, x := range [...]struct {
		key string
		v   float64
	}{
		{"ke.max_connections", float64(k.MaxConnections)}, {"ke.max_per_address", float64(k.MaxPerAddress)}, {"ke.timeout", k.Timeout.Seconds()},
	} {
		if x.v <= 0 {
			bad(f.Errorf(x.key, "is not positive; leave it out for the default"))
		}
	}
	if k.Timeout.Duration > time.Minute {
		bad(f.Errorf("ke.timeout", "%v keeps connections of strangers open; want at most 1m", k.Timeout))
	}
	if k.Rate < 0 {
		bad(f.Errorf("ke.rate", "is negative; want handshakes per second, or 0 for no limit"))
	}
	if k.RatePerAddress < 0 {
		bad(f.Errorf("ke.rate_per_address", "is negative; want handshakes per second, or 0 for no limit"))
	}
}

// checkCertificates gathers where certificates come from. The first, which those
// get who ask for no name that any has, is [ke]'s.
func (s *settings) checkCertificates(f *config.File, bad func(error)) {
	pair := func(certKey, cert, keyKey, key string) {
		for _, x := range [...]struct{ key, path string }{{certKey, cert}, {keyKey, key}} {
			if x.path == "" {
				bad(f.Errorf(x.key, "is missing; want a PEM file (NTS-KE needs certificate and key)"))
			} else if _, err := os.Stat(x.path); err != nil {
				s.warnings = append(s.warnings, f.Errorf(x.key, "%w; it must be there when ntsserve starts", err).Error())
			}
		}
		s.certs.Pairs = append(s.certs.Pairs, certs.Pair{Cert: cert, Key: key})
	}
	if s.KE.Certificate != "" || s.KE.Key != "" || len(s.Certificate) == 0 && !f.Has("acme") {
		pair("ke.certificate", s.KE.Certificate, "ke.key", s.KE.Key)
	}
	for i, c := range s.Certificate {
		key := fmt.Sprintf("certificate[%d]", i)
		pair(key+".file", c.File, key+".key", c.Key)
	}
	if !f.Has("acme") {
		return
	}
	a := s.ACME
	s.certs.ACME = &certs.ACME{Directory: a.Directory, Names: a.Names, AcceptTerms: a.AcceptTerms, Email: a.Email, Profile: a.Profile, CAFile: a.CAFile, Dir: a.StateDir}
	for _, x := range [...]struct {
		dst *string
		src config.AddrPort
	}{{&s.certs.ACME.HTTP, a.HTTP}, {&s.certs.ACME.TLS, a.TLS}} {
		if x.src.IsValid() {
			*x.dst = x.src.String()
		}
	}
	switch {
	case len(a.Names) == 0:
		bad(f.Errorf("acme.names", "is empty; want the names and addresses that clients know this server by, such as [\"time.example.org\"]"))
	case !a.AcceptTerms:
		bad(f.Errorf("acme.accept_terms", "is not true; read the terms of service of the ACME server, then set it"))
	case !a.HTTP.IsValid() && !a.TLS.IsValid():
		bad(f.Errorf("acme.http", "there is no address to answer the ACME server at; want http = \"0.0.0.0:80\" or tls = \"0.0.0.0:443\""))
	default:
		if err := s.certs.ACME.Check(); err != nil {
			bad(f.Errorf("acme", "%w; want values as in configs/ntsserve.toml", err))
		}
	}
}

func (s *settings) checkAccess(f *config.File, bad func(error)) {
	a := s.Access
	list := func(ps []config.Prefix) (out []netip.Prefix) {
		for _, p := range ps {
			out = append(out, p.Prefix)
		}
		return out
	}
	if len(a.Allow)+len(a.Deny)+len(a.NTSOnly) > 0 {
		var err error
		if s.access, err = server.NewAccess(list(a.Allow), list(a.Deny), list(a.NTSOnly)); err != nil {
			bad(f.Errorf("access", "%w; want each prefix on one of allow, deny, nts_only", err))
		}
	}
	if a.Rate < 0 || a.Rate > 1e6 {
		bad(f.Errorf("access.rate_limit", "%v is no rate; want requests per second and prefix, or 0 for no limit", a.Rate))
	}
	if a.Burst < 1 || a.Burst > 1e6 {
		bad(f.Errorf("access.rate_burst", "%d is no burst; want 1 to 1000000 requests", a.Burst))
	}
	if a.Prefix4 < 1 || a.Prefix4 > 32 {
		bad(f.Errorf("access.rate_prefix4", "%d is no prefix length; want 1 to 32", a.Prefix4))
	}
	if a.Prefix6 < 1 || a.Prefix6 > 128 {
		bad(f.Errorf("access.rate_prefix6", "%d is no prefix length; want 1 to 128", a.Prefix6))
	}
	if a.KissRate < 0 || a.KissRate > 1e4 {
		bad(f.Errorf("access.kiss_rate", "%v is no rate; want kiss codes per second, at most 10000, or 0 for none", a.KissRate))
	}
	s.limit = server.LimitConfig{Rate: a.Rate, Burst: a.Burst, Prefix4: a.Prefix4, Prefix6: a.Prefix6, KissRate: a.KissRate}
}

// frozen is what a reload cannot change.
func (s *settings) frozen() string {
	return fmt.Sprintf("%+v %+v %+v %+v %+v %+v %+v %+v %+v", s.User, s.Priority, s.Source, s.Endpoint, s.KE, s.Certificate, s.ACME, s.Keys, s.limit) + fmt.Sprint(s.Metrics, s.Log.Format)
}
