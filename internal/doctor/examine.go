package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
	"noonmark/internal/daemon"
	"noonmark/internal/durable"
	"noonmark/internal/observe"
	"noonmark/phc/tai"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
	"noonmark/server/certs"
	"noonmark/server/nts"
)

// Options say what is examined.
type Options struct {
	Refclockd, Ntsserve           string // configuration files
	RefclockdNamed, NtsserveNamed bool   // the user gave the path, so the file must exist
	Refclockweb                   string // the same of the page; empty: it is not examined
	RefclockwebNamed              bool
	Listen                        time.Duration
	// Observer: no device is opened, no program is run and no secret is read. It is
	// for a program that shows findings and has none of the daemons' permissions.
	Observer bool
}

// Examine gathers the facts of a machine, in the order in which one needs
// another. It takes the time of Options.Listen, longer if it has to look for
// the receiver's baud rate. A cancelled context leaves out what is missing.
func (h *Host) Examine(ctx context.Context, o Options) *Facts {
	f := &Facts{Now: h.Now()}
	f.RefclockdFile = ConfigFile{Daemon: "refclockd", Option: "-config", Path: o.Refclockd, Named: o.RefclockdNamed}
	f.Refclockd, f.RefclockdFile.Err = refclockd.Load(o.Refclockd)
	if o.Observer {
		observed(h, f, o)
		return f
	}
	if f.Refclockd == nil && (o.RefclockdNamed || !errors.Is(f.RefclockdFile.Err, fs.ErrNotExist)) {
		return f
	}
	f.Units = units(h)
	open := h.openFiles()
	if f.Refclockd != nil {
		f.RefclockdFile.Warnings = f.Refclockd.Warnings
		reference(ctx, h, f, &open, o.Listen)
	}
	timex, err := h.Timex()
	f.System = &SystemFacts{Err: err, Timex: timex, Rivals: h.Rivals()}
	f.NtsserveFile = ConfigFile{Daemon: "ntsserve", Option: "-server", Path: o.Ntsserve, Named: o.NtsserveNamed}
	if f.Ntsserve, f.NtsserveFile.Err = ntsserve.Load(o.Ntsserve); f.Ntsserve != nil {
		f.NtsserveFile.Warnings = f.Ntsserve.Warnings
		f.Serving = h.serving(f, &open)
	}
	examinePage(h, f, o, &open)
	f.Fleet = examineFleet(h, o.Ntsserve, false)
	runtime := filepath.Dir(status.DefaultPath)
	if f.Refclockd != nil {
		runtime = f.Refclockd.RuntimeDir
	}
	readRunning(h, f, runtime)
	return f
}

// readRunning reads what the daemons publish of themselves; runtime is the folder of refclockd.
func readRunning(h *Host, f *Facts, runtime string) {
	if _, err := observe.ReadServing(h.path(observe.DefaultServing), h.Mono()); !errors.Is(err, observe.ErrNoServing) {
		f.Counters = err
	}
	f.Tasks = readTasks(h, runtime)
}

// readTasks reads the states of the tasks of the daemons: of refclockd in its runtime
// folder, of the others in the ones that their units make. A file of a daemon that does not
// run, or that was never written, says nothing.
func readTasks(h *Host, runtime string) (all []TaskFacts) {
	for _, d := range [...]struct{ name, path string }{
		{"refclockd", filepath.Join(runtime, daemon.StateFileName)},
		{"ntsserve", h.path("run", "ntsserve", daemon.StateFileName)},
		{fleetDaemon, h.path("run", fleetDaemon, daemon.StateFileName)},
		{"noonmark-alert", h.path("run", "noonmark-alert", daemon.StateFileName)},
	} {
		t := TaskFacts{Daemon: d.name, Path: d.path}
		r, err := daemon.ReadReport(d.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if t.Err = err; err == nil {
			if _, err := os.Stat(h.path("proc", strconv.Itoa(r.PID))); err != nil {
				continue
			}
			t.Tasks = r.Tasks
		}
		all = append(all, t)
	}
	return all
}

// reference examines what refclockd needs.
func reference(ctx context.Context, h *Host, f *Facts, open *openFiles, listen time.Duration) {
	var reader *status.Reader
	f.Daemon, reader = h.daemon(filepath.Join(f.Refclockd.RuntimeDir, filepath.Base(status.DefaultPath)))
	if reader != nil {
		defer reader.Close()
	}
	if f.Refclockd.Clock.Source == "phc" {
		f.Clock = h.clock(f.Refclockd.Clock.Device, open)
	}
	for _, p := range f.Refclockd.PHC {
		f.Followers = append(f.Followers, *h.clock(p.Device, open))
	}
	if f.Refclockd.Clock.Source != "sim" {
		h.inputs(ctx, f, open, reader, listen)
	}
	f.Leap = leapTables(f)
}

// leapTables reads the tables of leap seconds that are configured.
func leapTables(f *Facts) *LeapFacts {
	return &LeapFacts{
		List: readLeapFile(f.Refclockd.Leap.File, func(b []byte, name string) (*tai.Table, error) {
			return tai.ParseLeapSeconds(bytes.NewReader(b), name)
		}),
		Zone: readLeapFile(f.Refclockd.Leap.Zone, tai.ParseTZif),
	}
}

// observed examines what Options.Observer allows. A configuration that an observer may
// not read is no fault of the machine.
func observed(h *Host, f *Facts, o Options) {
	path := status.DefaultPath
	if f.Refclockd != nil {
		f.RefclockdFile.Warnings = f.Refclockd.Warnings
		path = filepath.Join(f.Refclockd.RuntimeDir, filepath.Base(path))
		f.Leap = leapTables(f)
	}
	if errors.Is(f.RefclockdFile.Err, fs.ErrPermission) {
		f.RefclockdFile = ConfigFile{}
	}
	var reader *status.Reader
	if f.Daemon, reader = h.daemon(path); reader != nil {
		reader.Close()
	}
	// The processes of other users may be hidden from an observer.
	f.Daemon.Alive = f.Daemon.Alive || f.Daemon.Err == nil && f.Daemon.Age().Abs() < maxSnapshotAge
	timex, err := h.Timex()
	f.System = &SystemFacts{Err: err, Timex: timex, Rivals: h.Rivals()}
	f.NtsserveFile = ConfigFile{Daemon: "ntsserve", Option: "-server", Path: o.Ntsserve, Named: o.NtsserveNamed}
	if f.Ntsserve, f.NtsserveFile.Err = ntsserve.Load(o.Ntsserve); f.Ntsserve != nil {
		f.NtsserveFile.Warnings = f.Ntsserve.Warnings
	}
	if errors.Is(f.NtsserveFile.Err, fs.ErrPermission) {
		f.NtsserveFile = ConfigFile{}
	}
	readRunning(h, f, filepath.Dir(path))
	f.Fleet = examineFleet(h, o.Ntsserve, true)
}

// daemon reads the snapshot at path. The reader is open while refclockd
// publishes, else it is nil.
func (h *Host) daemon(path string) (d *DaemonFacts, r *status.Reader) {
	d = &DaemonFacts{}
	if r, d.Err = status.Open(path); d.Err != nil {
		return d, nil
	}
	d.Err = r.LoadAll(&d.First)
	d.Mono = h.Mono()
	d.Details = report.ReadDetails(path, d.First.PID, d.Mono)
	_, err := os.Stat(h.path("proc", strconv.Itoa(int(d.First.PID))))
	d.Alive = err == nil
	if !d.Running() {
		r.Close()
		return d, nil
	}
	return d, r
}

// Refclockd reports whether refclockd publishes at the path of a snapshot, and
// its process.
func (h *Host) Refclockd(snapshot string) (pid int, runs bool) {
	d, r := h.daemon(snapshot)
	if r == nil {
		return 0, false
	}
	r.Close()
	return int(d.First.PID), true
}

// clock examines a PTP clock.
func (h *Host) clock(name string, o *openFiles) *ClockFacts {
	k := h.Devices.Clock(name)
	if k.Err != nil {
		return &k
	}
	k.File = h.deviceFile(k.Path, o)
	if strings.Contains(name, "/") {
		name = h.interfaceOf(k.Index)
	}
	k.Carrier = h.carrier(name)
	return &k
}

// Files are larger only by mistake, octets.
const (
	maxTable = 1 << 20 // a table of leap seconds
	maxPEM   = 1 << 20 // a certificate with its chain, or a key
)

// readLeapFile reads a table of leap seconds; path may be empty.
func readLeapFile(path string, parse func([]byte, string) (*tai.Table, error)) LeapFile {
	l := LeapFile{Path: path}
	if path == "" {
		return l
	}
	b, _, err := durable.ReadFile(path, maxTable)
	if err != nil {
		l.Err = err
		return l
	}
	l.Table, l.Err = parse(b, path)
	return l
}

// serving examines what ntsserve needs.
func (h *Host) serving(f *Facts, o *openFiles) *ServingFacts {
	s := f.Ntsserve
	out := &ServingFacts{Machine: h.Names}
	interfaces := []string{h.steeredInterface(f)}
	seen := map[string]bool{"": true}
	ports := map[int]bool{0: true} // port 0 is any
	for _, e := range s.Endpoint {
		interfaces = append(interfaces, e.Interface)
		if port := int(e.Address.Port()); !ports[port] {
			ports[port] = true
			out.Ports = append(out.Ports, PortFacts{Daemon: "ntsserve", Proto: "udp", Port: port, Service: "NTP"})
		}
	}
	for _, name := range interfaces {
		if seen[name] {
			continue
		}
		seen[name] = true
		x, err := h.Devices.Stamping(name)
		x.Interface, x.Err = name, err
		out.Stamping = append(out.Stamping, x)
	}
	out.Certificates = certificates("ntsserve", s.Pairs())
	if s.OpensCookies {
		keys := secretFile(s.Keys.File)
		out.Keys = &keys
		out.Secret = cookieSecret(s.Keys.File, s.KeyRing, h.Now())
		out.Secret.Left = s.KeyRing.Renew == nts.NeverRenew && leftFleet(h, s, f.NtsserveFile.Path)
	}
	if s.ServesKE {
		out.Ports = append(out.Ports, PortFacts{Daemon: "ntsserve", Proto: "tcp", Port: int(s.KE.Listen.Port()), Service: "NTS key establishment"})
	}
	for i := range out.Ports {
		p := &out.Ports[i]
		p.Listeners, p.Taken = h.listeners(o, p.Proto, p.Port)
	}
	out.Firewall = readRuleset(h.Command)
	return out
}

// certificates loads pairs of a daemon.
func certificates(daemon string, pairs []certs.Pair) (list []CertificateFacts) {
	for _, p := range pairs {
		c := CertificateFacts{Daemon: daemon, Path: p.Cert, Key: secretFile(p.Key)}
		pair, err := readPair(p)
		if c.Leaf, c.Err = pair.Leaf, err; err == nil {
			roots, _ := x509.SystemCertPool() // nil: they are unknown
			c.Concerns = certs.Concerns(&pair, roots)
		}
		list = append(list, c)
	}
	return list
}

// pageDaemon is the program that serves the page, and the name of its user.
const pageDaemon = "refclockweb"

// examinePage examines what refclockweb needs. A machine without its configuration has no page.
func examinePage(h *Host, f *Facts, o Options, open *openFiles) {
	if o.Refclockweb == "" {
		return
	}
	s, err := refclockweb.Load(o.Refclockweb)
	if errors.Is(err, fs.ErrNotExist) && s == nil && !o.RefclockwebNamed {
		return
	}
	f.RefclockwebFile = ConfigFile{Daemon: pageDaemon, Option: "-web", Path: o.Refclockweb, Named: o.RefclockwebNamed, Err: err}
	if s == nil {
		return
	}
	f.RefclockwebFile.Warnings = s.Warnings
	p := &PageFacts{
		Names: append([]string{"localhost"}, append(h.Names, s.Names...)...), Certificates: certificates(pageDaemon, s.Pairs),
		Port: PortFacts{Daemon: pageDaemon, Proto: "tcp", Port: int(s.Listen.Port()), Service: "web page"},
	}
	if a := s.Listen.Addr(); a.IsValid() && !a.IsUnspecified() {
		p.Names = append(p.Names, a.String())
	}
	for i := range p.Certificates {
		p.Certificates[i].Denied = deniedTo(h, pageDaemon, p.Certificates[i].Path, p.Certificates[i].Key.Path)
	}
	p.Port.Listeners, p.Port.Taken = h.listeners(open, p.Port.Proto, p.Port.Port)
	f.Page = p
}

// deniedTo returns the first of some files that a user may not read; nil: it may, or who it
// is or whose the files are is not known.
func deniedTo(h *Host, name string, paths ...string) *DeniedFacts {
	a, known := userOf(h, name)
	if !known {
		return nil
	}
	for _, path := range paths {
		fi, err := os.Stat(path)
		if err != nil {
			continue // loading it says why
		}
		if uid, gid, known := owner(fi); known && !a.has(0o004, fi.Mode(), uid, gid) {
			return &DeniedFacts{Path: path, Mode: fi.Mode(), UID: uid, GID: gid, User: a.Name}
		}
	}
	return nil
}

// steeredInterface is the interface of the clock that refclockd steers.
func (h *Host) steeredInterface(f *Facts) string {
	if f.Refclockd == nil {
		return ""
	}
	c := &f.Refclockd.Clock
	switch {
	case c.Source == "phc" && !strings.Contains(c.Device, "/"):
		return c.Device
	case f.Clock != nil && f.Clock.Err == nil:
		return h.interfaceOf(f.Clock.Index)
	}
	return ""
}

// readPair reads a certificate and its key. It does not wait for the writer of a named
// pipe in the place of one, as tls.LoadX509KeyPair does.
func readPair(p certs.Pair) (tls.Certificate, error) {
	chain, _, err := durable.ReadFile(p.Cert, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	key, _, err := durable.ReadFile(p.Key, maxPEM)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(chain, key)
}

// cookieSecret reads the secret in use. A file that is missing or that this user may
// not read is not its matter.
func cookieSecret(path string, cfg nts.RingConfig, now time.Time) SecretFacts {
	f, _, err := durable.Open(path)
	if err != nil {
		return SecretFacts{}
	}
	f.Close()
	ring, err := nts.OpenRing(path, cfg, now)
	if errors.Is(err, nts.ErrRingFile) {
		return SecretFacts{Err: err}
	}
	if err != nil { // of the configuration, which has findings of its own
		return SecretFacts{}
	}
	for _, s := range ring.Secrets(now) {
		if s.Sealing {
			return SecretFacts{Since: s.Since, Until: s.Until}
		}
	}
	return SecretFacts{}
}

// secretFile looks at the mode of a file.
func secretFile(path string) SecretFile {
	s := SecretFile{Path: path}
	fi, err := os.Stat(path)
	if err != nil {
		s.Err = err
		_, s.DirErr = os.Stat(filepath.Dir(path))
		return s
	}
	s.Mode = fi.Mode()
	return s
}
