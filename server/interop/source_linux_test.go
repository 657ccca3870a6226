package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/refclock/status"
)

// inner starts a second ntsserve on the peer's end, which serves the system clock.
func inner(t *testing.T, dir, source string) *proc {
	t.Helper()
	return daemon(t, enter(ours(t, "ntsserve"), "-config", write(t, dir, "inner.toml", fmt.Sprintf(`
[source]
path = %q
%s

[[endpoint]]
address = "0.0.0.0:%d"
`, filepath.Join(dir, "inner", "status"), source, otherPort)))...)
}

// ask queries the second ntsserve.
func (p *proc) ask(t *testing.T) (a answer, all string, code int) {
	t.Helper()
	out, errs, code := tool(t, ours(t, "ntsquery"), "-json", "-plain", "-timeout", longWait.String(), fmt.Sprintf("%s:%d", peerAddr, otherPort))
	json.Unmarshal([]byte(out), &a) // empty without an answer
	return a, out + errs + p.Output.String(), code
}

// chronyd gets its time from one ntsserve, and another serves chronyd's clock with
// chronyd's stratum and reference; over UDP and over chronyd's socket.
func TestServingChronydsClock(t *testing.T) { each(t, "chronyd", getChrony, testSourceChrony) }

func testSourceChrony(t *testing.T, chronyd string) {
	t.Run("udp", func(t *testing.T) { testSourceVia(t, chronyd, false) })
	t.Run("socket", func(t *testing.T) { testSourceVia(t, chronyd, true) })
}

func testSourceVia(t *testing.T, chronyd string, unix bool) {
	dir := setup(t)
	serve(t, dir, "")
	run := dir + "/chrony"
	if err := os.Mkdir(run, 0o700); err != nil {
		t.Fatal(err)
	}
	address, conf := "127.0.0.1:323", "bindcmdaddress 127.0.0.1\n"
	if unix {
		address, conf = run+"/sock", "cmdport 0\nbindcmdaddress "+run+"/sock\n"
	}
	in := inner(t, dir, fmt.Sprintf("type = \"chrony\"\naddress = %q", address))

	// No chronyd.
	until(t, "answers report an unsynchronised clock", in, func() (bool, string) {
		a, all, code := in.ask(t)
		return code == 69 && a.Leap == 3 && a.Stratum == 16, all
	})
	// A chronyd without source.
	sleeper := daemon(t, enter(chronyd, "-x", "-U", "-u", "root", "-d", "-f", write(t, dir, "none.conf", "port 0\npidfile "+run+"/pid0\n"+conf))...)
	until(t, "chronyd reports that it is not synchronised", in, func() (bool, string) {
		a, all, code := in.ask(t)
		return code == 69 && a.Leap == 3 && a.Stratum == 16 && strings.Contains(all, "not_synchronised"), all
	})
	sleeper.Stop()
	// A chronyd with ntsserve as its source.
	p := daemon(t, enter(chronyd, "-x", "-U", "-u", "root", "-d", "-f", write(t, dir, "some.conf",
		fmt.Sprintf("port 0\npidfile %s/pid\n%sserver %s iburst minpoll 0 maxpoll 0\n", run, conf, addrPlain)))...)
	// At first chronyd reports an unknown skew (1e6 ppm), and the bound grows by a
	// second per second, so one good answer is not enough.
	var last answer
	settled := 0
	until(t, "the second ntsserve is at chronyd's stratum", in, func() (bool, string) {
		a, all, code := in.ask(t)
		last = a
		if settled++; code != 0 || a.Leap != 0 || a.Stratum != 2 || a.RootDispNS > 20e6 {
			settled = 0
		}
		return settled >= 15, all
	})
	if last.RefID != addrPlain || last.RootDelayNS <= 0 || last.RootDispNS <= 0 || last.RootDispNS > 1e9 {
		t.Errorf("%+v", last)
	}
	sameClock(t, last)
	// chronyd ends: the clock is in holdover.
	p.Stop()
	os.Remove(run + "/sock")
	until(t, "the second ntsserve has lost chronyd", in, func() (bool, string) {
		return strings.Contains(in.Output.String(), "state=holdover reason=no_answer"), in.Output.String()
	})
	a, all, code := in.ask(t)
	if code != 0 || a.Stratum != 2 || a.Leap != 0 {
		t.Errorf("exit %d: %s", code, all)
	}
	sameClock(t, a)
}

// Answers report what the kernel of this machine reports of its clock.
func TestServingTheKernelsClock(t *testing.T) {
	dir := setup(t)
	in := inner(t, dir, "type = \"kernel\"\nstratum = 4\nrefid = \"192.0.2.4\"")
	until(t, "ntsserve answers", in, func() (bool, string) {
		a, all, code := in.ask(t)
		switch {
		case strings.Contains(all, "clock source\" source=kernel state=locked"):
			return code == 0 && a.Stratum == 4 && a.RefID == "192.0.2.4" && a.Leap != 3, all
		case strings.Contains(all, "not_synchronised"):
			return code == 69 && a.Stratum == 16 && a.Leap == 3, all
		}
		return false, all
	})
}

// chronyd must not set the clock here, so its correction stays. The second ntsserve
// serves chronyd's time, not the system clock, which is 40 ms away.
func TestServingChronydsCorrection(t *testing.T) {
	each(t, "chronyd", getChrony, testSourceCorrection)
}

func testSourceCorrection(t *testing.T, chronyd string) {
	const shift = 40 * time.Millisecond
	dir := setup(t)
	s := serve(t, dir, "")
	s.stopClock()
	publish(t, filepath.Join(dir, "run", "status"), func(s *status.Snapshot) { s.Clock, s.RefTime = s.Clock.Add(shift), s.RefTime.Add(shift) })
	in := inner(t, dir, "type = \"chrony\"")
	daemon(t, enter(chronyd, "-x", "-U", "-u", "root", "-d", "-f", write(t, dir, "some.conf", fmt.Sprintf(
		"port 0\npidfile %s/pid\nbindcmdaddress 127.0.0.1\nserver %s iburst minpoll 0 maxpoll 0\n", dir, addrPlain)))...)
	first := query(t, 0, "-plain", ourAddr)
	if first.OffsetNS == nil || time.Duration(*first.OffsetNS).Abs() < shift-time.Millisecond {
		t.Fatalf("the offset of the first server is not %v: %+v", shift, first)
	}
	settled := 0
	until(t, "the second ntsserve has the offset of the first", in, func() (bool, string) {
		a, all, code := in.ask(t)
		settled++
		if code != 0 || a.OffsetNS == nil || a.RootDispNS > 20e6 || time.Duration(*a.OffsetNS-*first.OffsetNS).Abs() > time.Millisecond {
			settled = 0
		}
		return settled >= 5, all
	})
}
