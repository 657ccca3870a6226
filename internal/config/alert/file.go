// Package alert is the configuration of the process that sends alerts: the keys of
// its file, their defaults and checks. It is the only copy.
//
// Each key is documented in configs/alert.toml, whose values are the defaults here.
package alert

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/durable"
	"noonmark/internal/observe"
	"noonmark/refclock/status"
	"noonmark/server/certs/cafile"
)

// DefaultPath is where the process reads its file when no other is named.
const DefaultPath = "/etc/noonmark/alert.toml"

// File is the configuration file.
type File struct {
	RuntimeDir      string     `toml:"runtime_dir"`      // of refclockd
	State           string     `toml:"state"`            // file
	Serving         string     `toml:"serving"`          // file of ntsserve; empty: none
	RefclockdConfig string     `toml:"refclockd_config"` // whether it exists says what this machine is for
	NtsserveConfig  string     `toml:"ntsserve_config"`  // likewise
	Host            string     `toml:"host"`             // in messages; empty: the machine's name
	Discs           []string   `toml:"discs"`
	Fleet           string     `toml:"fleet"` // file; empty: none
	Conditions      Conditions `toml:"conditions"`
	Alert           []Target   `toml:"alert"`
	Log             config.Log `toml:"log"`
}

// Conditions is [conditions]: what is reported. A zero value switches one off.
type Conditions struct {
	NotLocked      config.Duration `toml:"not_locked"`
	Holdover       config.Duration `toml:"holdover"`
	Bound          config.Duration `toml:"bound"`
	ReceiverSilent config.Duration `toml:"receiver_silent"`
	Antenna        bool            `toml:"antenna"`
	Interference   bool            `toml:"interference"`
	Witness        bool            `toml:"witness"`
	Rival          bool            `toml:"rival"`
	Certificate    config.Duration `toml:"certificate"`
	LeapTable      config.Duration `toml:"leap_table"`
	CookieKey      bool            `toml:"cookie_key"`
	KERefusals     float64         `toml:"ke_refusals"`     // a minute
	SoftwareStamps float64         `toml:"software_stamps"` // share
	Restarted      bool            `toml:"restarted"`
	DiscFree       float64         `toml:"disc_free"` // share
	ServerSilent   config.Duration `toml:"server_silent"`
	Task           config.Duration `toml:"task"`
	Clear          config.Duration `toml:"clear"`
}

// Target is an [[alert]]: where alerts go.
type Target struct {
	Name       string   `toml:"name"`
	Type       string   `toml:"type"`       // webhook, email, syslog, command
	Conditions []string `toml:"conditions"` // empty: all
	Recovery   *bool    `toml:"recovery"`   // nil: true

	URL       string   `toml:"url"`
	URLFile   string   `toml:"url_file"`
	Format    string   `toml:"format"` // of a webhook
	TokenFile string   `toml:"token_file"`
	CA        string   `toml:"ca"`
	Server    string   `toml:"server"` // host:port
	TLS       string   `toml:"tls"`    // of email: starttls, tls, none
	User      string   `toml:"user"`
	Password  string   `toml:"password_file"`
	From      string   `toml:"from"`
	To        []string `toml:"to"`
	Transport string   `toml:"transport"` // of syslog: udp, tcp, tls
	Command   []string `toml:"command"`
}

// Secrets reads the files of secrets, and returns the URL of a webhook, its token, and the
// password of a mail server. Empty: none. What they hold may change while the
// configuration stays, so their errors are none of it: the target waits.
func (t *Target) Secrets() (url, token, password string, err error) {
	url = t.URL
	var errs [3]error
	if t.URLFile != "" {
		if url, errs[0] = secret("url_file", t.URLFile); errs[0] == nil {
			errs[0] = t.checkURL("url_file", url)
		}
	}
	token, errs[1] = secret("token_file", t.TokenFile)
	password, errs[2] = secret("password_file", t.Password)
	return url, token, password, errors.Join(errs[:]...)
}

// checkURL returns what is wrong with the URL that a key has or names.
func (t *Target) checkURL(key, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%s: is no URL; want one that begins with https:// or http://", key)
	}
	if t.TokenFile != "" && u.Scheme != "https" && !isLoopback(u.Host) {
		return fmt.Errorf("%s: would send a token without TLS; want an https:// URL, or no token_file", key)
	}
	return nil
}

// Names of the conditions, in the order of the file.
const (
	NotLocked      = "not_locked"
	Holdover       = "holdover"
	Bound          = "bound"
	ReceiverSilent = "receiver_silent"
	Antenna        = "antenna"
	Interference   = "interference"
	Witness        = "witness"
	Rival          = "rival"
	Certificate    = "certificate"
	LeapTable      = "leap_table"
	CookieKey      = "cookie_key"
	KERefusals     = "ke_refusals"
	SoftwareStamps = "software_stamps"
	Restarted      = "restarted"
	DiscFree       = "disc_free"
	ServerSilent   = "server_silent"
	Task           = "task"
)

// Names returns the names of all conditions.
func Names() []string {
	return []string{
		NotLocked, Holdover, Bound, ReceiverSilent, Antenna, Interference, Witness, Rival, Certificate, LeapTable, CookieKey, KERefusals, SoftwareStamps, Restarted,
		DiscFree, ServerSilent, Task,
	}
}

// Default returns a file with the values of keys that are left out.
func Default() File {
	return File{
		RuntimeDir: filepath.Dir(status.DefaultPath), State: "/var/lib/noonmark-alert/state.json",
		Serving: observe.DefaultServing, RefclockdConfig: refclockd.DefaultPath, NtsserveConfig: ntsserve.DefaultPath,
		Discs: []string{"/", "/var/lib"},
		Conditions: Conditions{
			NotLocked: config.D(2 * time.Minute), Holdover: config.D(10 * time.Minute), Bound: config.D(0), ReceiverSilent: config.D(30 * time.Second),
			Antenna: true, Interference: true, Witness: true, Rival: true,
			Certificate: config.D(7 * 24 * time.Hour), LeapTable: config.D(14 * 24 * time.Hour), CookieKey: true,
			Restarted: true, DiscFree: 0.05, ServerSilent: config.D(time.Minute), Task: config.D(5 * time.Minute), Clear: config.D(time.Minute),
		},
		Log: config.DefaultLog(),
	}
}

// Settings is a checked file.
type Settings struct {
	File
	Warnings []string

	names func(key string) bool // whether the file itself has it; nil: it has none
}

// Load reads and checks the file at path, and the secrets that it names. All errors
// come at once, joined, each a *config.Error with line and key.
func Load(path string) (*Settings, error) {
	s := &Settings{File: Default()}
	f, err := config.Load(path, &s.File)
	if err != nil {
		return nil, err
	}
	s.names = f.Has
	c := config.NewChecker(f)
	s.check(c)
	s.fleet(c)
	if s.Host == "" {
		if s.Host, err = os.Hostname(); err != nil {
			c.Refuse("host", "the machine has no name: %w; want a name for the messages", err)
		}
	}
	return s, c.Err()
}

func (s *Settings) check(c *config.Checker) {
	c.Require(filepath.IsAbs(s.RuntimeDir), "runtime_dir", "%q is not an absolute path; want that of refclockd's configuration", s.RuntimeDir)
	c.Require(filepath.IsAbs(s.State), "state", "%q is not an absolute path; want a file that this process can write", s.State)
	for i, d := range s.Discs {
		c.Require(filepath.IsAbs(d), fmt.Sprintf("discs[%d]", i), "%q is not an absolute path; want a folder", d)
		if _, err := os.Stat(d); err != nil {
			s.Warnings = append(s.Warnings, fmt.Sprintf("discs[%d]: %v; its room is not watched while that is so", i, err))
		}
	}
	c.Require(s.Serving == "" || filepath.IsAbs(s.Serving), "serving", "%q is not an absolute path; want the file that ntsserve publishes, or \"\" to watch no server", s.Serving)
	for _, x := range []struct{ key, path string }{{"refclockd_config", s.RefclockdConfig}, {"ntsserve_config", s.NtsserveConfig}} {
		c.Require(x.path == "" || filepath.IsAbs(x.path), x.key, "%q is not an absolute path; want the configuration of the daemon, or \"\"", x.path)
	}
	s.Conditions.check(c)
	for i := range s.Alert {
		s.Alert[i].check(c, fmt.Sprintf("alert[%d].", i), s.Alert[:i])
		if x := &s.Alert[i]; x.Type == "command" && len(x.Command) > 0 && filepath.IsAbs(x.Command[0]) {
			if _, err := exec.LookPath(x.Command[0]); err != nil {
				s.Warnings = append(s.Warnings, fmt.Sprintf("alert[%d].command: %v; nothing is delivered to %q while that is so", i, err, x.Name))
			}
		}
		s.warnOfFiles(c, i)
	}
	s.Log.Check(c)
	if len(s.Alert) == 0 {
		s.Warnings = append(s.Warnings, "alert: no [[alert]] is configured, so nothing is sent")
	}
}

// warnOfFiles warns of files of a target that cannot be used now.
func (s *Settings) warnOfFiles(c *config.Checker, i int) {
	_, _, _, err := s.Alert[i].Secrets()
	if _, bad := cafile.Read(s.Alert[i].CA); bad != nil {
		err = errors.Join(err, fmt.Errorf("ca: %w", bad))
	}
	if err != nil {
		key := fmt.Sprintf("alert[%d]", i)
		s.Warnings = append(s.Warnings, c.File.Errorf(key, "%w; until that is repaired nothing is sent to %s", err, s.Alert[i].Name).Error())
	}
}

// check checks a target; others are those before it.
func (t *Target) check(c *config.Checker, prefix string, others []Target) {
	c.Require(t.Name != "", prefix+"name", `is empty; want a name, such as "operators"`)
	c.Require(!slices.ContainsFunc(others, func(o Target) bool { return o.Name == t.Name }), prefix+"name", "%q is there twice; want each name once", t.Name)
	for i, n := range t.Conditions {
		c.OneOf(fmt.Sprintf("%sconditions[%d]", prefix, i), n, Names()...)
	}
	c.Require(t.CA == "" || filepath.IsAbs(t.CA), prefix+"ca", "%q is not an absolute path; want a file of PEM certificates", t.CA)
	if !c.OneOf(prefix+"type", t.Type, "webhook", "email", "syslog", "command") {
		return
	}
	for _, d := range []struct {
		to    *string
		value string
	}{{&t.Format, "json"}, {&t.TLS, "starttls"}, {&t.Transport, "udp"}} {
		if *d.to == "" {
			*d.to = d.value
		}
	}
	switch t.Type {
	case "webhook":
		t.webhook(c, prefix)
	case "email":
		t.email(c, prefix)
	case "syslog":
		c.OneOf(prefix+"transport", t.Transport, "udp", "tcp", "tls")
		c.Require(isHostPort(t.Server), prefix+"server", "%q is not HOST:PORT; want the syslog receiver, such as \"syslog.example.org:6514\"", t.Server)
	case "command":
		c.Require(len(t.Command) > 0 && filepath.IsAbs(t.Command[0]), prefix+"command", `names no program; want a list such as ["/usr/local/bin/notify", "time"], with an absolute path`)
	}
}

func (t *Target) webhook(c *config.Checker, prefix string) {
	c.Require(t.URL == "" || t.URLFile == "", prefix+"url", "is set beside url_file; want one of them")
	c.OneOf(prefix+"format", t.Format, "json", "slack", "ntfy", "alertmanager")
	if t.URLFile == "" {
		if err := t.checkURL("url", t.URL); err != nil {
			c.Refuse(prefix+"url", "%s", strings.TrimPrefix(err.Error(), "url: "))
		}
	}
}

func (t *Target) email(c *config.Checker, prefix string) {
	_, port, _ := net.SplitHostPort(t.Server)
	_, err := strconv.ParseUint(port, 10, 16)
	c.Require(isHostPort(t.Server) && err == nil, prefix+"server", "%q is not HOST:PORT; want a mail server, such as \"mail.example:587\"", t.Server)
	if c.OneOf(prefix+"tls", t.TLS, "starttls", "tls", "none") && t.TLS == "none" {
		c.Require(isLoopback(t.Server), prefix+"tls", `"none" is for a server on this machine; want "starttls" or "tls"`)
	}
	c.Require(strings.Contains(t.From, "@"), prefix+"from", "%q is no address; want the sender, such as \"clock@example.org\"", t.From)
	c.Require(len(t.To) > 0 && !slices.ContainsFunc(t.To, func(a string) bool { return !strings.Contains(a, "@") }), prefix+"to", `has no addresses; want a list such as ["ops@example.org"]`)
	c.Require((t.User == "") == (t.Password == ""), prefix+"user", "and password_file belong together; want both or none")
}

// maxSecret is more than a token or a password has, octets.
const maxSecret = 4 << 10

// secret returns the only line of a file that a key names, nothing without a file.
func secret(key, path string) (string, error) {
	if path == "" {
		return "", nil
	}
	b, _, err := durable.ReadFile(path, maxSecret)
	if err != nil {
		return "", fmt.Errorf("%s: %w; want a file with the secret as its only line, that this process can read", key, err)
	}
	text := strings.TrimSpace(string(b))
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("%s: %s does not hold one line; want the secret as the only line", key, path)
	}
	return text, nil
}

func isHostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != ""
}

// isLoopback reports whether HOST or HOST:PORT is this machine.
func isLoopback(s string) bool {
	host := s
	if h, _, err := net.SplitHostPort(s); err == nil {
		host = h
	}
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}
