package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/phc"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/status"
)

// fakeDevices are the devices of a test's machine.
type fakeDevices struct {
	clocks map[string]ClockFacts
	pulses PulseFacts
	port   *fakePort
	stamps map[string]Stamping
}

func (d *fakeDevices) Clock(name string) ClockFacts {
	k, ok := d.clocks[name]
	if !ok {
		return ClockFacts{Err: fmt.Errorf("open %s: %w", name, fs.ErrNotExist), Index: -1}
	}
	return k
}

func (d *fakeDevices) Pulses(context.Context, *refclockd.Settings, time.Duration) PulseFacts {
	return d.pulses
}

func (d *fakeDevices) Serial(_ string, baud int) (io.ReadCloser, error) {
	if d.port == nil {
		return nil, errors.New("no port")
	}
	r := *d.port
	r.match = baud == r.baud
	return &r, nil
}

func (d *fakeDevices) Stamping(ifname string) (Stamping, error) {
	s, ok := d.stamps[ifname]
	if !ok {
		return s, errors.New("no such interface")
	}
	return s, nil
}

// fakePort is a port with a receiver. Its bytes make sense at one rate only; each
// read takes half a second.
type fakePort struct {
	mono  *int64
	baud  int // the receiver's rate
	match bool
	void  bool
	quiet bool
	reads int64
	body  []string
}

func (r *fakePort) Read(b []byte) (int, error) {
	if *r.mono += 500e6; r.quiet {
		return 0, nil
	}
	if !r.match {
		return copy(b, "\xfe\x80\x00\xf8\x80\xfe"), nil
	}
	if r.reads++; r.reads%2 == 0 {
		return 0, nil
	}
	at, st := time.Unix(1800000000+r.reads/2, 0).UTC(), "A"
	if r.void {
		st = "V"
	}
	var out []byte
	for _, s := range r.body {
		s = strings.NewReplacer("HMS", at.Format("150405.00"), "DMY", at.Format("020106"), "ST", st).Replace(s)
		out = nmea.Append(out, s)
	}
	return copy(b, out), nil
}

func (r *fakePort) Close() error { return nil }

const (
	rmc = "GNRMC,HMS,ST,5128.6740,N,00000.0900,W,0.00,,DMY,,,A"
	gga = "GNGGA,HMS,5128.6740,N,00000.0900,W,1,12,0.60,46.0,M,47.0,M,,"
)

// machine is a host in a temporary directory, with a clock that moves only when a
// port is read.
type machine struct {
	*Host
	t       *testing.T
	devices *fakeDevices
	mono    int64
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, mono: 1e12}
	m.devices = &fakeDevices{clocks: map[string]ClockFacts{}, stamps: map[string]Stamping{}}
	m.Host = &Host{
		Root: t.TempDir(), Devices: m.devices,
		Now:   func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) },
		Mono:  func() int64 { return m.mono },
		Timex: func() (phc.Timex, error) { return phc.Timex{}, nil },
		Names: []string{"clock"}, Rivals: func() []string { return nil },
		Command: func(string, ...string) (string, error) { return "", errors.New("not found") },
	}
	return m
}

// file writes a file of the machine and returns its real path.
func (m *machine) file(path, text string) string {
	m.t.Helper()
	p := m.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(text), 0o644)); err != nil {
		m.t.Fatal(err)
	}
	return p
}

// device makes a device of the machine.
func (m *machine) device(path string) {
	m.t.Helper()
	p := m.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.Symlink(os.DevNull, p)); err != nil {
		m.t.Fatal(err)
	}
}

// process makes a process that has a file or a socket open.
func (m *machine) process(pid int, name, open string) {
	m.t.Helper()
	dir := m.path("proc", fmt.Sprint(pid))
	m.file(filepath.Join("proc", fmt.Sprint(pid), "comm"), name+"\n")
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "fd"), 0o755), os.Symlink(open, filepath.Join(dir, "fd", "3"))); err != nil {
		m.t.Fatal(err)
	}
}

// config writes refclockd's configuration.
func (m *machine) config(text string) string {
	return m.file("etc/noonmark/refclockd.toml", fmt.Sprintf("runtime_dir = %q\nstate_dir = %q\nleap = { file = \"\", zone = \"\" }\n", m.path("run"), m.path("run"))+text)
}

// examine returns the ids of what was found that is not OK, in order.
func (m *machine) examine(o Options) (ids []string) {
	if o.Listen = 5 * time.Second; o.Ntsserve == "" {
		o.Ntsserve = m.path("etc/noonmark/ntsserve.toml")
	}
	found := Findings(m.Examine(m.t.Context(), o))
	for _, f := range found {
		m.t.Logf("%s: %s", f.ID, f.What)
		// What Load warns of depends on the leap tables and the date of the machine
		// that runs the test.
		if f.Level != OK && f.ID != kinds[configWarning].ID {
			ids = append(ids, f.ID)
		}
	}
	return ids
}

// has checks that these are among what was found.
func has(t *testing.T, ids []string, want ...kind) {
	t.Helper()
	for _, k := range want {
		if !slices.Contains(ids, kinds[k].ID) {
			t.Errorf("no %s in %q", kinds[k].ID, ids)
		}
	}
}

func TestMachineWithNothing(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	path := m.config("")
	has(t, m.examine(Options{Refclockd: path, RefclockdNamed: true}), snapshotNone, clockMissing, pulseMissing, receiverMissing, configMissing)
}

func TestConfigurationThatCannotBeRead(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	// Nothing can be said of a machine whose wishes are not known.
	ids := m.examine(Options{Refclockd: m.path("none"), RefclockdNamed: true})
	if has(t, ids, configAbsent); len(ids) != 1 {
		t.Errorf("found %q", ids)
	}
	// Without a file that nobody named, nothing is known to be missing.
	if ids := m.examine(Options{Refclockd: m.path("none")}); !slices.Equal(ids, []string{kinds[configMissing].ID, kinds[configMissing].ID}) {
		t.Errorf("not set up: %q", ids)
	}
	// A wrong value leaves the others as they are.
	has(t, m.examine(Options{Refclockd: m.config("[clock]\ndevice = \"eth9\"\n[pulse]\nwidth = \"2s\"\n")}), configWrong, clockMissing)
}

func TestSimulatedMachineHasNoDevices(t *testing.T) {
	t.Parallel()
	m := newMachine(t)
	path := m.config("[clock]\nsource = \"sim\"\n[pulse]\nsource = \"sim\"\n")
	found := Findings(m.Examine(t.Context(), Options{Refclockd: path, Ntsserve: m.path("none"), Listen: time.Second}))
	if !slices.ContainsFunc(found, func(f Finding) bool { return f.ID == kinds[devicesVirtual].ID }) {
		t.Errorf("%+v", found)
	}
}

// healthy is a machine on which nothing runs and all is well.
func healthy(t *testing.T) *machine {
	m := newMachine(t)
	m.device("dev/pps0")
	m.device("dev/ttyS9")
	m.device("dev/ptp0")
	m.file("proc/consoles", "ttyAMA0              -W- (EC p a)    4:64\n")
	m.file("sys/class/net/eth0/carrier", "1\n")
	m.process(4711, "cron", "/dev/tty1")
	m.devices.clocks["eth0"] = ClockFacts{Path: "/dev/ptp0", Method: "cross timestamp"}
	m.devices.pulses = PulseFacts{Edges: pulsesAt(0, 0, 0, 0, 0)}
	m.devices.port = &fakePort{mono: &m.mono, baud: 9600, body: []string{rmc, gga}}
	return m
}

const ttyS9 = "[receiver]\ndevice = \"/dev/ttyS9\"\n"

func TestHealthyMachine(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	ids := m.examine(Options{Refclockd: m.config(ttyS9)})
	want := []string{kinds[snapshotNone].ID, kinds[configMissing].ID}
	if !slices.Equal(ids, want) {
		t.Errorf("found %q, want %q", ids, want)
	}
}

// An ntsserve that was killed leaves its file; one that never ran, or has stopped, leaves none.
func TestCountersOfANtsserveThatHasEnded(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	o := Options{Refclockd: m.config(ttyS9)}
	for _, observer := range []bool{false, true} {
		o.Observer = observer
		for _, x := range []struct {
			text string
			want kind
		}{
			{fmt.Sprintf(`{"pid":7,"mono_ns":%d}`, m.Mono()-int64(time.Minute)), countersStale},
			{"{", countersDamaged},
			{fmt.Sprintf(`{"pid":7,"mono_ns":%d}`, m.Mono()+2e9), countersStale},
		} {
			m.file("run/ntsserve/serving.json", x.text)
			has(t, m.examine(o), x.want)
		}
		if err := os.Remove(m.path("run/ntsserve/serving.json")); err != nil {
			t.Fatal(err)
		}
		if ids := m.examine(o); slices.Contains(ids, kinds[countersStale].ID) {
			t.Errorf("without a file: %q", ids)
		}
	}
}

func TestReceivers(t *testing.T) {
	t.Parallel()
	long := []string{rmc}
	for range 7 {
		long = append(long, "GNTXT,01,01,02,"+strings.Repeat("x", 60))
	}
	for _, x := range []struct {
		name string
		port fakePort
		baud string
		want kind
	}{
		{"silent", fakePort{baud: 9600, quiet: true}, "9600", messagesSilent},
		{"at another rate", fakePort{baud: 38400, body: []string{rmc}}, "9600", baudOther},
		{"at no rate", fakePort{baud: 1}, "9600", baudUnknown},
		{"without time", fakePort{baud: 9600, body: []string{"GNTXT,01,01,02,hello"}}, "9600", messagesNoDate},
		{"without date", fakePort{baud: 9600, body: []string{gga}}, "9600", messagesNoDate},
		{"without fix", fakePort{baud: 9600, body: []string{rmc}, void: true}, "9600", fixNone},
		{"busy", fakePort{baud: 4800, body: long}, "4800", baudBusy},
		{"found by itself", fakePort{baud: 38400, body: []string{rmc, gga}}, `"auto"`, snapshotNone},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			m := healthy(t)
			x.port.mono = &m.mono
			m.devices.port = &x.port
			ids := m.examine(Options{Refclockd: m.config(ttyS9 + "baud = " + x.baud + "\n")})
			has(t, ids, x.want)
			if x.want == snapshotNone && len(ids) != 2 {
				t.Errorf("found %q", ids)
			}
		})
	}
}

func TestOtherProgramsHoldDevices(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	link := m.path("dev/gps0")
	if err := errors.Join(os.Remove(m.path("dev/ttyS9")), os.Symlink("ttyS9", link)); err != nil {
		t.Fatal(err)
	}
	m.file("dev/ttyS9", "")
	o := m.openFiles()
	if d := m.deviceFile("/dev/gps0", &o); len(d.Holders) != 0 || d.Device {
		t.Errorf("nobody has it open: %+v", d)
	}
	m.process(8, "gpsd", "/dev/ttyS9")
	o = m.openFiles()
	if d := m.deviceFile("/dev/gps0", &o); len(d.Holders) != 1 || d.Holders[0] != (Process{8, "gpsd"}) {
		t.Errorf("gpsd has it open through a link: %+v", d)
	}
	if o := (&Host{Root: t.TempDir()}).openFiles(); !o.hidden {
		t.Error("a machine that shows no processes hides nothing")
	}
}

func TestMakerOfAPseudoTerminalDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	sim, gpsd := Process{7, "sim"}, Process{8, "gpsd"}
	o := openFiles{by: map[string][]Process{"/dev/pts/999": {sim, gpsd}, "/dev/ptmx": {sim}}}
	if who := o.of("/dev/pts/999"); len(who) != 1 || who[0] != gpsd {
		t.Errorf("held by %v", who)
	}
}

func TestReceiverHeldByAnotherProgramIsNotRead(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	m.process(8, "gpsd", os.DevNull)
	ids := m.examine(Options{Refclockd: m.config(ttyS9)})
	has(t, ids, receiverHeld, pulseShared, clockShared)
	if m.mono != 1e12 {
		t.Error("the port was read")
	}
}

func TestRunningDaemonIsAskedInsteadOfItsDevices(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	path := m.config(ttyS9)
	if err := os.MkdirAll(m.path("run"), 0o755); err != nil {
		t.Fatal(err)
	}
	pub, err := status.Create(m.path("run/status"))
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	m.process(os.Getpid(), "refclockd", "/dev/tty1")
	m.mono = phc.MonoRaw() // the snapshot is read by this machine's clocks
	s := status.Snapshot{State: status.Locked, Mono: m.mono, PID: uint32(os.Getpid()), Bound: time.Microsecond}
	pub.Write(&s)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // do not wait
	f := m.Examine(ctx, Options{Refclockd: path, Ntsserve: m.path("none"), Listen: time.Minute})
	if !f.Daemon.Running() || f.Inputs.Messages != nil || f.Inputs.Pulses != nil {
		t.Errorf("%+v %+v", f.Daemon, f.Inputs)
	}
}

func TestListeners(t *testing.T) {
	t.Parallel()
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	const line = "  310: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000   105        0 9876 2 0000000000000000 0\n"
	for _, x := range []struct {
		name, text, proto string
		port              int
		who               []Process
		taken             bool
	}{
		{"nobody", head, "udp", 123, nil, false},
		{"somebody hidden", head + strings.Replace(line, "9876", "1", 1), "udp", 123, nil, true},
		{"another port", head + strings.Replace(line, "007B", "007C", 1), "udp", 123, nil, false},
		{"chronyd", head + line, "udp", 123, []Process{{4711, "chronyd"}}, true},
		{"a connection", head + strings.Replace(line, "007B", "116C", 1), "tcp", 4460, nil, false},
		{"a listener", head + strings.NewReplacer("007B", "116C", " 07 ", " 0A ").Replace(line), "tcp", 4460, []Process{{4711, "chronyd"}}, true},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.process(4711, "chronyd", "socket:[9876]")
			m.file("proc/net/"+x.proto, x.text)
			o := m.openFiles()
			if who, taken := m.listeners(&o, x.proto, x.port); !slices.Equal(who, x.who) || taken != x.taken {
				t.Errorf("%v %v", who, taken)
			}
		})
	}
}

func TestServing(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	m.devices.stamps["eth0"] = Stamping{Some: true, All: true, Transmit: true}
	m.file("proc/net/udp", "")
	srv := m.file("etc/noonmark/ntsserve.toml", fmt.Sprintf("[[endpoint]]\naddress = \"0.0.0.0:1123\"\n[[endpoint]]\naddress = \"[::]:1123\"\ninterface = \"eth7\"\n[ke]\nlisten = \"0.0.0.0:4461\"\ncertificate = %q\nkey = %q\n[keys]\nfile = %q\n",
		m.path("none.pem"), m.path("none.key"), m.path("no/keys")))
	f := m.Examine(t.Context(), Options{Refclockd: m.config(ttyS9), Ntsserve: srv, Listen: time.Second})
	if f.Serving == nil {
		t.Fatal(f.NtsserveFile)
	}
	var ports []string
	for i := range f.Serving.Ports {
		ports = append(ports, f.Serving.Ports[i].String())
	}
	if !slices.Equal(ports, []string{"1123/udp", "4461/tcp"}) {
		t.Errorf("ports %q are not those of the configuration", ports)
	}
	var ids []string
	for _, x := range Findings(f) {
		ids = append(ids, x.ID)
	}
	has(t, ids, configWarning, stampsAll, stampsUnknown, certMissing, keysNoDirectory, portNobody, firewallUnknown)
}

func TestAccountMay(t *testing.T) {
	t.Parallel()
	who := Account{UID: 900, Groups: []int{900, 20}}
	for _, x := range []struct {
		mode     fs.FileMode
		uid, gid int
		want     bool
	}{
		{0o600, 0, 0, false},
		{0o660, 0, 5, false},
		{0o640, 0, 20, false},
		{0o066, 900, 20, false}, // the owner's bits count for the owner
		{0o660, 0, 20, true},
		{0o666, 0, 0, true},
		{0o600, 900, 0, true},
	} {
		if got := who.may(x.mode, x.uid, x.gid); got != x.want {
			t.Errorf("%04o of %d:%d: %v", x.mode, x.uid, x.gid, got)
		}
	}
	if !(Account{}).may(0, 5, 5) {
		t.Error("root may not")
	}
}

func TestConsoleAndCarrier(t *testing.T) {
	t.Parallel()
	m := healthy(t)
	if m.isConsole("/dev/ttyS9") || !m.isConsole("/dev/ttyAMA0") {
		t.Error("the console is ttyAMA0")
	}
	if c := m.carrier("eth7"); c != (Carrier{}) {
		t.Errorf("an interface that is not there: %+v", c)
	}
	m.file("sys/class/net/eth1/carrier", "0\n")
	if err := os.MkdirAll(m.path("sys/class/net/eth2/carrier"), 0o755); err != nil { // cannot be read
		t.Fatal(err)
	}
	for name, want := range map[string]Carrier{"eth0": {"eth0", true, true}, "eth1": {"eth1", true, false}, "eth2": {"eth2", false, false}} {
		if c := m.carrier(name); c != want {
			t.Errorf("%+v, want %+v", c, want)
		}
	}
	if err := os.MkdirAll(m.path("sys/class/ptp/ptp3/device/net/eth1"), 0o755); err != nil {
		t.Fatal(err)
	}
	if n := m.interfaceOf(3); n != "eth1" {
		t.Errorf("interface %q", n)
	}
	if n := m.interfaceOf(4); n != "" {
		t.Errorf("interface %q", n)
	}
}

// The hardware's methods fail on a machine without it, with an error that says
// what is missing.
func TestHardwareThatIsMissing(t *testing.T) {
	t.Parallel()
	var d hardware
	c := settings()
	c.Pulse.Device, c.Clock.Device = "/dev/none/pps", "/dev/none/ptp"
	if k := d.Clock("/dev/none/ptp"); k.Err == nil || k.Index != -1 {
		t.Errorf("%+v", k)
	}
	if p := d.Pulses(t.Context(), c, time.Second); p.Err == nil {
		t.Error("a pulse without a device")
	}
	c.Pulse.Source = "extts"
	if p := d.Pulses(t.Context(), c, time.Second); p.Err == nil {
		t.Error("a timestamp without a clock")
	}
	if _, err := d.Serial("/dev/none/tty", 9600); err == nil {
		t.Error("a port without a device")
	}
	if _, err := d.Stamping("none0"); err == nil {
		t.Error("stamps without an interface")
	}
}

func TestUsersOfAPortAreFoundByOpenFilesAndCommandLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		make    func(*machine)
		want    string
		console bool
	}{
		{"nobody", func(*machine) {}, "", false},
		{"it is open", func(m *machine) { m.process(7, "gpsd", "/dev/ttyS9") }, "gpsd (pid 7)", false},
		{"another port is named", func(m *machine) {
			m.process(8, "agetty", "/dev/null")
			m.file("proc/8/cmdline", "/sbin/agetty\x00115200\x00ttyS99\x00")
		}, "", false},
		{"the command line names it", func(m *machine) {
			m.process(8, "agetty", "/dev/null")
			m.file("proc/8/cmdline", "/sbin/agetty\x00115200\x00ttyS9\x00")
		}, "agetty (pid 8)", true},
		{"the kernel's console", func(m *machine) { m.file("proc/consoles", "ttyS9 -W- (EC a) 4:64\n") }, "the kernel's console", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.file("dev/ttyS9", "")
			c.make(m)
			got, console := portUsers(m.Host, "/dev/ttyS9")
			if strings.Join(got, ", ") != c.want || console != c.console {
				t.Errorf("%q, console %v; want %q, %v", got, console, c.want, c.console)
			}
		})
	}
}
