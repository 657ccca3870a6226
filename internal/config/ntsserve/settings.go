package ntsserve

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/privileges"
	"noonmark/refclock/status"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/mac"
	"noonmark/server/nts"
	"noonmark/server/sysclock"
	"noonmark/server/threads"
)

// Settings is a checked file and what the server's parts are made from.
type Settings struct {
	File
	// Place returns FILE:LINE: KEY of a key, for errors that show while the daemon
	// runs.
	Place func(key string) string
	// Warnings are problems that do not keep the daemon from running.
	Warnings []string

	Endpoints      []server.Endpoint
	AccessList     *server.Access // nil: everybody is answered
	RateLimit      server.LimitConfig
	ThreadPriority threads.Priority
	ExternalClock  *sysclock.Config // nil: refclockd's snapshot is served

	ServesKE     bool // NTS-KE runs here
	OpensCookies bool // NTS is answered here, wherever NTS-KE runs
	NTPPort      int  // that NTS-KE names to clients; 0: the usual
	Certificates certs.Config
	KeyRing      nts.RingConfig

	SymmetricKeys mac.Source
	BadMAC        server.Policy // for a MAC that is not accepted
}

// Load reads and checks the file at path. It opens no other file; one that is
// missing is a warning. All errors come at once, joined, each a *config.Error
// with line and key. If the file could be parsed, the settings are returned
// beside the errors of its values, for a program that examines a damaged file;
// only those without an error may be run.
func Load(path string) (*Settings, error) {
	s := &Settings{File: Default()}
	f, err := config.Load(path, &s.File)
	if f == nil {
		return nil, err
	}
	s.Place = f.Place
	return s, s.check(f, err)
}

func (s *Settings) check(f *config.File, found error) error {
	c := config.NewChecker(f)
	c.Add(found)
	s.checkSource(c)
	s.checkProcess(c)
	s.ServesKE = f.Has("ke.listen") && s.KE.Listen.IsValid() || s.KE.Certificate != "" || s.KE.Key != "" || len(s.Certificate) > 0 || f.Has("acme")
	s.OpensCookies = s.ServesKE || f.Has("keys.file")
	if s.ServesKE {
		s.checkKE(c)
		s.checkCertificates(c)
		s.checkACME(c)
	}
	if s.OpensCookies {
		s.checkKeys(c)
	}
	s.checkMAC(c)
	s.checkEndpoints(c)
	s.checkAccess(c)
	s.Log.Check(c)
	if s.Metrics.Exposed() {
		s.warn("metrics.listen: %v can be read by other machines", s.Metrics.Listen)
	}
	return c.Err()
}

func (s *Settings) warn(format string, args ...any) {
	s.Warnings = append(s.Warnings, fmt.Sprintf(format, args...))
}

// checkProcess checks the user and the priority of threads.
func (s *Settings) checkProcess(c *config.Checker) {
	c.OneOf("clients", s.Clients, "off", "prefixes")
	var err error
	if s.ThreadPriority, err = threads.ParsePriority(s.Priority); err != nil {
		c.OneOf("priority", s.Priority, "normal", "high", "realtime")
	}
	if s.User == "" {
		return
	}
	if _, err = privileges.FindUser(s.User); err != nil {
		s.Warnings = append(s.Warnings, c.File.Errorf("user", "%w; want one that exists, such as ntsserve (systemd/noonmark.sysusers makes it), or leave it out", err).Error())
	}
}

func (s *Settings) checkSource(c *config.Checker) {
	x := &s.Source
	c.OneOf("source.type", x.Type, "snapshot", "chrony", "kernel")
	c.Require(x.Path != "", "source.path", "is empty; want the file that refclockd publishes, usually %q", status.DefaultPath)
	for _, k := range [...]struct{ key, of string }{{"source.address", "chrony"}, {"source.stratum", "kernel"}, {"source.refid", "kernel"}} {
		c.Require(!c.File.Has(k.key) || x.Type == k.of, k.key, "is not used here; want type = %q, or leave it out", k.of)
	}
	if x.Type == "snapshot" {
		return
	}
	if !c.File.Has("source.path") {
		x.Path = DefaultSnapshot
	}
	s.ExternalClock = &sysclock.Config{Path: x.Path, Stratum: uint8(x.Stratum), RefID: sysclock.DefaultRefID}
	if x.Type == "chrony" {
		s.ExternalClock.Chrony = x.Address
		if err := sysclock.CheckChrony(x.Address); err != nil {
			c.Refuse("source.address", "%w; want %q, or the path of chronyd's socket", err, sysclock.DefaultChrony)
		}
	}
	c.Require(x.Stratum >= 1 && x.Stratum <= 15, "source.stratum", "%d is not a stratum to serve; want 1 to 15: one more than that of the clock's own reference", x.Stratum)
	if x.RefID == "" {
		return
	}
	id, ok := parseRefID(x.RefID, x.Stratum)
	c.Require(ok, "source.refid", "%q is not a reference ID; want the IPv4 address of the clock's reference, or at stratum 1 up to four letters", x.RefID)
	s.ExternalClock.RefID = id
}

// parseRefID reads an IPv4 address or, at stratum 1, up to four letters.
func parseRefID(text string, stratum int) (id [4]byte, ok bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
		return a.As4(), true
	}
	if len(text) > 4 || stratum != 1 {
		return id, false
	}
	copy(id[:], text)
	return id, true
}

func (s *Settings) checkKeys(c *config.Checker) {
	k := &s.Keys
	c.Require(k.Keep >= 1 && k.Keep <= nts.MaxKeep, "keys.keep", "%d is not a number of keys; want 1 to %d, such as %d", k.Keep, nts.MaxKeep, nts.DefaultKeep)
	c.Within("keys.rotate", k.Rotate, nts.MinRotate, nts.MaxRotate)
	c.Require(k.Rotate.Duration%time.Second == 0, "keys.rotate", "%v is not a whole number of seconds; want such as \"24h\"", k.Rotate)
	s.KeyRing = nts.RingConfig{Rotate: k.Rotate.Duration, Keep: k.Keep, Renew: nts.NeverRenew}
	// A ring has defaults for what is 0, which a file must not.
	if _, err := nts.NewRing(s.KeyRing, time.Now()); err == nil && k.Keep != 0 && k.Rotate.Duration != 0 {
		s.checkRenewal(c)
	}
	c.Require(s.Keys.File != "", "keys.file", "is empty; want a file in a directory that only this program can write, such as /var/lib/ntsserve/keys")
}

// checkRenewal reads how often a new secret replaces the one of the cookie keys.
func (s *Settings) checkRenewal(c *config.Checker) {
	const want = "want \"auto\", \"never\", or a duration such as \"192h\""
	r := &s.KeyRing
	renew, err := nts.ParseRenew(s.Keys.Renew)
	if err != nil {
		c.Refuse("keys.renew", "%q is not an interval; %s", s.Keys.Renew, want)
		return
	}
	if r.Renew = renew; renew == nts.NeverRenew {
		return
	}
	r.Ahead = s.Keys.RenewAhead.Duration
	seals := cmp.Or(r.Renew, time.Duration(r.Keep)*r.Rotate)
	c.Require(r.Ahead >= nts.DefaultAhead, "keys.renew_ahead", "%v is too short for the other processes and servers to load the file; want at least %v", s.Keys.RenewAhead, nts.DefaultAhead)
	c.Require(r.Ahead <= seals, "keys.renew_ahead", "%v is longer than the %v that a secret is used; want at most the interval of keys.renew", s.Keys.RenewAhead, seals)
	alone := *r
	alone.Ahead = 0
	if _, err := nts.NewRing(alone, time.Now()); err != nil {
		c.Refuse("keys.renew", "%w; %s", err, want)
	}
}

func (s *Settings) checkAccess(c *config.Checker) {
	a := s.Access
	if len(a.Allow)+len(a.Deny)+len(a.NTSOnly) > 0 {
		var err error
		if s.AccessList, err = server.NewAccess(prefixes(a.Allow), prefixes(a.Deny), prefixes(a.NTSOnly)); err != nil {
			c.Refuse("access", "%w; want each prefix on one of allow, deny, nts_only", err)
		}
	}
	c.Require(a.Rate >= 0 && a.Rate <= 1e6, "access.rate_limit", "%v is out of range; want requests per second and prefix, 0 to 1000000; 0 is no limit", a.Rate)
	c.Require(a.Burst >= 1 && a.Burst <= 1e6, "access.rate_burst", "%d is out of range; want 1 to 1000000 requests", a.Burst)
	c.Require(a.Prefix4 >= 1 && a.Prefix4 <= 32, "access.rate_prefix4", "%d is not a prefix length; want 1 to 32", a.Prefix4)
	c.Require(a.Prefix6 >= 1 && a.Prefix6 <= 128, "access.rate_prefix6", "%d is not a prefix length; want 1 to 128", a.Prefix6)
	c.Require(a.KissRate >= 0 && a.KissRate <= 1e4, "access.kiss_rate", "%v is out of range; want kiss codes per second, at most 10000, or 0 for none", a.KissRate)
	s.RateLimit = server.LimitConfig{Rate: a.Rate, Burst: a.Burst, Prefix4: a.Prefix4, Prefix6: a.Prefix6, KissRate: a.KissRate}
}

// AccessPrefixes returns the access lists.
func (s *Settings) AccessPrefixes() (allow, deny, ntsOnly []netip.Prefix) {
	return prefixes(s.Access.Allow), prefixes(s.Access.Deny), prefixes(s.Access.NTSOnly)
}

func prefixes(ps []config.Prefix) (out []netip.Prefix) {
	for _, p := range ps {
		out = append(out, p.Prefix)
	}
	return out
}

// needsLowPorts reports whether ports that need a capability may have to be
// bound again while the daemon runs.
func needsLowPorts(s *Settings) bool {
	addrs := []config.AddrPort{s.ACME.HTTP, s.ACME.TLS, s.Metrics.Listen}
	for _, e := range s.Endpoint { // its interface or address may go and come back
		addrs = append(addrs, e.Address)
	}
	if s.ServesKE {
		addrs = append(addrs, s.KE.Listen)
	}
	for _, a := range addrs {
		if a.IsValid() && a.Port() != 0 && privileges.PortNeedsCapability(a.Port()) {
			return true
		}
	}
	return false
}

// Capabilities are those that the daemon needs as long as it runs.
func (s *Settings) Capabilities() (need []privileges.Capability) {
	if needsLowPorts(s) {
		need = append(need, privileges.NetBindService)
	}
	return need
}

// ReloadedKeys are the keys that a running daemon takes over; all others need a
// restart. Certificates and cookie keys are read again when their files change.
func ReloadedKeys() []string {
	return []string{"log.level", "mac.keys_file", "key", "access.allow", "access.deny", "access.nts_only"}
}

// Changes lists the keys that differ from those of a running daemon.
func (s *Settings) Changes(running *Settings) config.Changes {
	return config.Compare(s.File, running.File, ReloadedKeys())
}
