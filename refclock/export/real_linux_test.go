package export

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
	"noonmark/refclock/status"
)

// need skips, naming what is missing.
func need(t *testing.T, progs ...string) {
	t.Helper()
	proctest.RequireRoot(t, "daemons are run")
	for _, p := range progs {
		proctest.Require(t, p)
	}
}

// ahead is how far the exported clock is in front of the system clock.
const ahead = 5 * time.Millisecond

func sample() Sample {
	now := time.Now().UnixNano()
	return Sample{Real: now, True: now + int64(ahead), Bound: time.Microsecond, Offset: 37}
}

func TestRealChronySOCK(t *testing.T) {
	need(t, "chronyd", "chronyc")
	dir := proctest.ShortDir(t)
	conf := filepath.Join(dir, "c")
	os.WriteFile(conf, fmt.Appendf(nil, "refclock SOCK %[1]s/s poll 0 refid NOON\nbindcmdaddress %[1]s/cmd\ncmdport 0\nport 0\npidfile %[1]s/pid\n", dir), 0o600)
	proctest.Start(t, "chronyd", "-x", "-d", "-U", "-u", "root", "-f", conf)
	e := NewSock(filepath.Join(dir, "s"))
	defer e.Close()
	line := regexp.MustCompile(`(?m)^#\*\sNOON.*$`)
	var out []byte
	ask := func(more ...string) {
		out, _ = exec.Command("chronyc", append([]string{"-h", dir + "/cmd", "-n"}, more...)...).CombinedOutput()
	}
	proctest.Until(t, "chronyd selects the SOCK clock", func() bool {
		if err := e.Export(sample()); err != nil {
			return false
		}
		ask("sources")
		return line.Match(out)
	})
	t.Logf("chronyc -n sources:\n%s", out)
	proctest.UntilState(t, "chronyd answers once more", func() (bool, string) {
		ask("-c", "sources")
		return strings.Contains(string(out), ",NOON,"), string(out)
	})
	var off float64
	for _, l := range strings.Split(string(out), "\n") {
		if f := strings.Split(l, ","); len(f) > 8 && f[2] == "NOON" {
			fmt.Sscan(f[8], &off) // the last measurement, + = system clock fast
		}
	}
	if off = -off; off < 0.9*ahead.Seconds() || off > 1.1*ahead.Seconds() {
		t.Errorf("chronyd sees the system clock %g s behind, want %v\n%s", off, ahead, out)
	}
}

func TestRealSHM(t *testing.T) {
	need(t, "ntpshmmon")
	e, err := NewSHM(5)
	if err != nil {
		t.Fatal(err)
	}
	defer exec.Command("ipcrm", "-M", fmt.Sprintf("%#x", shmKey+5)).Run()
	defer e.Close()
	out := proctest.Start(t, "ntpshmmon", "-n", "3", "-t", "20")
	row := regexp.MustCompile(`(?m)^sample\s+NTP5\s+(\S+)\s+(\S+)\s+(\S+)\s+(\d+)\s+(-?\d+)`)
	var m [][]string
	proctest.Until(t, "ntpshmmon sees samples", func() bool {
		if err := e.Export(sample()); err != nil {
			t.Fatal(err)
		}
		m = row.FindAllStringSubmatch(out.Output.String(), -1)
		return len(m) > 0
	})
	t.Log(m[0][0])
	var clock, real float64 // ntpshmmon's words: Clock is the system's, Real the reference's
	fmt.Sscan(m[0][2], &clock)
	fmt.Sscan(m[0][3], &real)
	if d := real - clock; d < 0.0049 || d > 0.0051 {
		t.Errorf("ntpshmmon sees real - clock = %g s, want %v: %s", d, ahead, m[0][0])
	}
}

// ptp4lIn runs the real ptp4l in a network namespace of its own, so that its
// messages go nowhere else.
func ptp4lIn(t *testing.T, dir, global string) {
	t.Helper()
	need(t, "ptp4l", "pmc", "ip", "unshare")
	conf := filepath.Join(dir, "c")
	os.WriteFile(conf, fmt.Appendf(nil, "[global]\nuds_address %s/s\ntime_stamping software\n%s[nm0]\n", dir, global), 0o600)
	proctest.Start(t, "unshare", "-n", "sh", "-c", "ip link add nm0 type veth peer name nm1 && ip addr add 10.8.0.1/24 dev nm0 && ip link set nm0 up && ip link set nm1 up && exec ptp4l -m -S --free_running=1 -f "+conf)
	proctest.Until(t, "ptp4l opens its socket", func() bool { _, err := os.Stat(dir + "/s"); return err == nil })
}

// settings returns the grandmaster settings that ptp4l reports. pmc waits only a tenth of
// a second for an answer, so it is run until it has one.
func settings(t *testing.T, dir string, more ...string) (out string) {
	t.Helper()
	args := append(more, "-u", "-s", dir+"/s", "-i", dir+"/pmc", "-b", "0", "GET GRANDMASTER_SETTINGS_NP")
	proctest.UntilState(t, "pmc has an answer", func() (bool, string) {
		b, err := exec.Command("pmc", args...).CombinedOutput()
		out = string(b)
		return err == nil && strings.Contains(out, "clockClass"), fmt.Sprintf("%v\n%s", err, out)
	})
	return out
}

// gPTPProfile are the settings of linuxptp's gPTP.cfg that concern management.
const gPTPProfile = `gmCapable 1
priority1 248
transportSpecific 0x1
ptp_dst_mac 01:80:C2:00:00:0E
network_transport L2
delay_mechanism P2P
follow_up_info 1
assume_two_step 1
path_trace_enabled 1
`

// Under the gPTP profile ptp4l is silent to messages without its transportSpecific,
// which is found out, or configured.
func TestRealPTP4LWithGPTP(t *testing.T) {
	dir := proctest.ShortDir(t)
	ptp4lIn(t, dir, gPTPProfile)
	s := healthy()
	want := grandmaster(&s, s.Mono, 52)
	wrong := NewPTP4L(PTP4LConfig{Path: dir + "/s", Dir: dir})
	if err := wrong.Set(want); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("another transportSpecific: %v", err)
	}
	for _, configured := range []int{-1, 1} {
		p := NewPTP4L(PTP4LConfig{Path: dir + "/s", Dir: dir, TransportSpecific: configured})
		want.Variance++
		if err := p.Set(want); err != nil {
			t.Fatal(err)
		}
		if out := settings(t, dir, "-t", "1"); !strings.Contains(out, fmt.Sprintf("offsetScaledLogVariance %#04x", want.Variance)) {
			t.Errorf("configured as %d:\n%s", configured, out)
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The telecom profile's class of a holdover that is out of specification.
func TestRealPTP4LWithTelecomClass(t *testing.T) {
	dir := proctest.ShortDir(t)
	ptp4lIn(t, dir, "dataset_comparison G.8275.x\nG.8275.defaultDS.localPriority 128\ndomainNumber 24\n")
	s := healthy()
	s.State, s.Bound = status.Holdover, time.Millisecond
	p := NewPTP4L(PTP4LConfig{Path: dir + "/s", Dir: dir, Domain: 24, HoldoverClass: 150})
	defer p.Close()
	if err := p.Set(grandmaster(&s, s.Mono, 150)); err != nil {
		t.Fatal(err)
	}
	if out := settings(t, dir, "-d", "24"); !regexp.MustCompile(`(?m)^\s*clockClass\s+150\s*$`).MatchString(out) {
		t.Errorf("another class:\n%s", out)
	}
}

func TestRealPTP4L(t *testing.T) {
	dir := proctest.ShortDir(t)
	ptp4lIn(t, dir, "")
	s := healthy()
	s.LeapAt, s.LeapSign = s.Clock.Add(time.Hour), 1
	want := grandmaster(&s, s.Mono, 52)
	p := NewPTP4L(PTP4LConfig{Path: dir + "/s", Dir: dir, TransportSpecific: -1})
	if err := p.Set(want); err != nil {
		t.Fatal(err)
	}
	out := settings(t, dir)
	t.Logf("pmc:\n%s", out)
	for k, v := range map[string]string{
		"clockClass": "6", "clockAccuracy": "0x23", "offsetScaledLogVariance": fmt.Sprintf("%#04x", want.Variance),
		"currentUtcOffset": "37", "leap61": "1", "leap59": "0", "currentUtcOffsetValid": "1", "ptpTimescale": "1",
		"timeTraceable": "1", "frequencyTraceable": "1", "timeSource": "0x20",
	} {
		if !regexp.MustCompile(`(?m)^\s*` + k + `\s+` + v + `\s*$`).MatchString(out) {
			t.Errorf("pmc does not show %s %s", k, v)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(dir + "/ptp4l-client.*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
