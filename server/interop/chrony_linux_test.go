package interop

import (
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// chronyClient starts chronyd on the peer's end. It returns functions that run
// chronyc: ask returns rows of fields, raw returns the text.
func chronyClient(t *testing.T, chronyd, dir, conf string) (p *proc, ask func(args ...string) [][]string, raw func(args ...string) string) {
	t.Helper()
	// chronyc of the same version is in the neighbouring directory.
	chronyc := filepath.Join(filepath.Dir(filepath.Dir(chronyd)), "bin", "chronyc")
	run := dir + "/chrony" // chronyd checks its permissions, which protect the socket
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	p = daemon(t, enter(chronyd, "-x", "-U", "-u", "root", "-d", "-f", write(t, run, "conf", conf+`
port 0
cmdport 0
bindcmdaddress `+run+`/sock
pidfile `+run+`/pid
ntsdumpdir `+run+`
`))...)
	raw = func(args ...string) string {
		t.Helper()
		out, errs, _ := tool(t, enter(append([]string{chronyc, "-h", run + "/sock"}, args...)...)...)
		return out + errs
	}
	ask = func(args ...string) [][]string {
		t.Helper()
		rows, err := csv.NewReader(strings.NewReader(raw(append([]string{"-c"}, args...)...))).ReadAll()
		if err != nil {
			return nil // chronyd has not started yet
		}
		return rows
	}
	return p, ask, raw
}

// Debian's chronyd queries ntsserve in six ways at once.
func TestChronydClient(t *testing.T) { each(t, "chronyd", getChrony, testChronydClient) }

func testChronydClient(t *testing.T, chronyd string) {
	dir := setup(t)
	s := serve(t, dir, "")
	// By default chronyd uses no unauthenticated sources if there are authenticated
	// ones.
	p, ask, raw := chronyClient(t, chronyd, dir, fmt.Sprintf(`
authselectmode ignore
ntstrustedcerts %s
server %s nts iburst minpoll 0 maxpoll 0
server %s nts xleave iburst minpoll 0 maxpoll 0
server %s iburst minpoll 0 maxpoll 0
server %s xleave iburst minpoll 0 maxpoll 0
server %s version 3 iburst minpoll 0 maxpoll 0
server %s nts iburst minpoll 0 maxpoll 0
`, s.ca, addrNTS, addrNTSX, addrPlain, addrPlainX, addrVersion3, ourAddr6))

	// Mode, state, address, stratum, poll, reach, ... (chronyc sources).
	until(t, "chronyd has selected among six reachable sources", p, func() (bool, string) {
		good, selected := 0, false
		for _, r := range ask("-N", "sources") {
			if len(r) < 8 {
				break // an error message
			}
			reach, _ := strconv.ParseUint(r[5], 8, 16)
			if r[0] == "^" && strings.Contains("*+-", r[1]) && r[3] == "1" && reach >= 0o17 {
				good++
				selected = selected || r[1] == "*"
			}
		}
		return good == 6 && selected, raw("-N", "sources") + raw("-N", "authdata")
	})
	// A pending request has used a cookie, which its answer replaces: wait until there
	// are eight. Without new cookies the number only falls.
	var auth [][]string
	until(t, "chronyd has eight cookies of each source", p, func() (bool, string) {
		whole := 0
		auth = ask("-N", "authdata")
		for _, r := range auth {
			if len(r) > 8 && r[1] == "NTS" && r[8] == "8" {
				whole++
			}
		}
		return whole == 3, raw("-N", "authdata")
	})
	t.Logf("chronyc -N authdata\n%s", raw("-N", "authdata"))
	t.Logf("chronyc -N sources\n%s", raw("-N", "sources"))
	t.Logf("chronyc tracking\n%s", raw("tracking"))

	checkAuthData(t, auth)
	for addr, want := range map[string][2]string{addrNTS: {"No", "Yes"}, addrNTSX: {"Yes", "Yes"}, addrPlain: {"No", "No"}, addrPlainX: {"Yes", "No"}} {
		checkNTPData(t, ntpData(t, p, raw, addr, want[0]), addr, want[0], want[1])
	}
}

// checkAuthData checks the rows of chronyc authdata: name, mode, key ID, type, key
// length, last, attempts, NAK, cookies, cookie length.
func checkAuthData(t *testing.T, rows [][]string) {
	t.Helper()
	nts := 0
	for _, r := range rows {
		if len(r) < 9 {
			t.Fatalf("authdata: %v", r)
		}
		switch r[0] {
		case addrNTS, addrNTSX, ourAddr6:
			nts++
			if r[1] != "NTS" || r[3] != "15" && r[3] != "30" || r[7] != "0" || r[8] != "8" {
				t.Errorf("authdata of %s: %v", r[0], r)
			}
		default:
			if r[1] != "-" {
				t.Errorf("authdata of %s: %v", r[0], r)
			}
		}
	}
	if nts != 3 {
		t.Errorf("%d authenticated sources, want 3", nts)
	}
}

// ntpData returns the text of chronyc ntpdata for one source. If its last answer must be an
// interleaved one, it waits for that: after a late or lost one, chronyd asks once in basic
// mode.
func ntpData(t *testing.T, p *proc, raw func(args ...string) string, addr, interleaved string) (d string) {
	t.Helper()
	until(t, "chronyd reports an answer of "+addr, p, func() (bool, string) {
		d = raw("ntpdata", addr)
		got := field(d, "Interleaved")
		return got != "" && (interleaved == "No" || got == interleaved), d
	})
	return d
}

// checkNTPData checks the text of chronyc ntpdata for one source.
func checkNTPData(t *testing.T, d, addr, interleaved, authenticated string) {
	t.Helper()
	if field(d, "Interleaved") != interleaved || field(d, "Authenticated") != authenticated || field(d, "Leap status") != "Normal" ||
		!strings.Contains(field(d, "Reference ID"), "GPS") {
		t.Errorf("ntpdata %s: want interleaved %s, authenticated %s:\n%s", addr, interleaved, authenticated, d)
	}
	off, err1 := strconv.ParseFloat(strings.Fields(field(d, "Offset") + " x")[0], 64)
	delay, err2 := strconv.ParseFloat(strings.Fields(field(d, "Peer delay") + " x")[0], 64)
	if err1 != nil || err2 != nil || math.Abs(off) > delay/2+1e-3 {
		t.Errorf("ntpdata %s: offset %v s on the same clock, delay %v s (%v, %v)", addr, off, delay, err1, err2)
	}
}

// One source with NTS, the usual configuration. It loses its keys and gets new
// ones.
func TestChronydFindsNewKeys(t *testing.T) { each(t, "chronyd", getChrony, testChronydNTSOnly) }

func testChronydNTSOnly(t *testing.T, chronyd string) {
	dir := setup(t)
	s := serve(t, dir, "")
	p, ask, raw := chronyClient(t, chronyd, dir, fmt.Sprintf("ntstrustedcerts %s\nserver %s nts iburst minpoll 0 maxpoll 0\n", s.ca, addrNTS))
	both := func() string { return raw("-N", "authdata") + raw("-N", "sources") }
	selected := func(reach uint64) bool {
		rows := ask("-N", "sources")
		if len(rows) != 1 || len(rows[0]) < 8 {
			return false
		}
		got, _ := strconv.ParseUint(rows[0][5], 8, 16)
		return rows[0][1] == "*" && got&reach == reach
	}
	until(t, "chronyd has selected ntsserve", p, func() (bool, string) { return selected(0o17), both() })
	t.Logf("chronyc -N authdata; chronyc -N sources\n%s", both())

	// With new keys, the cookies get an NTS NAK, and chronyd runs NTS-KE again.
	s.Stop()
	if err := os.Remove(s.keys()); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	until(t, "chronyd has new keys", p, func() (bool, string) {
		for _, r := range ask("-N", "authdata") {
			if len(r) < 9 {
				continue // an error message
			}
			if id, err := strconv.Atoi(r[2]); err == nil && id >= 2 && r[7] == "0" && selected(0o7) {
				return true, ""
			}
		}
		return false, both()
	})
	t.Logf("after the loss of all keys: chronyc -N authdata; chronyc -N sources\n%s", both())
}

// NTS-KE sends clients to another address and port.
func TestNTSKENamesAnotherServer(t *testing.T) { each(t, "chronyd", getChrony, testNegotiated) }

func testNegotiated(t *testing.T, chronyd string) {
	dir := setup(t)
	s := serve(t, dir, fmt.Sprintf("server = %q\nport = %d", addrPlain, otherPort))
	if a := query(t, 0, "-ca", s.ca, ourAddr); a.Server != fmt.Sprintf("%s:%d", addrPlain, otherPort) || !a.Authenticated {
		t.Errorf("%+v", a)
	}
	p, ask, raw := chronyClient(t, chronyd, dir, fmt.Sprintf("ntstrustedcerts %s\nserver %s nts iburst minpoll 0 maxpoll 0\n", s.ca, addrNTS))
	until(t, "chronyd has selected ntsserve", p, func() (bool, string) {
		rows := ask("-n", "sources")
		return len(rows) == 1 && len(rows[0]) >= 8 && rows[0][1] == "*" && rows[0][2] == addrPlain, raw("-n", "sources")
	})
	d := raw("ntpdata", addrPlain)
	if field(d, "Remote port") != fmt.Sprint(otherPort) || field(d, "Authenticated") != "Yes" {
		t.Errorf("ntpdata %s:\n%s", addrPlain, d)
	}
}

// field returns the value of "name : value" in the text of chronyc.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
