package interop

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Ports of the endpoints whose network changes.
const (
	portWAN    = 123  // only from wan0
	portAway   = 124  // of an address that comes and goes
	portBridge = 125  // only from a bridge
	portAway6  = 126  // of an IPv6 address that comes and goes
	portStay   = 2007 // of the loopback interface, which must not notice
	portStates = 9127 // metrics
)

// endpointStates reads the state of each endpoint from the metrics.
func endpointStates(t *testing.T) (map[string]string, string) {
	t.Helper()
	r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/metrics", portStates))
	if err != nil {
		return nil, err.Error()
	}
	defer r.Body.Close()
	var b strings.Builder
	if err := r.Write(&b); err != nil {
		return nil, err.Error()
	}
	states := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^noonmark_ntp_endpoint_state\{endpoint="([^"]*)",state="([^"]*)"\} 1$`).FindAllStringSubmatch(b.String(), -1) {
		states[m[1]] = m[2]
	}
	return states, b.String()
}

// Interfaces are deleted, made anew, renamed and switched off, addresses and carrier
// come and go, while ntsserve runs with no other right than its unit gives it. It
// notices each change, says what is lacking, and serves again by itself. What is not
// concerned goes on.
func TestNetworkChangesUnderARunningServer(t *testing.T) {
	dir := setup(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("setpriv is missing: apt-get install util-linux")
	}
	snapshot := filepath.Join(dir, "run", "status")
	publish(t, snapshot, nil)
	conf := fmt.Sprintf("[source]\npath = %q\n[metrics]\nlisten = \"127.0.0.1:%d\"\n", snapshot, portStates)
	names := map[string]string{
		"wan": fmt.Sprintf("0.0.0.0:%d%%wan0", portWAN), "away": fmt.Sprintf("10.92.0.9:%d", portAway), "away6": fmt.Sprintf("[fd92::9]:%d", portAway6),
		"bridge": fmt.Sprintf("0.0.0.0:%d%%bridge0", portBridge), "card": fmt.Sprintf("0.0.0.0:%d%%bridge0", portBridge+1000), "stay": fmt.Sprintf("127.0.0.1:%d", portStay),
	}
	for _, e := range []string{
		fmt.Sprintf("address = \"0.0.0.0:%d\"\ninterface = \"wan0\"", portWAN),
		fmt.Sprintf("address = \"10.92.0.9:%d\"", portAway),
		fmt.Sprintf("address = \"[fd92::9]:%d\"", portAway6),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\ninterface = \"bridge0\"", portBridge),
		fmt.Sprintf("address = \"0.0.0.0:%d\"\ninterface = \"bridge0\"\ntimestamps = \"hardware\"", portBridge+1000),
		fmt.Sprintf("address = \"127.0.0.1:%d\"", portStay),
	} {
		conf += "[[endpoint]]\nworkers = 2\n" + e + "\n"
	}
	p := daemon(t, "setpriv", "--bounding-set=-all,+net_bind_service", ours(t, "ntsserve"), "-config", write(t, dir, "ntsserve.toml", conf))

	const (
		add    = "ip link add wan0 type veth peer name wan1 netns HOLDER"
		up     = "ip link set wan0 up"
		addr   = "ip addr add 10.92.0.1/24 dev wan0"
		peer   = "PEER ip addr add 10.92.0.2/24 dev wan1"
		peerUp = "PEER ip link set wan1 up"
	)
	index := func() int {
		i, err := net.InterfaceByName("wan0")
		if err != nil {
			t.Fatal(err)
		}
		return i.Index
	}
	was := 0
	for _, step := range []struct {
		name   string
		do     []string
		states map[string]string // of those that change
		asked  string            // address that answers the peer on portWAN, or empty
	}{
		{"nothing is there", nil, map[string]string{
			"wan": "no_interface", "away": "no_address", "away6": "no_address", "bridge": "no_interface", "card": "no_interface", "stay": "serving"}, ""},
		{"an interface without carrier", []string{add, up, addr}, map[string]string{"wan": "no_carrier"}, ""},
		{"carrier", []string{peer, peerUp}, map[string]string{"wan": "serving"}, "10.92.0.1"},
		{"an address", []string{"ip addr add 10.92.0.9/24 dev wan0", "ip addr add fd92::9/64 dev wan0 nodad"}, map[string]string{"away": "serving", "away6": "serving"}, "10.92.0.1"},
		{"the address leaves", []string{"ip addr del 10.92.0.9/24 dev wan0", "ip addr del fd92::9/64 dev wan0"}, map[string]string{"away": "no_address", "away6": "no_address"}, "10.92.0.1"},
		{"a lost carrier", []string{"PEER ip link set wan1 down"}, map[string]string{"wan": "no_carrier"}, ""},
		{"carrier again", []string{peerUp}, map[string]string{"wan": "serving"}, "10.92.0.1"},
		{"switched off", []string{"ip link set wan0 down"}, map[string]string{"wan": "link_down"}, ""},
		{"renamed", []string{"ip link set wan0 name wan9"}, map[string]string{"wan": "no_interface"}, ""},
		{"named as before", []string{"ip link set wan9 name wan0", up}, map[string]string{"wan": "serving"}, "10.92.0.1"},
		{"made anew at once", []string{"ip link del wan0", add, up, addr, peer, peerUp}, map[string]string{"wan": "serving"}, "10.92.0.1"},
		{"removed", []string{"ip link del wan0"}, map[string]string{"wan": "no_interface"}, ""},
		{"made anew later", []string{add, up, addr, peer, peerUp}, map[string]string{"wan": "serving"}, "10.92.0.1"},
		{"a bridge over it", []string{"ip link add bridge0 type bridge", "ip link set wan0 master bridge0", "ip link set bridge0 up"},
			map[string]string{"bridge": "serving", "card": "no_hardware_timestamps"}, ""},
		{"the bridge leaves", []string{"ip link del bridge0"}, map[string]string{"bridge": "no_interface", "card": "no_interface"}, "10.92.0.1"},
		{"all leaves", []string{"ip link del wan0"}, map[string]string{"wan": "no_interface"}, ""},
	} {
		for _, c := range step.do {
			args := strings.Fields(strings.ReplaceAll(c, "HOLDER", fmt.Sprint(holder)))
			if args[0] == "PEER" {
				args = enter(args[1:]...)
			}
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				t.Fatalf("%s: %s: %v: %s", step.name, c, err, out)
			}
		}
		until(t, step.name+" is noticed", p, func() (bool, string) {
			got, text := endpointStates(t)
			for e, want := range step.states {
				if got[names[e]] != want {
					return false, fmt.Sprintf("%s is %q, want %q\n%s\n%s", e, got[names[e]], want, p.Output.String(), text)
				}
			}
			return true, ""
		})
		if step.asked != "" {
			// An index may be given again only after all others.
			if i := index(); i == was && strings.Contains(step.name, "anew") {
				t.Errorf("%s: the interface still has index %d", step.name, i)
			} else {
				was = i
			}
			until(t, step.name+": a client of wan0 is answered", p, func() (bool, string) {
				return plainly(t, true, step.asked, portWAN).answered, p.Output.String()
			})
		}
		if a := answered(t, false, "127.0.0.1", portStay); !a.answered || a.Stratum != 1 {
			t.Errorf("%s: the endpoint of the loopback interface: %+v", step.name, a)
		}
	}
	for e, n := range map[string]int{"stay": 0, "wan": 4} {
		want := fmt.Sprintf("noonmark_ntp_endpoint_reopened_total{endpoint=%q} %d\n", names[e], n)
		until(t, "the metrics have "+want, p, func() (bool, string) {
			_, text := endpointStates(t)
			return strings.Contains(text, want), fmt.Sprint(regexp.MustCompile(`(?m)^noonmark_ntp_endpoint_reopened.*`).FindAllString(text, -1))
		})
	}
	log := p.Output.String()
	for _, want := range []string{"endpoint=" + names["wan"] + " lack=no_carrier", `msg="endpoint serves as configured again" endpoint=` + names["away"], "endpoint=" + names["wan"] + ` error="its interface was removed, renamed or made anew"`, `no hardware receive timestamps for UDP on bridge0`, "CAP_NET_BIND_SERVICE"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log has no %q:\n%s", want, log)
		}
	}
	if n := strings.Count(log, "\n"); n > 120 {
		t.Errorf("%d lines for 16 changes:\n%s", n, log)
	}
}
