package interop

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"

	"noonmark/internal/proctest"
	"noonmark/server/ntsclient"
)

// answer is the output of ntsquery -json.
type answer struct {
	Valid         bool   `json:"valid"`
	Authenticated bool   `json:"authenticated"`
	Error         string `json:"error"`
	OffsetNS      *int64 `json:"offset_ns"`
	DelayNS       int64  `json:"delay_ns"`
	RootDistNS    int64  `json:"root_distance_ns"`
	RootDelayNS   int64  `json:"root_delay_ns"`
	RootDispNS    int64  `json:"root_dispersion_ns"`
	Stratum       int    `json:"stratum"`
	RefID         string `json:"refid"`
	Leap          int    `json:"leap"`
	ReferenceTime string `json:"reference_time"`
	AEAD          int    `json:"aead"`
	Cookies       int    `json:"cookies"`
	Interleaved   bool   `json:"interleaved"`
	Server        string `json:"server"`
	Readings      int    `json:"readings"`
}

// query runs ntsquery -json on our end and checks the exit code.
func query(t *testing.T, wantCode int, args ...string) answer {
	t.Helper()
	out, errs, code := tool(t, append([]string{ours(t, "ntsquery"), "-json"}, args...)...)
	t.Logf("ntsquery -json %s: exit %d\n%s%s", strings.Join(args, " "), code, out, errs)
	if code != wantCode {
		t.Errorf("exit code %d, want %d", code, wantCode)
	}
	var a answer
	if code != 64 && code != 66 {
		if err := json.Unmarshal([]byte(out), &a); err != nil {
			t.Errorf("not JSON: %v", err)
		}
		if a.Valid != (code == 0) {
			t.Errorf("valid %v with exit code %d", a.Valid, code)
		}
	}
	return a
}

// sameClock checks a reading of a server that has the same clock as the client. The
// offset must be within the root distance, plus 100 µs for the difference between a
// daemon's clock and the system clock.
func sameClock(t *testing.T, a answer) {
	t.Helper()
	if a.OffsetNS == nil {
		t.Error("no offset")
	} else if lim := a.RootDistNS + 100_000; *a.OffsetNS > lim || *a.OffsetNS < -lim {
		t.Errorf("offset %d ns on the same clock, root distance %d ns", *a.OffsetNS, a.RootDistNS)
	}
}

// Debian's chronyd is the server.
func TestNtsqueryOfChronyd(t *testing.T) { each(t, "chronyd", getChrony, testNtsqueryChronyd) }

func testNtsqueryChronyd(t *testing.T, chronyd string) {
	dir := setup(t)
	k := newPKI(t, dir)
	p := daemon(t, enter(chronyd, "-x", "-U", "-u", "root", "-d", "-f", write(t, dir, "chrony.conf", `
local stratum 3
allow all
port 123
ntsserverkey `+k.key+`
ntsservercert `+k.cert+`
ntsdumpdir `+dir+`
bindcmdaddress /
cmdport 0
pidfile `+dir+`/pid
`))...)
	until(t, "chronyd answers", p, func() (bool, string) {
		_, errs, code := tool(t, ours(t, "ntsquery"), "-ca", k.ca, peerAddr)
		return code == 0, errs
	})
	base := []string{"-ca", k.ca, "-interval", "50ms", peerAddr}
	args := map[string][]string{
		"any AEAD":    nil,
		"AEAD 15":     {"-aead", "15"},
		"interleaved": {"-interleaved"},
		"many":        {"-n", "20"},
	}
	v := strings.Fields(version(t, chronyd))[1]
	if !strings.HasPrefix(v, "4.3") { // whose library has it
		args["AEAD 30"] = []string{"-aead", "30"}
	}
	for name, args := range args {
		want := 15
		if name == "AEAD 30" {
			want = 30
		}
		a := query(t, 0, append(args, base...)...)
		if !a.Authenticated || a.AEAD != want || a.Cookies != 8 || a.Stratum != 3 || a.Leap != 0 || a.Server != peerAddr+":123" {
			t.Errorf("%s: %+v", name, a)
		}
		if a.Interleaved != (name == "interleaved") {
			t.Errorf("%s: interleaved %v", name, a.Interleaved)
		}
		sameClock(t, a)
	}
	if a := query(t, 0, "-plain", peerAddr); a.Authenticated || a.AEAD != 0 {
		t.Errorf("plain: %+v", a)
	} else {
		sameClock(t, a)
	}
	if a := query(t, 0, "-plain", "-interleaved", "fd91::2"); !a.Interleaved {
		t.Errorf("plain and interleaved over IPv6: %+v", a)
	}
	query(t, 76, "-aead", "17", "-ca", k.ca, peerAddr)                       // chrony does not support it
	query(t, 76, peerAddr)                                                   // a CA that the system does not trust
	query(t, 69, "-ca", k.ca, "-timeout", "200ms", "-port", "124", peerAddr) // no NTP server at the port
	query(t, 69, "-ca", k.ca, "-timeout", "200ms", peerAddr+":4461")         // no NTS-KE server at the port
	text, _, _ := tool(t, append([]string{ours(t, "ntsquery")}, base...)...)
	t.Logf("ntsquery %s\n%s", peerAddr, text)
	if !strings.Contains(text, "authenticated by NTS, AES-SIV-CMAC-256") {
		t.Error("the text does not report an authenticated answer")
	}
}

// Both ends are ours.
func TestNtsqueryOfNtsserve(t *testing.T) {
	dir := setup(t)
	s := serve(t, dir, "")
	for aead, n := range map[string]int{"15": 15, "17": 17, "30": 30} {
		a := query(t, 0, "-ca", s.ca, "-aead", aead, "-n", "3", "-interval", "10ms", "-interleaved", ourAddr)
		if !a.Authenticated || a.AEAD != n || a.Cookies != 8 || !a.Interleaved || a.Stratum != 1 || a.RefID != "GPS" || a.Leap != 0 ||
			a.RootDelayNS != 0 || a.RootDispNS < 2000 || a.RootDispNS > 1_000_000 {
			t.Errorf("%+v", a)
		}
		sameClock(t, a)
	}
	a := query(t, 0, "-ca", s.ca, ourAddr6)
	sameClock(t, a)
	if a := query(t, 0, "-plain", ourAddr); a.Authenticated {
		t.Errorf("%+v", a)
	}

	// Cookies are valid after a restart of the server. Without its keys there is a NAK,
	// and the next query exchanges keys again.
	// A NAK is accepted when no valid answer has come in time.
	c, err := ntsclient.New(ntsclient.Config{Host: ourAddr, RootCAs: pool(t, s.ca), Timeout: longWait / 4})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(when string, want error) {
		t.Helper()
		if _, err := c.Query(context.Background()); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", when, err, want)
		}
	}
	ask("first", nil)
	s.Stop()
	s.start(t)
	ask("after a restart", nil)
	s.Stop()
	if err := os.Remove(s.keys()); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	ask("after the loss of all keys", ntsclient.ErrNAK)
	ask("after that", nil)

	// Without refclockd the bound grows until answers report an unsynchronised clock.
	s.stopClock()
	until(t, "answers report an unsynchronised clock", s.proc, func() (bool, string) {
		out, _, code := tool(t, ours(t, "ntsquery"), "-json", "-ca", s.ca, ourAddr)
		return code == 69 && strings.Contains(out, `"leap":3`) && strings.Contains(out, `"authenticated":true`), out
	})
}

// NTPsec's one-shot client, without NTS.
func TestNtpdig(t *testing.T) {
	dir := setup(t)
	progs := proctest.Find("ntpdig")
	if len(progs) == 0 {
		t.Skip("ntpdig is missing: " + getNtpdig)
	}
	ntpdig := progs[0]
	serve(t, dir, "")
	out, errs, code := tool(t, enter(ntpdig, "-j", "-t", "30", addrPlain)...)
	t.Logf("ntpdig -j %s: exit %d\n%s%s", addrPlain, code, out, errs)
	var r struct {
		Offset    float64 `json:"offset"`
		Precision float64 `json:"precision"` // its own error: the timestamps are taken in Python
		Stratum   int     `json:"stratum"`
	}
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("%v, exit %d", err, code)
	}
	if r.Stratum != 1 || math.Abs(r.Offset) > r.Precision+1e-3 {
		t.Errorf("%+v", r)
	}
}
