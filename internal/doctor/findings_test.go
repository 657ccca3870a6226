package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/gnss/registry"
	"noonmark/refclock/reason"
	"noonmark/refclock/receiver"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// wants checks that findings contain the kind, with the text in What; that OK
// means that nothing graver was found; and that all findings are whole.
func wants(t *testing.T, found []Finding, want kind, text string) {
	t.Helper()
	x := &kinds[want]
	seen := false
	for _, f := range found {
		seen = seen || f.ID == x.ID && strings.Contains(f.What, text)
		if x.Level == OK && f.Level != OK {
			t.Errorf("unexpected finding %+v", f)
		}
		if f.ID == "" || f.Check == "" || f.What == "" || (f.Mend == "") != (f.Level == OK) || strings.ContainsAny(f.Check+f.What+f.Mend, "{}") {
			t.Errorf("incomplete finding %+v", f)
		}
	}
	if !seen {
		t.Errorf("no %s with %q in %+v", x.ID, text, found)
	}
}

func settings() *refclockd.Settings { return &refclockd.Settings{File: refclockd.Default()} }

func TestConfigFinding(t *testing.T) {
	t.Parallel()
	wrong := &config.Error{File: "x.toml", Line: 3, Key: "pulse.pin", Problem: "is odd"}
	for _, x := range []struct {
		err   error
		warns []string
		named bool
		want  kind
		code  int
	}{
		{&config.Error{File: "x.toml", Problem: "missing", Err: fs.ErrNotExist}, nil, true, configAbsent, exitcode.Config},
		{&config.Error{File: "x.toml", Problem: "denied", Err: fs.ErrPermission}, nil, false, configDenied, exitcode.Permission},
		{errors.Join(wrong, wrong), nil, false, configWrong, exitcode.Config},
		{&config.Error{File: "x.toml", Problem: "missing", Err: fs.ErrNotExist}, nil, false, configMissing, exitcode.OK},
		{nil, []string{"a", "b"}, true, configWarning, exitcode.OK},
		{nil, nil, true, configOK, exitcode.OK},
	} {
		f := configFinding(&ConfigFile{Daemon: "refclockd", Option: "-config", Path: "x.toml", Named: x.named, Err: x.err, Warnings: x.warns})
		wants(t, []Finding{f}, x.want, "x.toml")
		if code := ExitCode([]Finding{f}); code != x.code {
			t.Errorf("%+v: exit code %d, want %d", f, code, x.code)
		}
	}
}

func TestSnapshotFinding(t *testing.T) {
	t.Parallel()
	const now = 1000e9
	for _, x := range []struct {
		err   error
		state status.State
		age   time.Duration
		alive bool
		want  kind
		text  string
	}{
		{fs.ErrNotExist, 0, 0, false, snapshotNone, "not running"},
		{status.ErrOldBoot, 0, 0, false, snapshotNone, "not running"},
		{fs.ErrPermission, 0, 0, false, snapshotDenied, ""},
		{status.ErrFormat, 0, 0, false, snapshotUnreadable, ""},
		{status.ErrNotFile, 0, 0, false, snapshotNotFile, ""},
		{status.ErrOtherClock, 0, 0, false, snapshotOtherClock, "time namespace"},
		{status.ErrImplausible, 0, 0, false, snapshotImplausible, ""},
		{nil, status.Locked, time.Minute, true, snapshotStuck, "published nothing for 1m0s"},
		{nil, status.Locked, -time.Minute, true, snapshotStuck, "published nothing"},
		{nil, status.Faulty, 0, true, stateFaulty, "faulty"},
		{nil, status.Locked, time.Hour, false, snapshotOld, "1h0m0s old"},
		{nil, status.Holdover, 0, true, stateOther, "holdover"},
		{nil, status.Locked, time.Second / 4, true, stateLocked, "within 1µs"},
	} {
		d := DaemonFacts{Err: x.err, First: status.Snapshot{State: x.state, Mono: now - int64(x.age), Bound: time.Microsecond, PID: 7}, Mono: now, Alive: x.alive}
		wants(t, []Finding{snapshotFinding(&d)}, x.want, x.text)
	}
}

func TestClockFindings(t *testing.T) {
	t.Parallel()
	pins := []phc.Pin{{Index: 0, Name: "SDP0", Func: phc.PinExtTS}, {Index: 1, Name: "SDP1", Func: phc.PinPerOut, Channel: 1}, {Index: 2, Name: "SDP2"}}
	good := ClockFacts{
		Path: "/dev/ptp0", Caps: phc.Caps{MaxFreqPPB: 62499999, ExtTS: 2, Pins: 3}, Pins: pins, Method: "cross timestamp",
		File: DeviceFile{Path: "/dev/ptp0", Device: true, Allowed: true, User: "refclock"}, Carrier: Carrier{"eth0", true, true},
	}
	for _, x := range []struct {
		name         string
		source       string
		pin, channel int
		change       func(*ClockFacts)
		running      bool
		want         kind
		text         string
	}{
		{"no such clock", "extts", 0, 0, func(k *ClockFacts) { k.Err = fs.ErrNotExist }, false, clockMissing, ""},
		{"not permitted", "extts", 0, 0, func(k *ClockFacts) { k.Err = fs.ErrPermission }, false, clockDenied, ""},
		{"card without clock", "extts", 0, 0, func(k *ClockFacts) { k.Err = phc.ErrNoClock }, false, clockAbsent, ""},
		{"daemon not permitted", "extts", 0, 0, func(k *ClockFacts) { k.File.Allowed, k.File.Mode = false, 0o600 }, false, deviceDenied, "mode 0600"},
		{"unreadable", "extts", 0, 0, func(k *ClockFacts) { k.ReadErr = errors.New("no hardware") }, false, clockUnreadable, "no hardware"},
		{"pins unreadable", "extts", 0, 0, func(k *ClockFacts) { k.PinsErr = errors.New("odd pins") }, false, pinsUnreadable, "odd pins"},
		{"no channels", "extts", 0, 0, func(k *ClockFacts) { k.Caps.ExtTS = 0 }, false, pinNoTimestamps, ""},
		{"no such channel", "extts", 0, 2, nil, false, pinNoChannel, "no channel 2"},
		{"no pins", "extts", 0, 0, func(k *ClockFacts) { k.Caps.Pins = 0 }, false, pinFixed, ""},
		{"no such pin", "extts", 7, 0, nil, false, pinMissing, "no pin 7"},
		{"pin taken", "extts", 1, 0, nil, true, pinTaken, "pin 1 (SDP1)"},
		{"shared", "extts", 0, 0, func(k *ClockFacts) { k.File.Holders = []Process{{7, "ptp4l"}} }, false, clockShared, "also open in ptp4l (pid 7)"},
		{"pin used", "extts", 1, 0, nil, false, pinUsed, "pin 1 (SDP1)"},
		{"slow", "kernel", 0, 0, func(k *ClockFacts) { k.Width = 222 * time.Microsecond }, false, clockSlow, "222µs"},
		{"interface down", "kernel", 0, 0, func(k *ClockFacts) { k.Carrier.Up = false }, false, carrierDown, "eth0 is down"},
		{"no link", "kernel", 0, 0, func(k *ClockFacts) { k.Carrier.Link = false }, false, carrierLost, "eth0 has no carrier"},
		{"pin set", "extts", 0, 0, nil, true, pinSet, ""},
		{"pin free", "extts", 2, 0, nil, false, pinFree, ""},
		{"fixed wiring", "extts", -1, 0, func(k *ClockFacts) { k.Caps.Pins = 0 }, false, pinNotNeeded, ""},
		{"no pin wanted", "kernel", 7, 9, nil, false, carrierOK, ""},
		{"no interface", "kernel", 0, 0, func(k *ClockFacts) { k.Carrier = Carrier{} }, false, clockOK, "62500 ppm"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			c, k := settings(), good
			c.Pulse.Source, c.Pulse.Pin, c.Pulse.Channel = x.source, x.pin, x.channel
			if x.change != nil {
				x.change(&k)
			}
			wants(t, clockFindings(c, &k, x.running), x.want, x.text)
		})
	}
}

func TestFollowerFindings(t *testing.T) {
	t.Parallel()
	file := DeviceFile{Path: "/dev/ptp1", Device: true, Allowed: true, User: "refclock"}
	denied, shared := file, file
	denied.Allowed, shared.Holders = false, []Process{{9, "phc2sys"}}
	wants(t, followerFindings(&ClockFacts{Err: fs.ErrNotExist}), followerMissing, "")
	wants(t, followerFindings(&ClockFacts{File: denied}), deviceDenied, "/dev/ptp1")
	wants(t, followerFindings(&ClockFacts{File: shared}), followerShared, "phc2sys")
	wants(t, followerFindings(&ClockFacts{File: file}), deviceFree, "/dev/ptp1")
}

func TestDeviceFindings(t *testing.T) {
	t.Parallel()
	good := DeviceFile{Path: "/dev/x", Device: true, Allowed: true, User: "refclock"}
	with := func(change func(*DeviceFile)) *DeviceFile { d := good; change(&d); return &d }
	for _, x := range []struct {
		part   string
		d      *DeviceFile
		denied kind
		want   kind
	}{
		{"pulse", with(func(d *DeviceFile) { d.Err = fs.ErrNotExist }), deviceDenied, pulseMissing},
		{"receiver", with(func(d *DeviceFile) { d.Err = fs.ErrNotExist }), receiverDenied, receiverMissing},
		{"receiver", with(func(d *DeviceFile) { d.Device = false }), receiverDenied, deviceNone},
		{"receiver", with(func(d *DeviceFile) { d.Err = fs.ErrPermission }), receiverDenied, receiverDenied},
		{"receiver", with(func(d *DeviceFile) { d.Allowed = false }), receiverDenied, receiverDenied},
		{"pulse", with(func(d *DeviceFile) { d.Allowed = false }), deviceDenied, deviceDenied},
		{"pulse", &good, deviceDenied, deviceOK},
	} {
		wants(t, []Finding{accessFinding(x.part, x.d, x.denied)}, x.want, "/dev/x")
	}
	for _, x := range []struct {
		d    *DeviceFile
		want kind
		text string
	}{
		{with(func(d *DeviceFile) { d.Holders = []Process{{1, "refclockd"}, {4711, "gpsd"}} }), receiverHeld, "held by gpsd (pid 4711)"},
		{with(func(d *DeviceFile) { d.Hidden = true }), deviceHidden, "this user can see"},
		{with(func(d *DeviceFile) { d.Holders = []Process{{1, "refclockd"}} }), deviceAlone, "refclockd only"},
		{&good, deviceFree, "no other program"},
	} {
		wants(t, []Finding{holdersFinding("receiver", x.d, receiverHeld)}, x.want, x.text)
	}
}

// pulsesAt are the instants of pulses, each off by some ns.
func pulsesAt(off ...int64) (e []int64) {
	for i, o := range off {
		e = append(e, 100e9+int64(i)*1e9+o)
	}
	return e
}

func TestPulseFinding(t *testing.T) {
	t.Parallel()
	var double []int64
	for i := range int64(10) {
		double = append(double, i*500e6)
	}
	for _, x := range []struct {
		p    PulseFacts
		want kind
		text string
	}{
		{PulseFacts{Err: errors.New("cannot open; do this")}, edgesError, "cannot open; do this"},
		{PulseFacts{}, edgesSilent, "no pulse in 5s"},
		{PulseFacts{Edges: double}, edgesTooMany, "more than one a second"},
		{PulseFacts{Edges: pulsesAt(0, 0)}, edgesLost, "2 pulses"},
		{PulseFacts{Edges: pulsesAt(0, 5e6, 0, 0, 0)}, edgesIrregular, "up to 5ms away from one second"},
		{PulseFacts{Edges: pulsesAt(0, 100, -100, 0, 0), Note: " (noted)"}, edgesOK, "one second apart within 200ns (noted)"},
		{PulseFacts{Edges: pulsesAt(0, 0, 0, 0, 0), Err: errors.New("vanished")}, edgesOK, ""},
	} {
		wants(t, []Finding{pulseFinding(&x.p, 5*time.Second)}, x.want, x.text)
	}
}

func TestProgressFindings(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		pulses, refused, msgs uint64
		want                  kind
		text                  string
	}{
		{0, 0, 15, edgesNone, "accepted 0 pulses"},
		{0, 5, 15, edgesAllRefused, "refused 5"},
		{5, 0, 0, messagesNone, "accepted 0 time messages"},
		{2, 3, 15, edgesFew, "accepted 2 pulses"},
		{5, 0, 15, edgesTaken, "accepted 5 pulses in 5s"},
		{5, 0, 15, messagesTaken, "accepted 15 time messages"},
		{5, 0, 15, latencySnapshot, "150ms after the pulse"},
	} {
		d := DaemonFacts{Listened: 5 * time.Second, First: status.Snapshot{Pulses: 100, BadPulses: 4, Msgs: 300}}
		d.Last = status.Snapshot{Pulses: 100 + x.pulses, BadPulses: 4 + x.refused, Msgs: 300 + x.msgs, PulseMono: 7e9, MsgMono: 7e9 + 150e6}
		wants(t, progressFindings(&d, true), x.want, x.text)
	}
	wants(t, progressFindings(&DaemonFacts{LastErr: status.ErrBusy}, true), snapshotUnreadable, "")
	if f := progressFindings(&DaemonFacts{}, true); f != nil {
		t.Errorf("interrupted: %+v", f)
	}
}

func TestMessageFindings(t *testing.T) {
	t.Parallel()
	good := MessageFacts{Baud: 9600, Bytes: 700, Counters: gnss.Counters{Frames: []gnss.FrameCount{{Protocol: "nmea", Frames: 10}}}, Sources: map[string]int{"RMC": 5, "GGA": 5}, Dated: true,
		Labels: 10, Valid: 10, Fix: gnss.Fix3D, Satellites: 12}
	with := func(change func(*MessageFacts)) MessageFacts { m := good; change(&m); return m }
	for _, x := range []struct {
		name string
		m    MessageFacts
		want kind
		text string
	}{
		{"silent", MessageFacts{Baud: 9600}, messagesSilent, "says nothing"},
		{"another rate", MessageFacts{Baud: 9600, Bytes: 50, OtherBaud: 38400}, baudOther, "sends at 38400 baud, the configuration says 9600"},
		{"no rate", MessageFacts{Baud: 9600, Bytes: 50}, baudUnknown, "50 bytes came at 9600 baud"},
		{"SiRF", MessageFacts{Baud: 9600, Bytes: 900, Look: looks("\xA0\xA2\x00\x29")}, portProtocol, "looks like SiRF binary"},
		{"text", MessageFacts{Baud: 9600, Bytes: 900, Look: looks("\r\n#TIMEA,COM1")}, portProtocol, "#TIMEA"},
		{"no checksums", MessageFacts{Baud: 9600, Bytes: 900, Counters: bare(t)}, portNoChecksum, "5 sentences"},
		{"no date", with(func(m *MessageFacts) { m.Dated = false }), messagesNoDate, ""},
		{"old date", with(func(m *MessageFacts) { m.Rolled = true }), fixRollover, "1024 weeks"},
		{"no fix", with(func(m *MessageFacts) { m.Valid, m.Fix = 0, gnss.FixNone }), fixNone, "no valid time"},
		{"leap seconds unknown", with(func(m *MessageFacts) { m.Unresolved = true }), fixLeapUnknown, ""},
		{"busy", with(func(m *MessageFacts) { m.Bytes = 4000 }), baudBusy, "busy 83 % of the time"},
		{"well", good, messagesHeard, "in 5s: GGA 5, RMC 5"},
		{"well", good, fixOK, "12 satellites, 10 of 10 labels valid"},
		{"well", good, baudOK, "busy 15 %"},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			wants(t, messageFindings(&x.m, 5*time.Second), x.want, x.text)
		})
	}
}

// looks is what octets look like that come again and again.
func looks(octets string) (l receiver.Look) {
	for range 9 {
		l.Add([]byte(octets))
	}
	return l
}

// bare returns the counters of five sentences without checksum.
func bare(t *testing.T) gnss.Counters {
	t.Helper()
	d := registry.NewDecoder(gnss.Config{})
	for range 5 {
		d.Feed([]byte("$GPGLL,4807.038,N,01131.000,E,120000,A\r\n"), 0, func(*gnss.Message) {})
	}
	return d.Counters()
}

// What refclockd reports of its receiver is a finding with the remedy of the reason.
func TestConditionsOfRefclockdAreFindings(t *testing.T) {
	t.Parallel()
	if f := conditionFindings(&DaemonFacts{}); f != nil {
		t.Errorf("without details: %+v", f)
	}
	d := DaemonFacts{Details: &report.Details{Conditions: []report.ConditionDetail{{Reason: "of a later version"}}}}
	if f := conditionFindings(&d); f != nil {
		t.Errorf("an unknown reason: %+v", f)
	}
	for code, k := range conditionKinds {
		d.Details.Conditions = []report.ConditionDetail{{Reason: code.String(), Detail: "as seen", SinceS: 12}}
		f := conditionFindings(&d)
		wants(t, f, k, "refclockd reports "+code.String()+" for 12s: as seen")
		if len(f) != 1 || f[0].Mend != code.Info().Remedy {
			t.Errorf("%v: %+v", code, f)
		}
	}
}

// What keeps refclockd from using labels is a finding.
func TestWaitFindings(t *testing.T) {
	t.Parallel()
	caused := func(c string) *report.Details { return &report.Details{Cause: c} }
	for _, d := range []DaemonFacts{
		{}, {Details: caused("")}, {Details: caused("message_no_date")},
		{First: status.Snapshot{Reason: "no_messages: message_fraction"}}, // a text is no code
		{Err: fs.ErrNotExist, Details: caused("message_fraction")},
	} {
		if f := waitFindings(&d); f != nil {
			t.Errorf("%+v: %+v", d, f)
		}
	}
	d := DaemonFacts{First: status.Snapshot{Reason: "no_messages: message_fraction .30"}, Details: caused("message_fraction")}
	f := waitFindings(&d)
	wants(t, f, labelFraction, "message_fraction")
	if f[0].Mend != reason.MessageFraction.Info().Remedy {
		t.Errorf("%+v", f)
	}
	d.First.Reason, d.Details = "doubted: leap_unconfirmed", caused("leap_unconfirmed")
	f = waitFindings(&d)
	wants(t, f, labelUnconfirmed, "leap_unconfirmed")
	if f[0].Mend != reason.LeapUnconfirmed.Info().Remedy {
		t.Errorf("%+v", f)
	}
	d.Details.Remedy = "wait 5 min"
	if f = waitFindings(&d); f[0].Mend != "wait 5 min" {
		t.Errorf("%+v", f)
	}
}

func TestLatencyFindings(t *testing.T) {
	t.Parallel()
	edges := pulsesAt(0, 0, 0, 0)
	for _, firsts := range [][]int64{nil, pulsesAt(5e6)} { // the first may have begun before
		if f := latencyFindings(edges, firsts); f != nil {
			t.Errorf("%v: %+v", firsts, f)
		}
	}
	wants(t, latencyFindings(edges, []int64{99e9, 100e9 + 950e6}), latencyLong, "950ms")
	wants(t, latencyFindings(edges, []int64{99e9, 101e9 + 150e6, 102e9 + 160e6}), latencyOK, "150ms to 160ms")
}

func TestInputFindings(t *testing.T) {
	t.Parallel()
	file := DeviceFile{Path: "/dev/ttyS9", Device: true, Allowed: true, User: "refclock"}
	c := settings()
	wants(t, inputFindings(&InputFacts{ReceiverFile: file, Console: true}, nil, c), receiverConsole, "console is /dev/ttyS9")
	wants(t, inputFindings(&InputFacts{ReceiverFile: file, Messages: &MessageFacts{Err: fs.ErrPermission}}, nil, c), receiverDenied, "this user")
	wants(t, inputFindings(&InputFacts{ReceiverFile: file, Messages: &MessageFacts{Err: errors.New("odd port")}}, nil, c), receiverError, "odd port")
	wants(t, inputFindings(&InputFacts{ReceiverFile: file, PulseFile: &DeviceFile{Path: "/dev/pps7", Err: fs.ErrNotExist}}, nil, c), pulseMissing, "/dev/pps7 is missing")
}

func TestSystemFinding(t *testing.T) {
	t.Parallel()
	sync, unsync := phc.Timex{MaxError: time.Millisecond}, phc.Timex{Status: staUnsync}
	for _, x := range []struct {
		ours   bool
		rivals []string
		err    error
		timex  phc.Timex
		want   kind
		text   string
	}{
		{true, []string{"chronyd"}, nil, sync, systemContested, "chronyd steers it"},
		{false, nil, errors.New("not here"), sync, systemUnknown, "not here"},
		{true, nil, nil, phc.Timex{Status: 1}, systemKernelLoop, ""},
		{false, nil, nil, unsync, systemFree, "not synchronised"},
		{false, []string{"chronyd"}, nil, sync, systemOther, "chronyd steers it"},
		{true, nil, nil, unsync, systemOurs, ""},
		{false, nil, nil, sync, systemNobody, "within 1ms"},
	} {
		wants(t, []Finding{systemFinding(&SystemFacts{Err: x.err, Timex: x.timex, Rivals: x.rivals}, x.ours)}, x.want, x.text)
	}
}

// The short form of the key is understood, and "observe" steers nothing.
func TestWhoSteersTheSystemClock(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]bool{"off": false, "observe": false, "discipline": true} {
		c := settings()
		c.SystemClock.Mode = mode
		if got := steersSystemClock(c); got != want {
			t.Errorf("%s: %v", mode, got)
		}
	}
	c := settings()
	c.Clock.Source = "system"
	if !steersSystemClock(c) {
		t.Error(`clock.source = "system" steers nothing`)
	}
}

func TestLeapFinding(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	table := func(name string, offset int, expires time.Time) LeapFile {
		return LeapFile{Path: name, Table: &tai.Table{Source: name, Expires: expires, Leaps: []tai.Leap{{UTC: 0, Offset: offset}}}}
	}
	later, missing := now.AddDate(0, 6, 0), LeapFile{Path: "none", Err: fs.ErrNotExist}
	for _, x := range []struct {
		list, zone LeapFile
		want       kind
		text       string
	}{
		{LeapFile{Path: "damaged", Err: errors.New("damaged: line 1")}, LeapFile{}, leapDamaged, "damaged"},
		{LeapFile{Path: "closed", Err: fs.ErrPermission}, LeapFile{}, leapDenied, ""},
		{table("list", 37, later), LeapFile{Path: "cut", Err: errors.New("cut: no zone")}, leapZoneDamaged, "cut"},
		{table("list", 37, later), table("zone", 36, now.AddDate(0, 3, 0)), leapDisagree, "list says that TAI is 37 s ahead of UTC, zone 36 s"},
		{table("list", 37, now.AddDate(-1, 0, 0)), LeapFile{}, leapExpired, "expired on 2029-01-01"},
		{missing, missing, leapExpired, "none is missing, the built-in table is used, expired on"},
		{LeapFile{}, LeapFile{}, leapExpired, "the built-in table is used"},
		{table("list", 37, time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)), LeapFile{}, leapExpired, "list is older than the built-in table"},
		{table("list", 37, now.AddDate(0, 0, 9)), LeapFile{}, leapExpiring, "expires on 2030-01-10"},
		{table("list", 37, later), table("zone", 36, now.AddDate(0, -3, 0)), leapOK, "2030-07-01"}, // an expired one is ignored
		{table("list", 37, later), table("zone", 37, now.AddDate(0, 3, 0)), leapOK, "2030-07-01"},
		{table("list", 37, later), LeapFile{}, leapOK, "list, good until 2030-07-01"},
	} {
		wants(t, []Finding{leapFinding(&LeapFacts{x.list, x.zone}, now)}, x.want, x.text)
	}
}

func TestExitCodeIsThatOfTheFirstFailure(t *testing.T) {
	t.Parallel()
	denied, missing, fine, warning := receiverDenied.with(), pulseMissing.with(), carrierOK.with(), carrierLost.with()
	for _, x := range []struct {
		found []Finding
		want  int
	}{
		{[]Finding{fine, missing, denied}, exitcode.Unavailable},
		{[]Finding{warning, denied, missing}, exitcode.Permission},
		{[]Finding{fine, warning}, exitcode.OK},
		{nil, exitcode.OK},
	} {
		if got := ExitCode(x.found); got != x.want {
			t.Errorf("%+v: %d, want %d", x.found, got, x.want)
		}
	}
}

func TestPrintCountsLevels(t *testing.T) {
	t.Parallel()
	found := []Finding{carrierOK.with("interface", "eth0"), carrierLost.with("interface", "eth1"), pulseMissing.with("path", "/dev/pps0")}
	var text, js strings.Builder
	if err := errors.Join(Print(&text, found, false), Print(&js, found, true)); err != nil {
		t.Fatal(err)
	}
	if want := "ok   carrier      eth0 has a carrier\nwarn carrier      eth1 has no carrier\n                  > plug in the cable\n"; !strings.HasPrefix(text.String(), want) || !strings.HasSuffix(text.String(), "1 fine, 1 to look at, 1 wrong\n") {
		t.Errorf("%s\nwant it to begin with\n%s", text.String(), want)
	}
	want := fmt.Sprintf(`{"findings":[{"id":"carrier-ok","check":"carrier","level":"ok","what":"eth0 has a carrier"},{"id":"carrier-lost","check":"carrier","level":"warn","what":"eth1 has no carrier","mend":"plug in the cable"},{"id":"pulse-missing","check":"pulse","level":"fail","what":"/dev/pps0 is missing","mend":%q}],"ok":1,"warn":1,"fail":1}`+"\n", kinds[pulseMissing].Remedy)
	if js.String() != want {
		t.Errorf("%s\nwant\n%s", js.String(), want)
	}
}
