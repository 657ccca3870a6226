package refclockd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
	"noonmark/refclock/follow"
	"noonmark/refclock/gnss"
	"noonmark/refclock/leap"
)

func write(t *testing.T, text string) string {
	t.Helper()
	return proctest.Write(t, filepath.Join(t.TempDir(), "r.toml"), text)
}

func TestLoadRefusesBadValuesWithLineAndKey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{ // want: the error after FILE:, "" for none
		{"runtime_dri = \"/run/x\"\n", "1: runtime_dri"},
		{"runtime_dir = \"run\"\n", "1: runtime_dir: \"run\" is not an absolute path"},
		{"[receiver]\nbaud = \"fast\"\n", "2: receiver.baud"},
		{"[receiver]\nbaud = 50\n", "2: receiver.baud: 50 is not a baud rate"},
		{"[receiver]\ndevice = \"\"\n", "2: receiver.device: is empty"},
		{"[receiver]\nprotocol = \"sirf\"\n", "2: receiver.protocol"},
		{"record = \"here\"\n", "1: record"},
		{"record_limit = 0\n", "1: record_limit"},
		{"[receiver]\nnot_before = \"soon\"\n", "2: receiver.not_before"},
		{"[receiver]\ntime_scale = \"local\"\n", "2: receiver.time_scale"},
		{"[receiver]\nlabel_offset = \"11s\"\n", "2: receiver.label_offset"},
		{"[receiver]\nmin_confidence = \"high\"\n", "2: receiver.min_confidence"},
		{"[leap]\nprove = \"sometimes\"\n", "2: leap.prove"},
		{"[leap]\nprove = 3\n", "2: leap.prove"},
		{"[pulse]\n\nsource = \"kernal\"\n", "3: pulse.source: \"kernal\" is not known; did you mean \"kernel\"?"},
		{"[pulse]\nsource = \"sim\"\n", "2: pulse.source"},
		{"[clock]\nsource = \"sim\"\n", "1: pulse.source"},
		{"[pulse]\nsource = \"extts\"\n[clock]\nsource = \"system\"\n", "2: pulse.source: \"extts\" needs clock.source"},
		{"[pulse]\nedge = \"both\"\n", "2: pulse.edge"},
		{"[pulse]\nbias = 11.7\n", "2: pulse.bias"},
		{"[pulse]\nbias = \"20ms\"\n", "2: pulse.bias: 20ms is out of range"},
		{"[pulse]\ncable = \"-1ns\"\n", "2: pulse.cable"},
		{"[pulse]\ncable = \"101us\"\n", "2: pulse.cable: 101µs is out of range"},
		{"[pulse]\ncable_length = -20.0\n", "2: pulse.cable_length: -20 is out of range"},
		{"[pulse]\ncable_length = \"20 m\"\n", "2: pulse.cable_length"},
		{"[pulse]\ncable_length = 20.0\nvelocity_factor = 66.0\n", "3: pulse.velocity_factor: 66 is not a velocity factor"},
		{"[pulse]\ncable_length = 20.0\nvelocity_factor = 0.0\n", "3: pulse.velocity_factor"},
		{"[pulse]\ncable = \"85ns\"\ncable_length = 20.0\n", "3: pulse.cable_length: 20 and pulse.cable = \"85ns\" are both set"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\ncable_length = 1e9\n", "4: pulse.compare[0].cable_length"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\nvelocity_factor = 0\n", "4: pulse.compare[0].velocity_factor: 0 is not a velocity factor"},
		{"[pulse]\ncompare = [{source = \"kernel\", device = \"/dev/pps1\", velocity_factor = 0.0}]\n", "2: pulse.compare[0].velocity_factor: 0 is not a velocity factor"},
		{"[discipline]\nstep_threshold = \"2ms\"\n", "2: discipline.step_threshold: 2ms is out of range; want 0s to 1ms"},
		{"[pulse]\nwidth = \"1s\"\n", "2: pulse.width"},
		{"[pulse]\npin = -2\n", "2: pulse.pin"},
		{"[pulse]\nchannel = -1\n", "2: pulse.channel"},
		{"[pulse]\ndevice = \"\"\n", "2: pulse.device"},
		{"[clock]\ndevice = \"\"\n", "2: clock.device"},
		{"[[pulse.compare]]\ndevice = \"/dev/pps1\"\n", "1: pulse.compare[0].source: \"\" is not known"},
		{"[[pulse.compare]]\nsource = \"kernel\"\n", "1: pulse.compare[0].device: is empty"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps0\"\n", "3: pulse.compare[0].device: \"/dev/pps0\" is the pulse that steers the clock"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\nlimit = \"-1us\"\n", "4: pulse.compare[0].limit"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\nlimits = \"1us\"\n", "4: pulse.compare[0].limits"},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\n[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\n", "4: pulse.compare[1].name: \"/dev/pps1\" is there already"},
		{"[pulse]\nsource = \"extts\"\n[[pulse.compare]]\nsource = \"extts\"\n", "3: pulse.compare[0].channel: 0 is the channel that steers the clock"},
		{"[clock]\nsource = \"system\"\n[[pulse.compare]]\nsource = \"extts\"\n", "4: pulse.compare[0].source: \"extts\" needs clock.source"},
		{"[clock]\nmax_freq_ppb = -1.0\n", "2: clock.max_freq_ppb"},
		{"[clock]\nfreq_step_ppb = -1.0\n", "2: clock.freq_step_ppb"},
		{"[clock]\nfreq_step_ppb = 1e5\n", "2: clock.freq_step_ppb"},
		{"[clock]\nsource = \"system\"\nfreq_step_ppb = 61.0\n", "3: clock.freq_step_ppb: is not used"},
		{"[clock]\nfreq_step_ppb = 61.035\n", ""},
		{"[discipline]\nservo = \"pid\"\n", "2: discipline.servo"},
		{"[discipline]\nholdover_limit = \"0s\"\n", "2: discipline.holdover_limit"},
		{"[oscillator]\ntemperature = \"temp1_input\"\n", "2: oscillator.temperature: \"temp1_input\" is not an absolute path"},
		{"[oscillator]\ntemperature = \"/sys/class/hwmon/hwmon0/temp1_input\"\n", ""},
		{"[ntp]\nstratum = 16\n", "2: ntp.stratum"},
		{"[ntp]\nrefid = \"GALILEO\"\n", "2: ntp.refid"},
		{"[ntp]\nrefid = \"\"\n", "2: ntp.refid"},
		{"[sim]\noscillator = \"rubidium\"\n", "2: sim.oscillator"},
		{"[sim]\nreceiver = \"trimble\"\n", "2: sim.receiver"},
		{"[sim]\nstart = \"today\"\n", "2: sim.start"},
		{"[log]\nlevel = \"loud\"\n", "2: log.level"},
		{"[metrics]\nlisten = \"9100\"\n", "2: metrics.listen"},
		{"[receiver]\nbaud = 9600.5\n", "2: receiver.baud: is not a baud rate"},
		{"[receiver]\nrollover = \"guess\"\n", "2: receiver.rollover"},
		{"[receiver]\nposition_limit = 1.0\n", "2: receiver.position_limit: 1 is out of range"},
		{"[receiver]\nposition = [47.0, 8.0]\n", "2: receiver.position"},
		{"[receiver]\nposition = [97.0, 8.0, 400.0]\n", "2: receiver.position"},
		{"[receiver]\nsystems = [\"gps\"]\n", "2: receiver.systems: \"gps\" is not known"},
		{"[receiver]\nconfigure_baud = 12345\n", "2: receiver.configure_baud"},
		{"[receiver]\nsurvey = \"1s\"\n", "2: receiver.survey"},
		{"[receiver]\nsurvey_accuracy = 0.0\n", "2: receiver.survey_accuracy"},
		{"[export]\nshm_unit = 256\n", "2: export.shm_unit"},
		{"[export]\nptp4l_domain = -1\n", "2: export.ptp4l_domain"},
		{"[export]\nptp4l_transport_specific = 2\n", "2: export.ptp4l_transport_specific"},
		{"[export]\nptp4l_holdover_class = 6\n", "2: export.ptp4l_holdover_class"},
		{"[clock]\nsource = \"none\"\n[export]\nchrony_sock = \"/run/x\"\n", "3: export"},
		{"[system_clock]\nmode = \"follow\"\n", "2: system_clock.mode"},
		{"system_clock = \"follow\"\n", "1: system_clock.mode"},
		{"system_clock = true\n", "1: system_clock: is"},
		{"system_clock = { mood = \"off\" }\n", "1: system_clock.mood"},
		{"system_clock = \"off\"\n[system_clock]\nstep = \"start\"\n", "2: system_clock"},
		{"system_clock = \"discipline\"\n", ""},
		{"system_clock = { mode = \"observe\", step = \"never\" }\n", ""},
		{"[system_clock]\nstep = \"always\"\n", "2: system_clock.step"},
		{"[system_clock]\nstep_threshold = \"1s\"\n", "2: system_clock.step_threshold"},
		{"[clock]\nsource = \"system\"\n[system_clock]\nmode = \"observe\"\n", "4: system_clock.mode"},
		{"[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n[system_clock]\nmode = \"discipline\"\n", "6: system_clock.mode"},
		{"[[phc]]\ndevice = \"\"\n", "2: phc[0].device"},
		{"[[phc]]\ndevice = \"eth0\"\n", "2: phc[0].device: \"eth0\" is the clock that the pulses steer"},
		{"[[phc]]\ndevice = \"eth1\"\n[[phc]]\ndevice = \"eth1\"\n", "4: phc[1].device: \"eth1\" is named twice"},
		{"[[witness]]\nrequired = true\n", "1: witness[0].address"},
		{"[[witness]]\naddress = \"a\"\n[[witness]]\naddress = \"a\"\nnts = false\n", "4: witness[1].address: \"a\" is named twice"},
		{"[[witness]]\naddress = \"a:b\"\n", "2: witness[0].address"},
		{"[[witness]]\naddress = \"a\"\nmax_offset = \"2s\"\n", "3: witness[0].max_offset"},
		{"[[witness]]\naddress = \"a\"\ninterval = \"1s\"\n", "3: witness[0].interval"},
		{"[[witness]]\naddress = \"a\"\nnts = false\nca = \"/nowhere\"\n", "4: witness[0].ca: is not used"},
		{"[receiver]\nbaud = \"auto\"\nconfigure = true\nposition = [47.0, 8.0, 400.0]\nsystems = [\"GPS\", \"Galileo\"]\n[export]\nchrony_sock = \"/run/c.sock\"\nshm_unit = 2\nptp4l = \"/run/ptp4l\"\n[system_clock]\nmode = \"discipline\"\nstep = \"start\"\n[[phc]]\ndevice = \"eth1\"\n[[witness]]\naddress = \"[2001:db8::1]:4460\"\nrequired = true\n[[witness]]\naddress = \"2001:db8::1\"\nnts = false\n[[witness]]\naddress = \"fe80::1%eth0\"\nnts = false\n", ""},
		{"", ""},
		{"[pulse]\nsource = \"sim\"\n[clock]\nsource = \"sim\"\n[sim]\nstart = \"2036-02-07T06:00:00Z\"\noscillator = \"ocxo\"\n", ""},
		{"[pulse]\nsource = \"extts\"\nedge = \"falling\"\nwidth = \"100ms\"\nbias = \"-3ns\"\ncable = \"85ns\"\npin = -1\n[clock]\ndevice = \"/dev/ptp0\"\n[discipline]\nservo = \"pi\"\n", ""},
		{"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\nlimit = \"1us\"\nbias = \"11.7us\"\n[[pulse.compare]]\nsource = \"extts\"\nchannel = 1\npin = 1\nwidth = \"100ms\"\n", ""},
		{"[pulse]\nsource = \"none\"\n[clock]\nsource = \"none\"\n[leap]\nfile = \"\"\n", ""},
	} {
		p := write(t, c.text)
		_, err := Load(p)
		if c.want == "" {
			if err != nil {
				t.Errorf("%q: %v", c.text, err)
			}
			continue
		}
		if err == nil || !strings.HasPrefix(err.Error(), p+":"+c.want) {
			t.Errorf("%q:\n got %v\nwant %s:%s", c.text, err, p, c.want)
		}
		if !strings.Contains(err.Error(), "; ") {
			t.Errorf("%q: no remedy in %v", c.text, err)
		}
		if code := exitcode.Of(err); code != exitcode.Config {
			t.Errorf("%q: exit code %d, want 78", c.text, code)
		}
	}
}

// The delay is given, or follows from length and velocity factor.
func TestCableDelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want time.Duration
	}{
		{"", 0},
		{"cable = \"85ns\"\n", 85 * time.Nanosecond},
		{"cable_length = 20\n", 101 * time.Nanosecond},
		{"cable_length = 20.0\nvelocity_factor = 0.85\n", 78 * time.Nanosecond},
	} {
		s, err := Load(write(t, "[pulse]\n"+c.text+"[[pulse.compare]]\nsource = \"kernel\"\ndevice = \"/dev/pps1\"\n"+c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if got, also := s.EngineSettings().Cable, s.CompareConfigs()[0].Cable; got != c.want || also != c.want {
			t.Errorf("%q: %v, compared pulse %v; want %v", c.text, got, also, c.want)
		}
	}
	a, _ := Load(write(t, "[pulse]\ncable_length = 20\n"))
	b, _ := Load(write(t, "[pulse]\ncable_length = 30\nvelocity_factor = 0.8\n"))
	if c := a.Changes(b); len(c.Restart) > 0 || len(c.Reloaded) != 2 {
		t.Errorf("another length: %+v", c)
	}
}

func TestLeapTablesInOrderOfTrust(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "leap")
	if err := os.WriteFile(bad, []byte("nonsense\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(write(t, "[leap]\nfile = \""+bad+"\"\n")); err != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), ":2: leap.file") || s.LatestLeapTable().Source != "builtin" {
		t.Errorf("damaged: %v, %q", err, s.Warnings)
	}
	s, err := Load(write(t, "[leap]\nfile = \""+bad+".none\"\n"))
	if err != nil || len(s.Warnings) == 0 || s.LatestLeapTable().Source != "builtin" {
		t.Errorf("missing: %v, %q", err, s.Warnings)
	}
	expired := "#@ 3692217600\n2272060800 10\n" // 2017
	if err := os.WriteFile(bad, []byte(expired), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Load(write(t, "[leap]\nfile = \""+bad+"\"\n")); err != nil || s.LatestLeapTable().Source != "builtin" {
		t.Errorf("expired: %v; the newer built in must win", err)
	}

	const none = "file = \"\"\n"
	if s, err := Load(write(t, "[leap]\n"+none+"zone = \""+bad+"\"\n")); err != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), ":3: leap.zone") || !strings.Contains(strings.Join(s.Warnings, "\n"), "want a zone of right/") {
		t.Errorf("damaged zone: %v, %q", err, s.Warnings)
	}
	if s, err := Load(write(t, "[leap]\n"+none+"zone = \""+bad+".none\"\n")); err != nil || len(s.LeapTables) != 1 || !strings.Contains(strings.Join(s.Warnings, "\n"), ":3: leap.zone: open") {
		t.Errorf("missing zone: %v, %q", err, s.Warnings)
	}
	if s, err := Load(write(t, "[leap]\n"+none+"zone = \"\"\n")); err != nil || len(s.LeapTables) != 1 || s.EngineSettings().Table.Source != "builtin" || s.LeapProof() != leap.ProofAuto {
		t.Errorf("neither: %v", err)
	}
	const zone = "/usr/share/zoneinfo/right/UTC"
	if _, err := os.Stat(zone); err != nil {
		t.Skip("no " + zone + ": package tzdata or tzdata-legacy")
	}
	s, err = Load(write(t, "[leap]\nfile = \""+bad+"\"\n"))
	if err != nil || len(s.LeapTables) != 3 || s.EngineSettings().Table.Source != bad || s.EngineSettings().Tables[0].Source != zone || s.EngineSettings().Tables[1].Source != "builtin" {
		t.Errorf("all three, in their order: %v, %v", err, s.LeapTables)
	}
	if !strings.Contains(strings.Join(s.Warnings, "\n"), bad+" expired on 2017-01-01 and is ignored") {
		t.Errorf("warnings %q", s.Warnings)
	}
}

// A file that is damaged while refclockd runs, as while another program writes it, takes
// nothing from it; one that is removed does.
func TestDamagedLeapTableIsKeptOverAReload(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "list")
	conf := write(t, "[leap]\nfile = \""+list+"\"\nzone = \"\"\n")
	const good = "#@ 3692217600\n2272060800 10\n"
	var running *Settings
	for _, c := range []struct {
		name, text string
		want       string // of the first table
	}{
		{"good", good, list}, {"damaged", "nonsense\n", list}, {"still damaged", "", list}, {"good again", good, list}, {"removed", "-", "builtin"}, {"damaged after that", "x", "builtin"},
	} {
		if os.Remove(list); c.text != "-" {
			if err := os.WriteFile(list, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s, err := Load(conf)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if running != nil {
			KeepTables(s, running)
		}
		if got := s.LeapTables; got[0].Source != c.want || got[len(got)-1].Source != "builtin" {
			t.Errorf("%s: %v", c.name, got)
		}
		running = s
	}
}

// What a file beside the configuration holds is no error of the configuration.
func TestWitnessWaitsForItsAuthorities(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "ca")
	if err := os.WriteFile(text, []byte("hello\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/nonexistent/ca", text} {
		s, err := Load(write(t, "[[witness]]\naddress = \"a\"\nca = \""+path+"\"\n"))
		if err != nil || len(s.Servers) != 1 || s.Servers[0].CA != path || !strings.Contains(strings.Join(s.Warnings, "\n"), ":3: witness[0].ca") {
			t.Errorf("%s: %v, %q", path, err, s.Warnings)
		}
	}
}

func TestSystemClockShortAndLongForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]SystemClock{
		"system_clock = \"observe\"\n":                                   {Mode: "observe"},
		"system_clock = { mode = \"discipline\", step = \"never\" }\n":   {Mode: "discipline", Step: follow.StepNever},
		"[system_clock]\nstep = \"start\"\n":                             {Mode: "off", Step: follow.StepStart},
		"[system_clock]\nmode = \"observe\"\nstep_threshold = \"1ms\"\n": {Mode: "observe"},
	} {
		want.StepThreshold = Default().SystemClock.StepThreshold
		if s, err := Load(write(t, text)); err != nil || s.SystemClock != want {
			t.Errorf("%q: %+v, %v", text, s.SystemClock, err)
		}
	}
}

func TestTypedSettings(t *testing.T) {
	t.Parallel()
	s, err := Load(write(t, "[[witness]]\naddress = \"127.0.0.1:1\"\nnts = false\nrequired = true\n[receiver]\nbaud = \"auto\"\nconfigure = true\nposition = [47.0, 8.0, 400.0]\n"))
	if err != nil {
		t.Fatal(err)
	}
	if set := s.receiverSetup(); set == nil || set.Fixed == nil || set.Layers != 0 || set.Pulse == nil {
		t.Errorf("receiver setup %+v", set)
	}
	if w := s.watchConfig(); !w.Fixed || w.Place == nil {
		t.Errorf("a configured position does not fix the antenna: %+v", w)
	}
	if r := s.Receiver.Rates(); len(r) < 5 {
		t.Errorf("automatic rates %v", r)
	}
	if !s.RequiresWitness() || s.Servers[0].MaxOffset != defaultWitnessOffset || s.Servers[0].Interval != defaultWitnessInterval {
		t.Errorf("witness %+v", s.Servers[0])
	}
	s, err = Load(write(t, ""))
	if err != nil || s.RequiresWitness() || s.receiverSetup() != nil || len(s.Receiver.Rates()) != 1 {
		t.Errorf("defaults: %v, %v, %+v, %v", err, s.RequiresWitness(), s.receiverSetup(), s.Receiver.Rates())
	}
}

// Booleans of leap.prove still work, with a warning. A virtual receiver is never
// waited for.
func TestProofOfTheLeapCount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		want leap.Proof
		warn string
	}{
		{"[leap]\nprove = true\n", leap.ProofAlways, `write "always"`},
		{"[leap]\nprove = false\n", leap.ProofAuto, `write "auto"`},
		{"", leap.ProofAuto, ""},
		{"[leap]\nprove = \"never\"\n", leap.ProofNever, ""},
		{"[leap]\nprove = \"always\"\n", leap.ProofAlways, ""},
		{"[clock]\nsource = \"sim\"\n[pulse]\nsource = \"sim\"\n[leap]\nprove = \"always\"\n", leap.ProofNever, ""},
	} {
		s, err := Load(write(t, c.text))
		if err != nil || s.LeapProof() != c.want {
			t.Errorf("%q: %v, %v", c.text, s.LeapProof(), err)
			continue
		}
		if got := strings.Join(s.Warnings, "\n"); strings.Contains(got, "leap.prove") != (c.warn != "") || !strings.Contains(got, c.warn) {
			t.Errorf("%q: %q", c.text, got)
		}
	}
}

// How labels are read is configured, and by default nothing is added to them.
func TestHowLabelsAreRead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text       string
		scale      gnss.TimeScale
		offset     time.Duration
		confidence string
	}{
		{"", gnss.ScaleUTC, 0, "fix"},
		{"time_scale = \"gps\"\n", gnss.ScaleGPS, 0, "fix"},
		{"time_scale = \"tai\"\nlabel_offset = \"-1s\"\n", gnss.ScaleTAI, -time.Second, "fix"},
		{"min_confidence = \"reported_fix\"\n", gnss.ScaleUTC, 0, "reported_fix"},
		{"min_confidence = \"stated\"\nlabel_offset = \"1s\"\n", gnss.ScaleUTC, time.Second, "stated"},
	} {
		s, err := Load(write(t, "[receiver]\n"+c.text))
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if d := s.decodeConfig(); d.TimeScale != c.scale || d.LabelOffset != c.offset || d.MinConfidence.String() != c.confidence {
			t.Errorf("%q: %v %v %v", c.text, d.TimeScale, d.LabelOffset, d.MinConfidence)
		}
	}
}

// receiver.configure can leave the pulse as it is.
func TestConfigureLeavesThePulse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{"configure = true\n": true, "configure = true\nconfigure_pulse = false\n": false} {
		s, err := Load(write(t, "[receiver]\n"+text))
		if err != nil || (s.receiverSetup().Pulse != nil) != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestSetsSystemClock(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"": false, "[system_clock]\nmode = \"observe\"\n": false, "[export]\nptp4l = \"/run/p\"\n": false,
		"[clock]\nsource = \"system\"\n": true, "[system_clock]\nmode = \"discipline\"\n": true,
		"[export]\nchrony_sock = \"/run/c\"\n": true, "[export]\nshm_unit = 0\n": true,
	} {
		s, err := Load(write(t, text))
		if err != nil || s.SetsSystemClock() != want {
			t.Errorf("%q: %v, %v", text, !want, err)
		}
	}
}

func TestTheFolderOfTheHistory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, dir string
		memory    bool
	}{
		{"", "/var/lib/refclock/history", false},
		{"state_dir = \"/data\"\n", "/data/history", false},
		{"[history]\ndir = \"/mnt/h\"\n", "/mnt/h", false},
		{"[history]\ndir = \"\"\n", "/run/refclock/history", true},
	} {
		s, err := Load(write(t, c.text))
		if err != nil {
			t.Fatal(err)
		}
		if dir, memory := s.HistoryDir(); dir != c.dir || memory != c.memory {
			t.Errorf("%q: %s, %v; want %s, %v", c.text, dir, memory, c.dir, c.memory)
		}
	}
	if dir, err := HistoryDirOf(write(t, "state_dir = \"/data\"\n[receiver]\nbaud = \"fast\"\n")); err != nil || dir != "/data/history" {
		t.Errorf("beside a problem of another key: %s, %v", dir, err)
	}
	if dir, err := HistoryDirOf(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a file: %s, %v", dir, err)
	}
	if _, err := Load(write(t, "[history]\nmax_size = 9\n")); err == nil || !strings.Contains(err.Error(), "2: history.max_size: 9 is out of range; want 10 to 1000000 MB") {
		t.Error(err)
	}
}
