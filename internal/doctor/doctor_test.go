package doctor

import (
	"context"
	"encoding/binary"
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

	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss/nmea"
	"noonmark/refclock/status"
	"noonmark/server/certs"
)

// says checks level and words of the gravest finding; a finding that is not
// good must say how to mend it.
func says(t *testing.T, found []Finding, want Level, words string) {
	t.Helper()
	if len(found) == 0 {
		t.Fatal("no finding")
	}
	grave := found[0]
	rank := map[Level]int{levelOK: 0, levelWarn: 1, levelFail: 2}
	for _, f := range found {
		if rank[f.Level] > rank[grave.Level] {
			grave = f
		}
		if f.Check == "" || f.What == "" {
			t.Errorf("empty: %+v", f)
		}
	}
	if grave.Level != want || !strings.Contains(grave.What, words) {
		t.Errorf("%+v; want %s with %q", grave, want, words)
	}
	if grave.Level != levelOK && grave.Mend == "" {
		t.Errorf("%+v says not how to mend it", grave)
	}
}

func TestClockFindings(t *testing.T) {
	pins := []phc.Pin{{Index: 0, Name: "SDP0", Func: phc.PinExtTS}, {Index: 1, Name: "SDP1", Func: phc.PinPerOut, Channel: 1}, {Index: 2, Name: "SDP2"}}
	caps := phc.Caps{MaxFreqPPB: 62499999, ExtTS: 2, Pins: 3}
	for _, x := range []struct {
		name         string
		source       string
		pin, channel int
		k            clockFacts
		want         Level
		words        string
	}{
		{"no channels", "extts", 0, 0, clockFacts{caps: phc.Caps{Pins: 3}}, levelFail, "no external timestamps"},
		{"no such channel", "extts", 0, 2, clockFacts{caps: caps, pins: pins}, levelFail, "no channel 2"},
		{"no pins", "extts", 0, 0, clockFacts{caps: phc.Caps{ExtTS: 1}}, levelFail, "no programmable pins"},
		{"no such pin", "extts", 7, 0, clockFacts{caps: caps, pins: pins}, levelFail, "no pin 7"},
		{"taken away", "extts", 1, 0, clockFacts{caps: caps, pins: pins, running: true}, levelFail, "while refclockd runs"},
		{"used", "extts", 1, 0, clockFacts{caps: caps, pins: pins}, levelWarn, "pin 1 (SDP1)"},
		{"slow", "kernel", 0, 0, clockFacts{caps: caps, width: 222 * time.Microsecond}, levelWarn, "222µs"},
		{"set", "extts", 0, 0, clockFacts{caps: caps, pins: pins, running: true}, levelOK, ""},
		{"free", "extts", 2, 0, clockFacts{caps: caps, pins: pins}, levelOK, ""},
		{"fixed wiring", "extts", -1, 0, clockFacts{caps: phc.Caps{ExtTS: 1}}, levelOK, ""},
		{"not asked", "kernel", 0, 0, clockFacts{}, levelOK, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			c := defaultRef()
			c.Pulse.Source, c.Pulse.Pin, c.Pulse.Channel = x.source, x.pin, x.channel
			says(t, clockFindings(&c, x.k), x.want, x.words)
		})
	}
}

func TestStampFindings(t *testing.T) {
	full := stamps{ifname: "eth0", phc: 0, all: true, some: true, tx: true}
	with := func(f func(*stamps)) stamps { s := full; f(&s); return s }
	for _, x := range []struct {
		s     stamps
		clock int
		want  Level
		words string
	}{
		{stamps{ifname: "eth0", phc: -1}, 0, levelWarn, "no hardware stamps"},
		{with(func(s *stamps) { s.phc = 1 }), 0, levelWarn, "/dev/ptp1, but /dev/ptp0"},
		{with(func(s *stamps) { s.all = false }), 0, levelWarn, "PTP packets only"},
		{with(func(s *stamps) { s.rxPTP = true }), 0, levelWarn, "another program"},
		{with(func(s *stamps) { s.tx = false }), 0, levelWarn, "no transmit stamps"},
		{full, 0, levelOK, ""},
		{full, -1, levelOK, ""},
	} {
		says(t, stampFindings(x.s, x.clock), x.want, x.words)
	}
}

// seconds of pulses, each off by some ns.
func pulsesAt(off ...int64) (e []int64) {
	for i, o := range off {
		e = append(e, 100e9+int64(i)*1e9+o)
	}
	return e
}

func TestPulseFindings(t *testing.T) {
	double := heard{}
	for i := range int64(10) {
		double.edges = append(double.edges, i*500e6)
	}
	for _, x := range []struct {
		h     heard
		want  Level
		words string
	}{
		{heard{}, levelFail, "no pulse in 5s"},
		{double, levelFail, "more than one a second"},
		{heard{edges: pulsesAt(0, 0)}, levelWarn, "2 pulses"},
		{heard{edges: pulsesAt(0, 5e6, 0, 0, 0)}, levelWarn, "away from one second"},
		{heard{edges: pulsesAt(0, 100, -100, 0, 0)}, levelOK, ""},
	} {
		says(t, pulseFindings(x.h, 5*time.Second), x.want, x.words)
	}
	if f := pulseFindings(heard{err: errors.New("cannot open; do this")}, time.Second); f[0].Level != levelFail || f[0].What != "cannot open; do this" {
		t.Error(f)
	}
}

// fakePort is a port: what it gives makes sense at one rate only.
type fakePort struct {
	mono  *int64
	good  bool
	void  bool
	quiet bool
	sec   int64
	body  []string
}

func (r *fakePort) Read(b []byte) (int, error) {
	if *r.mono += 500e6; r.quiet {
		return 0, nil
	}
	if !r.good {
		return copy(b, "\xfe\x80\x00\xf8\x80\xfe"), nil
	}
	if r.sec++; r.sec%2 == 0 {
		return 0, nil
	}
	at, st := time.Unix(1800000000+r.sec/2, 0).UTC(), "A"
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

const rmc = "GNRMC,HMS,ST,5128.6740,N,00000.0900,W,0.00,,DMY,,,A"

func TestMessages(t *testing.T) {
	const gga = "GNGGA,HMS,5128.6740,N,00000.0900,W,1,12,0.60,46.0,M,47.0,M,,"
	long := []string{rmc}
	for range 7 {
		long = append(long, "GNTXT,01,01,02,"+strings.Repeat("x", 60))
	}
	for _, x := range []struct {
		name  string
		r     fakePort
		baud  int // configured
		speak int // the receiver's
		want  Level
		words string
	}{
		{"silent", fakePort{quiet: true}, 9600, 9600, levelFail, "says nothing"},
		{"other rate", fakePort{body: []string{rmc}}, 9600, 38400, levelFail, "speaks at 38400 baud, the configuration says 9600"},
		{"no rate", fakePort{}, 9600, 1, levelFail, "none makes sense"},
		{"no time", fakePort{body: []string{"GNTXT,01,01,02,hello"}}, 9600, 9600, levelFail, "no message tells time and date"},
		{"no date", fakePort{body: []string{gga}}, 9600, 9600, levelFail, "time and date"},
		{"no fix", fakePort{body: []string{rmc}, void: true}, 9600, 9600, levelWarn, "no valid time"},
		{"busy", fakePort{body: long}, 4800, 4800, levelWarn, "busy for"},
		{"well", fakePort{body: []string{rmc, gga}}, 9600, 9600, levelOK, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			mono := int64(1e12)
			opener := func(baud int) (io.ReadCloser, error) {
				r := x.r
				r.mono, r.good = &mono, baud == x.speak
				return &r, nil
			}
			d := doctor{host: host{mono: func() int64 { return mono }}, listen: 5 * time.Second}
			s, err := d.receive(t.Context(), opener, x.baud)
			if err != nil {
				t.Fatal(err)
			}
			rate := 0
			if s.bytes > 0 && !s.framed() {
				rate = findRate(t.Context(), opener, d.mono, x.baud)
			}
			says(t, messageFindings(s, x.baud, rate, d.listen), x.want, x.words)
		})
	}
}

func TestLatency(t *testing.T) {
	edges := pulsesAt(0, 0, 0, 0)
	for _, x := range []struct {
		firsts []int64
		ok     bool
		want   Level
		words  string
	}{
		{nil, false, "", ""},
		{pulsesAt(5e6), false, "", ""}, // may have begun before
		{[]int64{99e9, 100e9 + 950e6}, true, levelWarn, "950ms"},
		{[]int64{99e9, 101e9 + 150e6, 102e9 + 160e6}, true, levelOK, "150ms to 160ms"},
	} {
		f, ok := latencyFinding(edges, x.firsts)
		if ok != x.ok || ok && (f.Level != x.want || !strings.Contains(f.What, x.words)) {
			t.Errorf("%v: %+v %v", x.firsts, f, ok)
		}
	}
}

func TestSnapshotFindings(t *testing.T) {
	const now = 1000e9
	for _, x := range []struct {
		state status.State
		age   time.Duration
		alive bool
		want  Level
		words string
	}{
		{status.Locked, time.Minute, true, levelFail, "published nothing for 1m0s"},
		{status.Faulty, 0, true, levelFail, "faulty"},
		{status.Locked, time.Hour, false, levelWarn, "not running"},
		{status.Holdover, 0, true, levelWarn, "holdover"},
		{status.Locked, time.Second / 4, true, levelOK, ""},
	} {
		s := status.Snapshot{State: x.state, Mono: now - int64(x.age), Bound: time.Microsecond, PID: 7}
		says(t, snapshotFindings(&s, now, x.alive), x.want, x.words)
	}
}

func TestProgress(t *testing.T) {
	for _, x := range []struct {
		pulses, refused, msgs uint64
		want                  Level
		words                 string
	}{
		{0, 0, 15, levelFail, "took 0 pulses"},
		{0, 5, 15, levelFail, "refused 5"},
		{5, 0, 0, levelFail, "took 0 time messages"},
		{2, 3, 15, levelWarn, "took 2 pulses"},
		{5, 0, 15, levelOK, ""},
	} {
		a := status.Snapshot{Pulses: 100, BadPulses: 4, Msgs: 300}
		b := status.Snapshot{Pulses: 100 + x.pulses, BadPulses: 4 + x.refused, Msgs: 300 + x.msgs}
		says(t, progressFindings(&a, &b, 5*time.Second, true), x.want, x.words)
	}
}

func TestSystemFindings(t *testing.T) {
	sync, not := phc.Timex{MaxError: time.Millisecond}, phc.Timex{Status: staUnsync}
	for _, x := range []struct {
		ours   bool
		rivals []string
		tx     phc.Timex
		want   Level
		words  string
	}{
		{true, []string{"chronyd"}, sync, levelFail, "chronyd steers it"},
		{true, nil, phc.Timex{Status: 1}, levelWarn, "kernel's own loop"},
		{false, nil, not, levelWarn, "nobody steers it"},
		{false, []string{"chronyd"}, sync, levelOK, ""},
		{true, nil, not, levelOK, ""},
	} {
		says(t, systemFindings(x.ours, x.rivals, x.tx, nil), x.want, x.words)
	}
}

func TestLeapFinding(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	ntp := func(at time.Time) int64 { return at.Unix() + 2208988800 }
	list := func(name string, expires time.Time) string {
		return write(name, fmt.Sprintf("#@ %d\n%d 37\n", ntp(expires), ntp(time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC))))
	}
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	// A zone file of version 4 whose leap seconds end with an expiry (RFC 9636, section 3.2).
	zone := func(name string, leaps int, expires time.Time) string {
		var recs []byte
		for i := range leaps {
			recs = binary.BigEndian.AppendUint64(recs, uint64(tai.Builtin().Leaps[i+1].UTC+int64(i)))
			recs = binary.BigEndian.AppendUint32(recs, uint32(i+1))
		}
		recs = binary.BigEndian.AppendUint64(recs, uint64(expires.Unix()+int64(leaps)))
		recs = binary.BigEndian.AppendUint32(recs, uint32(leaps))
		head := func(n int) []byte {
			b := append([]byte("TZif4"), make([]byte, 15)...)
			for _, c := range []int{0, 0, n, 0, 1, 4} {
				b = binary.BigEndian.AppendUint32(b, uint32(c))
			}
			return append(b, "\x00\x00\x00\x00\x00\x00UTC\x00"...)
		}
		return write(name, string(head(0))+string(head(leaps+1))+string(recs)+"\nUTC0\n")
	}
	all := len(tai.Builtin().Leaps) - 1
	for _, x := range []struct {
		list, zone string
		want       Level
		words      string
	}{
		{write("damaged", "#@ x\n"), "", levelFail, "damaged"},
		{list("good", now.AddDate(0, 6, 0)), write("cut", "TZif4"), levelWarn, "cut"},
		{list("right", now.AddDate(0, 6, 0)), zone("wrong", all-1, now.AddDate(0, 3, 0)), levelFail, "says that TAI is 37 s ahead of UTC, " + filepath.Join(dir, "wrong") + " 36 s"},
		{list("right", now.AddDate(0, 6, 0)), zone("stale", all-1, now.AddDate(0, -3, 0)), levelOK, "2030-07-01"}, // has no say any more
		{list("right", now.AddDate(0, 6, 0)), zone("same", all, now.AddDate(0, 3, 0)), levelOK, "2030-07-01"},
		{list("old", now.AddDate(-1, 0, 0)), "", levelWarn, "expired on 2029-01-01"},
		{filepath.Join(dir, "none"), filepath.Join(dir, "none"), levelWarn, "missing, the table built in"},
		{list("ends", now.AddDate(0, 0, 9)), "", levelWarn, "expires on 2030-01-10"},
		{list("new", now.AddDate(0, 6, 0)), "", levelOK, "2030-07-01"},
	} {
		says(t, []Finding{leapFinding(x.list, x.zone, now)}, x.want, x.words)
	}
}

func TestCertFindings(t *testing.T) {
	dir := t.TempDir()
	ca, err := certs.NewAuthority(certs.AuthorityConfig{Name: "test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Issue([]string{"clock.example.org", "192.0.2.7"}, 100*24*time.Hour, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.Save(filepath.Join(dir, "clock")); err != nil {
		t.Fatal(err)
	}
	cert, key := filepath.Join(dir, "clock", "server.pem"), filepath.Join(dir, "clock", "server.key")
	now := time.Now()
	open := filepath.Join(dir, "open.pem")
	b, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(open, b, 0o644); err != nil {
		t.Fatal(err)
	}
	day := 24 * time.Hour
	for _, x := range []struct {
		name      string
		cert, key string
		host      string
		at        time.Duration
		want      Level
		words     string
	}{
		{"missing", filepath.Join(dir, "none"), key, "clock", 0, levelFail, "none"},
		{"no certificate", key, key, "clock", 0, levelFail, key},
		{"expired", cert, key, "clock", 101 * day, levelFail, "expired on"},
		{"not yet", cert, key, "clock", -101 * day, levelFail, "not valid before"},
		{"key for all", cert, open, "clock", 0, levelFail, "mode 0644"},
		{"ends soon", cert, key, "clock", 95 * day, levelWarn, "expires on"},
		{"other host", cert, key, "clack", 0, levelWarn, "while this machine is clack"},
		{"short name", cert, key, "clock", 0, levelOK, ""},
		{"address", cert, key, "192.0.2.7", 0, levelOK, ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			says(t, certFindings(x.cert, x.key, []string{x.host}, now.Add(x.at)), x.want, x.words)
		})
	}
}

func TestKeysFinding(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode fs.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, nil, mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	says(t, []Finding{keysFinding(file("open", 0o604))}, levelFail, "mode 0604")
	says(t, []Finding{keysFinding(filepath.Join(dir, "no", "keys"))}, levelFail, "no such file")
	says(t, []Finding{keysFinding(filepath.Join(dir, "new"))}, levelOK, "first start")
	says(t, []Finding{keysFinding(file("keys", 0o600))}, levelOK, "")
}

// fakeProc makes a /proc with one process that holds target.
func fakeProc(t *testing.T, name, target string) string {
	t.Helper()
	proc := t.TempDir()
	fd := filepath.Join(proc, "4711", "fd")
	if err := errors.Join(os.MkdirAll(fd, 0o755), os.WriteFile(filepath.Join(proc, "4711", "comm"), []byte(name+"\n"), 0o644),
		os.Symlink(target, filepath.Join(fd, "3")), os.MkdirAll(filepath.Join(proc, "net"), 0o755)); err != nil {
		t.Fatal(err)
	}
	return proc
}

func TestHeld(t *testing.T) {
	port := filepath.Join(t.TempDir(), "ttyS9")
	if err := os.WriteFile(port, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := port + "-link"
	if err := os.Symlink(port, link); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(port)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		who   string
		path  string
		share bool
		want  Level
		words string
	}{
		{"gpsd", link, false, levelFail, "held by gpsd (pid 4711)"},
		{"ptp4l", port, true, levelWarn, "also open in ptp4l"},
		{"refclockd", port, false, levelOK, "refclockd alone"},
		{"gpsd", "/dev/other", false, levelOK, "nobody else"},
	} {
		h := host{proc: fakeProc(t, x.who, real)}
		f, free := h.descriptors().held("receiver", x.path, "stop it", x.share)
		says(t, []Finding{f}, x.want, x.words)
		if free != (x.want == levelOK) {
			t.Errorf("%s: free %v", x.who, free)
		}
	}
	sim, gpsd := process{7, "sim"}, process{8, "gpsd"}
	o := open{by: map[string][]process{"/dev/pts/999": {sim, gpsd}, "/dev/ptmx": {sim}}}
	if who := o.of("/dev/pts/999"); len(who) != 1 || who[0] != gpsd {
		t.Errorf("a pseudo-terminal is held by %v", who)
	}
	h := host{proc: t.TempDir()}
	f, _ := h.descriptors().held("receiver", port, "run it as root", false)
	says(t, []Finding{f}, levelWarn, "cannot be seen")
}

func TestListener(t *testing.T) {
	const head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"
	const line = "  310: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000   105        0 9876 2 0000000000000000 0\n"
	for _, x := range []struct {
		who, udp string
		want     Level
		words    string
	}{
		{"chronyd", head + line, levelFail, "taken by chronyd"},
		{"ntsserve", head, levelWarn, "nobody listens"},
		{"ntsserve", head + strings.Replace(line, "9876", "1", 1), levelWarn, "cannot be seen"},
		{"ntsserve", head + line, levelOK, "ntsserve listens"},
	} {
		h := host{proc: fakeProc(t, x.who, "socket:[9876]")}
		if err := os.WriteFile(filepath.Join(h.proc, "net/udp"), []byte(x.udp), 0o644); err != nil {
			t.Fatal(err)
		}
		who, taken := h.listener(h.descriptors(), "udp", 123)
		says(t, []Finding{portFindings("udp", 123, who, taken)}, x.want, x.words)
	}
	h := host{proc: fakeProc(t, "x", "/")}
	tcp := strings.ReplaceAll(line, ":007B", ":116C") // state 07 is no listener's
	if err := os.WriteFile(filepath.Join(h.proc, "net/tcp"), []byte(head+tcp), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, taken := h.listener(h.descriptors(), "tcp", 4460); taken {
		t.Error("a connection taken for a listener")
	}
}

func TestMay(t *testing.T) {
	who := account{uid: 900, groups: []int{900, 20}}
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
	if !(account{}).may(0, 5, 5) {
		t.Error("root may not")
	}
}

func TestConsoleAndCarrier(t *testing.T) {
	h := host{proc: t.TempDir(), sys: t.TempDir()}
	net := filepath.Join(h.sys, "class/net/eth0")
	if err := errors.Join(os.WriteFile(filepath.Join(h.proc, "consoles"), []byte("ttyAMA0              -W- (EC p a)    4:64\n"), 0o644), os.MkdirAll(net, 0o755)); err != nil {
		t.Fatal(err)
	}
	f, is := h.console("/dev/ttyAMA0")
	if says(t, []Finding{f}, levelFail, "console is /dev/ttyAMA0"); !is {
		t.Error("no console")
	}
	if _, is := h.console("/dev/ttyS0"); is {
		t.Error("a console that is none")
	}
	if _, ok := h.carrier("eth7"); ok {
		t.Error("an interface that is not there")
	}
	for text, want := range map[string]Level{"0\n": levelWarn, "1\n": levelOK} {
		if err := os.WriteFile(filepath.Join(net, "carrier"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		f, _ := h.carrier("eth0")
		says(t, []Finding{f}, want, "carrier")
	}
}

func TestDevice(t *testing.T) {
	dir := t.TempDir()
	f, ok := device("pulse", filepath.Join(dir, "pps0"), account{}, "load it", "may not")
	if says(t, []Finding{f}, levelFail, "missing"); ok {
		t.Error("ok")
	}
	f, ok = device("pulse", dir, account{}, "load it", "may not")
	if says(t, []Finding{f}, levelFail, "no device"); ok {
		t.Error("ok")
	}
	f, ok = device("pulse", os.DevNull, account{}, "load it", "may not")
	if says(t, []Finding{f}, levelOK, ""); !ok {
		t.Error("not ok")
	}
}

func TestReadConfig(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "x.toml")
	if err := os.WriteFile(path, []byte("[receiver\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c := defaultRef()
	for _, x := range []struct {
		path  string
		named bool
		want  Level
		code  int
	}{{filepath.Join(dir, "none"), true, levelFail, exitcode.Config}, {path, true, levelFail, exitcode.Config}, {filepath.Join(dir, "none"), false, levelWarn, 0}} {
		usable, f := readConfig("config", "no-such-daemon", x.path, x.named, &c)
		if usable || f.Level != x.want || f.code != x.code {
			t.Errorf("%+v: %v %+v", x, usable, f)
		}
	}
	if err := os.WriteFile(path, []byte("[receiver]\ndevice = \"/dev/ttyS5\"\n[clock]\nsource = \"system\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if usable, f := readConfig("config", "no-such-daemon", path, true, &c); !usable || f.Level != levelOK || c.Receiver.Device != "/dev/ttyS5" || !c.steersSystem() || c.baud() != 9600 {
		t.Errorf("%v %+v %+v", usable, f, c)
	}
}

// The examples that the project ships are read, with what their comments allow.
func TestDoctorReadsExamples(t *testing.T) {
	files, err := filepath.Glob("../../configs/*.toml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		var dst any = &srvConfig{}
		if strings.HasPrefix(filepath.Base(f), "refclockd") {
			c := defaultRef()
			dst = &c
		}
		if usable, found := readConfig("config", "no-such-daemon", f, true, dst); !usable {
			t.Errorf("%+v", found)
		}
	}
	c := defaultRef()
	if c.Receiver.Baud = "auto"; c.baud() != 0 {
		t.Error("auto is a rate")
	}
}

func TestVerdict(t *testing.T) {
	denied := bad("a", "", "").as(exitcode.Permission)
	for _, x := range []struct {
		found []Finding
		want  int
	}{
		{[]Finding{good("a", ""), bad("b", "", ""), denied}, exitcode.Unavailable},
		{[]Finding{warn("a", "", ""), denied, bad("b", "", "")}, exitcode.Permission},
		{[]Finding{good("a", ""), warn("b", "", "")}, exitcode.OK},
	} {
		if got := ExitCode(x.found); got != x.want {
			t.Errorf("%+v: %d, want %d", x.found, got, x.want)
		}
	}
}

// The whole command on a machine with nothing: JSON that says so, and 69.
func TestDoctorBare(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "refclockd.toml")
	text := fmt.Sprintf("runtime_dir = %q\nstate_dir = %q\n[receiver]\ndevice = %q\n[pulse]\ndevice = %q\n[clock]\ndevice = %q\n",
		dir, dir, filepath.Join(dir, "tty"), filepath.Join(dir, "pps"), filepath.Join(dir, "ptp"))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	found := Examine(t.Context(), Options{Refclockd: path, RefclockdNamed: true, Ntsserve: filepath.Join(dir, "none"), NtsserveNamed: true, Listen: 2 * time.Second})
	if code := ExitCode(found); code != exitcode.Unavailable {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"clock", "pulse", "receiver"} {
		if !slices.ContainsFunc(found, func(f Finding) bool { return f.Check == want && f.Level == levelFail }) {
			t.Errorf("no failure of %s: %+v", want, found)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := listenPort(ctx, strings.NewReader("x"), func() int64 { return 0 }, time.Hour); err != nil || s.bytes != 0 {
		t.Error(s, err)
	}
}
