package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) {
	os.Exit(proctest.Main(m, func() int { return run(os.Args[1:], os.Stderr) }))
}

// startDaemon starts the daemon itself on a configuration.
func startDaemon(t *testing.T, conf string) *proctest.Process {
	t.Helper()
	return proctest.StartCmd(t, proctest.Self(t, "-config", write(t, conf)))
}

// find returns the path of another project's program that is run as root, or
// skips.
func find(t *testing.T, name string) string {
	t.Helper()
	proctest.RequireRoot(t, name+" is run as a daemon")
	return proctest.Require(t, name)
}

// The appliance's true time is the system clock's at its start, so chronyd must
// find next to no difference.
func TestChronydTakesTheTimeFromTheSocket(t *testing.T) {
	t.Parallel()
	chronyd, chronyc := find(t, "chronyd"), find(t, "chronyc")
	dir := proctest.ShortDir(t)
	conf := filepath.Join(dir, "c")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "refclock SOCK %[1]s/s poll 0 refid NOON\nbindcmdaddress %[1]s/cmd\ncmdport 0\nport 0\npidfile %[1]s/pid\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	proctest.Start(t, chronyd, "-x", "-d", "-U", "-u", "root", "-f", conf)
	proctest.Until(t, "chronyd opens its socket", func() bool { _, err := os.Stat(dir + "/s"); return err == nil })
	startDaemon(t, virtual(dir)+fmt.Sprintf("[export]\nchrony_sock = %q\n", dir+"/s"))
	var out []byte
	proctest.Until(t, "chronyd selects the clock", func() bool {
		out, _ = exec.Command(chronyc, "-h", dir+"/cmd", "-n", "-c", "sources").CombinedOutput()
		return regexp.MustCompile(`(?m)^#,\*,NOON,`).Match(out)
	})
	t.Logf("chronyc -n -c sources: %s", out)
	for l := range strings.Lines(string(out)) {
		if f := strings.Split(strings.TrimSpace(l), ","); len(f) > 9 && f[2] == "NOON" {
			var off float64
			fmt.Sscan(f[8], &off)
			if off < -0.01 || off > 0.01 {
				t.Errorf("chronyd is %v s off the daemon's clock", off)
			}
		}
	}
}

// ntpshmmon reads the segment that ntpd would.
func TestSharedMemoryHoldsTheTime(t *testing.T) {
	t.Parallel()
	ntpshmmon := find(t, "ntpshmmon")
	const unit = 7
	t.Cleanup(func() { exec.Command("ipcrm", "-M", fmt.Sprintf("%#x", 0x4e545030+unit)).Run() })
	startDaemon(t, virtual(proctest.ShortDir(t))+fmt.Sprintf("[export]\nshm_unit = %d\n", unit))
	row := regexp.MustCompile(`(?m)^sample\s+NTP7\s+(\S+)\s+(\S+)\s+(\S+)\s+(\d+)\s+(-?\d+)`)
	var m [][]string
	proctest.Until(t, "ntpshmmon sees samples", func() bool { // it looks for segments only when it starts
		out, _ := exec.Command(ntpshmmon, "-n", "2", "-t", "3").CombinedOutput()
		m = row.FindAllStringSubmatch(string(out), -1)
		return len(m) > 0
	})
	t.Log(m[0][0])
	var clock, real float64 // for ntpshmmon, Clock is the system's and Real the reference's
	fmt.Sscan(m[0][2], &clock)
	fmt.Sscan(m[0][3], &real)
	if d := real - clock; d < -0.01 || d > 0.01 || m[0][4] != "0" {
		t.Errorf("real - clock = %g s, leap %s: %s", d, m[0][4], m[0][0])
	}
}

// ptp4l announces that its clock is locked, and after the daemon has ended that it
// is not.
func TestPTP4LAnnouncesTheStateOfTheClock(t *testing.T) {
	t.Parallel()
	ptp4l, pmc, unshare := find(t, "ptp4l"), find(t, "pmc"), find(t, "unshare")
	find(t, "ip")
	dir := proctest.ShortDir(t)
	conf := filepath.Join(dir, "c")
	if err := os.WriteFile(conf, fmt.Appendf(nil, "[global]\nuds_address %[1]s/p\ntime_stamping software\n[nm0]\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	// A namespace of its own: Announce messages go nowhere else.
	proctest.Start(t, unshare, "-n", "sh", "-c", "ip link add nm0 type veth peer name nm1 && ip addr add 10.8.0.1/24 dev nm0 && ip link set nm0 up && ip link set nm1 up && exec "+ptp4l+" -m -S --free_running=1 -f "+conf)
	proctest.Until(t, "ptp4l opens its socket", func() bool { _, err := os.Stat(dir + "/p"); return err == nil })
	d := startDaemon(t, virtual(dir)+fmt.Sprintf("[export]\nptp4l = %q\n", dir+"/p"))
	var out []byte
	shows := func(k, v string) bool {
		return regexp.MustCompile(`(?m)^\s*` + k + `\s+` + v + `\s*$`).Match(out)
	}
	ask := func() {
		out, _ = exec.Command(pmc, "-u", "-s", dir+"/p", "-i", dir+"/pmc", "-b", "0", "GET GRANDMASTER_SETTINGS_NP").CombinedOutput()
	}
	proctest.Until(t, "ptp4l has the class of a locked clock", func() bool { ask(); return shows("clockClass", "6") })
	t.Logf("while it is locked: %s", out)
	for k, v := range map[string]string{"currentUtcOffset": "37", "leap61": "0", "leap59": "0", "currentUtcOffsetValid": "1", "ptpTimescale": "1", "timeTraceable": "1", "frequencyTraceable": "1", "timeSource": "0x20"} {
		if !shows(k, v) {
			t.Errorf("pmc does not show %s %s", k, v)
		}
	}
	if err := d.Stop(); err != nil {
		t.Errorf("the daemon ended with %v", err)
	}
	proctest.UntilState(t, "ptp4l no longer announces a locked clock", func() (bool, string) { // pmc waits only a tenth of a second for an answer
		ask()
		return shows("clockClass", "52") && shows("timeTraceable", "0"), string(out)
	})
	t.Logf("after it: %s", out)
}
