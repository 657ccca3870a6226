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
	"noonmark/internal/daemon"
	"noonmark/internal/durable"
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
		observe(h, f, o)
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
	runtime := filepath.Dir(status.DefaultPath)
	if f.Refclockd != nil {
		runtime = f.Refclockd.RuntimeDir
	}
	f.Tasks = readTasks(h, runtime)
	return f
}

// maxTasks is the largest file of states of tasks, in octets: a daemon has some tens
// of tasks.
const maxTasks = 256 << 10

// readTasks reads the states of the tasks of both daemons: of refclockd in its runtime
// folder, of ntsserve in the one that its unit makes. A file of a daemon that does not
// run, or that was never written, says nothing.
func readTasks(h *Host, runtime string) (all []TaskFacts) {
	for _, d := range [...]struct{ name, path string }{
		{"refclockd", filepath.Join(runtime, daemon.StateFileName)},
		{"ntsserve", h.path("run", "ntsserve", daemon.StateFileName)},
	} {
		t := TaskFacts{Daemon: d.name, Path: d.path}
		b, _, err := durable.ReadFile(d.path, maxTasks)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var r *daemon.Report
		if err == nil {
			r, err = daemon.ParseReport(b)
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

// observe examines what Options.Observer allows. A configuration that an observer may
// not read is no fault of the machine.
func observe(h *Host, f *Facts, o Options) {
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
	f.Tasks = readTasks(h, filepath.Dir(path))
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

// readLeapFile reads a table of leap seconds; path may be empty.
func readLeapFile(path string, parse func([]byte, string) (*tai.Table, error)) LeapFile {
	l := LeapFile{Path: path}
	if path == "" {
		return l
	}
	b, err := os.ReadFile(path)
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
			out.Ports = append(out.Ports, PortFacts{Proto: "udp", Port: port, Service: "NTP"})
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
	for _, p := range s.Pairs() {
		c := CertificateFacts{Path: p.Cert, Key: secretFile(p.Key)}
		pair, err := tls.LoadX509KeyPair(p.Cert, p.Key)
		if c.Leaf, c.Err = pair.Leaf, err; err == nil {
			roots, _ := x509.SystemCertPool() // nil: they are unknown
			c.Concerns = certs.Concerns(&pair, roots)
		}
		out.Certificates = append(out.Certificates, c)
	}
	if s.OpensCookies {
		keys := secretFile(s.Keys.File)
		out.Keys = &keys
		out.Secret = cookieSecret(s.Keys.File, s.KeyRing, h.Now())
	}
	if s.ServesKE {
		out.Ports = append(out.Ports, PortFacts{Proto: "tcp", Port: int(s.KE.Listen.Port()), Service: "NTS key establishment"})
	}
	for i := range out.Ports {
		p := &out.Ports[i]
		p.Listeners, p.Taken = h.listeners(o, p.Proto, p.Port)
	}
	out.Firewall = readRuleset(h.Command)
	return out
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

// cookieSecret reads the secret in use. A file that is missing or that this user may
// not read is not its matter.
func cookieSecret(path string, cfg nts.RingConfig, now time.Time) SecretFacts {
	f, err := os.Open(path)
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
