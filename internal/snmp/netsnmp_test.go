package snmp

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/appliance"
	"noonmark/internal/observe"
	"noonmark/internal/proctest"
	"noonmark/phc"
	"noonmark/phc/tai"
	"noonmark/refclock/status"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, func() int { return 0 })) }

// netsnmp is a command of net-snmp that keeps nothing and reads no MIBs.
func netsnmp(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(proctest.Require(t, name), args...)
	cmd.Env = append(os.Environ(), "MIBS=", "SNMP_PERSISTENT_DIR="+dir, "SNMPCONFPATH="+dir)
	return cmd
}

// publish publishes a snapshot of a clock.
func publish(t *testing.T, dir string, state status.State, level uint8) {
	t.Helper()
	w, err := status.Create(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	now := tai.FromUnix(time.Now().Unix(), 0, 37)
	if err := w.Write(&status.Snapshot{State: state, Reason: "disciplined", Kind: status.PHCClock, Mono: phc.MonoRaw(), Clock: now, RefTime: now, TAIOffset: 37, Bound: 120, BoundRate: 2, Limit: 1e5,
		Stratum: level, RefID: [4]byte{'G', 'P', 'S'}, Receiver: "/dev/ttyAMA0"}); err != nil {
		t.Fatal(err)
	}
}

// snmpd with refclockctl, walked by snmpwalk.
func TestSnmpwalkShowsTheClock(t *testing.T) {
	t.Parallel()
	proctest.Require(t, "snmpd")
	ctl := proctest.Program(t, "refclockctl")
	dir := proctest.ShortDir(t)
	publish(t, dir, status.Locked, 1)
	agent := fmt.Sprintf("udp:127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	conf := proctest.Write(t, filepath.Join(dir, "c"), fmt.Sprintf("rocommunity public 127.0.0.1\npass_persist %s %s snmp -pass-persist -snapshot %s/status\n", Root, ctl, dir))
	d := proctest.StartCmd(t, netsnmp(t, dir, "snmpd", "-f", "-Lo", "-C", "-c", conf, "-I", "-smux", agent))
	get := func(name, oid string) string {
		out, _ := netsnmp(t, dir, name, "-v", "2c", "-c", "public", "-On", "-t", "1", agent, oid).CombinedOutput()
		return string(out)
	}
	// shows walks until the objects are all there: snmpd may not answer yet, or a walk ends early because
	// refclockctl is late. Then one that is unwanted is not there.
	shows := func(what string, unwanted string, want ...string) {
		t.Helper()
		proctest.UntilState(t, what, func() (bool, string) {
			if unwanted == "" {
				publish(t, dir, status.Locked, 1) // it must not look dead
			}
			out := get("snmpwalk", Root)
			for _, x := range want {
				if !strings.Contains(out, Root+x) {
					return false, fmt.Sprintf("no %s in\n%s", x, out)
				}
			}
			if unwanted != "" && strings.Contains(out, Root+unwanted) {
				t.Errorf("%s is shown:\n%s", unwanted, out)
			}
			t.Log(out)
			return true, ""
		}, d)
	}
	shows("snmpd shows the clock", "",
		".1.1.1.0 = STRING: \"noonmark refclockd\"", ".1.1.5.0 = Gauge32: 1000000000", ".1.2.1.0 = INTEGER: 5", ".1.2.2.0 = Gauge32: 1", ".1.2.3.0 = Gauge32: 1",
		".1.2.4.0 = STRING: \"GPS /dev/ttyAMA0\"", ".1.2.9.0 = Hex-STRING: ", ".1.3.1.1.3.1 = STRING: \"GPS\"")
	proctest.UntilState(t, "an object that does not exist is not shown", func() (bool, string) {
		out := get("snmpget", Root+".1.2.99.0")
		return strings.Contains(out, "No Such"), out
	}, d)
	// refclockd is gone: no figure of before is shown.
	if err := os.Remove(filepath.Join(dir, "status")); err != nil {
		t.Fatal(err)
	}
	shows("without refclockd there is no figure", ".1.2.5.0", ".1.2.1.0 = INTEGER: 1\n", ".1.2.2.0 = Gauge32: 16", ".1.2.6.0 = Gauge32: 0")
}

// snmptrapd receives what refclockctl sends with snmptrap.
func TestSnmptrapdReceivesNotifications(t *testing.T) {
	t.Parallel()
	proctest.Require(t, "snmptrap")
	proctest.Require(t, "snmptrapd")
	ctl := proctest.Program(t, "refclockctl")
	dir := proctest.ShortDir(t)
	to := fmt.Sprintf("udp:127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	conf := proctest.Write(t, filepath.Join(dir, "c"), "disableAuthorization yes\n")
	d := proctest.StartCmd(t, netsnmp(t, dir, "snmptrapd", "-f", "-Lo", "-On", "-C", "-c", conf, to))
	d.WaitFor(t, "NET-SNMP version")
	send := netsnmp(t, dir, "snmptrap")
	cmd := exec.Command(ctl, "snmp", "-traps", "-heartbeat", "1s", "-snapshot", filepath.Join(dir, "status"), "-dir", dir, "--", "-v", "2c", "-c", "public", to)
	cmd.Env = send.Env
	n := proctest.StartCmd(t, cmd)
	d.WaitFor(t, Root+".0.8") // a heartbeat: it has seen that nothing runs
	proctest.UntilState(t, "the changes are received", func() (bool, string) {
		publish(t, dir, status.Locked, 1) // it must not look dead
		out := d.Output.String()
		for _, want := range []string{Root + ".0.1", Root + ".0.2", Root + ".1.2.1.0 = INTEGER: 5", Root + ".1.2.2.0 = Gauge32: 1", "mode changed from notRunning to syncToRefclock: locked, disciplined", Root + ".1.2.9.0 = Hex-STRING:"} {
			if !strings.Contains(out, want) {
				return false, fmt.Sprintf("no %q in\n%s", want, out)
			}
		}
		return true, ""
	}, d, n)
	if err := n.Stop(); err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// A server without refclockd has notifications too: only events there are none.
func TestNotificationsOfAServerWithoutRefclockd(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(proctest.Program(t, "refclockctl"), "snmp", "-traps", "-heartbeat", "1s", "-snapshot", filepath.Join(dir, "status"), "-counters", filepath.Join(dir, observe.ServingName),
		"-config", filepath.Join(dir, "none.toml"), "-server", filepath.Join(dir, "none.toml"), "--", "-v", "2c")
	cmd.Env = []string{"PATH=" + dir} // nothing is sent
	n := proctest.StartCmd(t, cmd)
	n.WaitFor(t, "heartbeat: notRunning is not sent: run snmptrap")
	if err := n.Stop(); err != nil {
		t.Errorf("it ended with %v\n%s", err, n.Output.String())
	}
}

// The counters are those of a running ntsserve that was asked.
func TestSnmpwalkShowsThePacketsOfNtsserve(t *testing.T) {
	t.Parallel()
	proctest.Require(t, "snmpd")
	ctl, query := proctest.Program(t, "refclockctl"), proctest.Program(t, "ntsquery")
	site, err := appliance.Write(proctest.ShortDir(t), appliance.Options{})
	if err != nil {
		t.Skipf("no socket on loopback: %v", err)
	}
	t.Cleanup(site.Close)
	publish(t, site.Dir, status.Locked, 1)
	cmd := exec.Command(proctest.Program(t, "ntsserve"), "-config", site.Config("ntsserve"))
	cmd.Env = append(os.Environ(), "RUNTIME_DIRECTORY="+site.ServerRuntime())
	ntsserve := proctest.StartCmd(t, cmd)
	ntsserve.WaitFor(t, "msg=ready")
	// One request that is answered, and one each of version 7 and of a wrong length.
	if out, err := exec.Command(query, "-plain", "-n", "1", site.NTPAddress()).CombinedOutput(); err != nil {
		t.Fatalf("ntsquery: %v\n%s", err, out)
	}
	c, err := net.Dial("udp", site.NTPAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wrong := make([]byte, 48)
	wrong[0] = 7<<3 | 3
	for _, b := range [][]byte{wrong, {4<<3 | 3}} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	agent := fmt.Sprintf("udp:127.0.0.1:%d", proctest.FreePorts(t, 1)[0])
	conf := proctest.Write(t, filepath.Join(site.Dir, "c"), fmt.Sprintf("rocommunity public 127.0.0.1\npass_persist %s %s snmp -pass-persist -snapshot %s/status -counters %s/%s\n",
		Root, ctl, site.Dir, site.ServerRuntime(), observe.ServingName))
	d := proctest.StartCmd(t, netsnmp(t, site.Dir, "snmpd", "-f", "-Lo", "-C", "-c", conf, "-I", "-smux", agent))
	proctest.UntilState(t, "the packets are counted", func() (bool, string) {
		out, _ := netsnmp(t, site.Dir, "snmpwalk", "-v", "2c", "-c", "public", "-On", "-t", "1", agent, Root+".1.2").CombinedOutput()
		for _, want := range []string{".1.2.12.0 = Counter32: 3\n", ".1.2.13.0 = Counter32: 1\n", ".1.2.14.0 = Counter32: 1\n", ".1.2.15.0 = Counter32: 1\n"} {
			if !strings.Contains(string(out), Root+want) {
				return false, string(out)
			}
		}
		return true, ""
	}, d, ntsserve)
}
