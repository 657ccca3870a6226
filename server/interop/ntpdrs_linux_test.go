package interop

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const getNtpdRs = "server/interop/peers, and NOONMARK_PEERS as it says"

// ntpdRs starts ntpd-rs on the peer's end and returns a function for its status as
// text. ntpd-rs needs the permission to set the clock, and has no mode in which it
// does not set it, so strace answers these system calls instead of the kernel.
func ntpdRs(t *testing.T, prog, dir, conf string) (*proc, func() string) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is missing: apt-get install strace")
	}
	const calls = "clock_adjtime,clock_settime,adjtimex,settimeofday"
	path := write(t, dir, "ntp.toml", `
[observability]
observation-path = "`+dir+`/observe"
`+conf)
	p := daemon(t, enter(strace, "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace="+calls, "-e", "inject="+calls+":retval=0", prog, "-c", path)...)
	p.Name = filepath.Base(prog)
	ctl := filepath.Join(filepath.Dir(prog), "ntp-ctl")
	return p, func() string {
		t.Helper()
		out, errs, _ := tool(t, ctl, "-c", path, "status")
		return out + errs
	}
}

// ntpd-rs queries ntsserve with NTS and without.
func TestNtpdRsClient(t *testing.T) {
	each(t, "ntp-daemon", getNtpdRs, func(t *testing.T, prog string) {
		dir := setup(t)
		s := serve(t, dir, "")
		p, status := ntpdRs(t, prog, dir, fmt.Sprintf(`
[synchronization]
minimum-agreeing-sources = 2
[source-defaults]
poll-interval-limits = { min = 0, max = 0 }
initial-poll-interval = 0
[[source]]
mode = "nts"
address = "%s:4460"
certificate-authority = %q
[[source]]
mode = "server"
address = "%s"
`, addrNTS, s.ca, addrPlain))
		nts := regexp.MustCompile(`(?s)` + regexp.QuoteMeta(addrNTS) + `:123 \[NTS\][^\n]*\n[^\n]*missing polls: 0\n[^\n]*\n *NTS cookies: 8/8 available`)
		plain := regexp.MustCompile(regexp.QuoteMeta(addrPlain) + `:123 \(\d+\)[^\n]*\n[^\n]*missing polls: 0\n`)
		until(t, "ntpd-rs is synchronised to both", p, func() (bool, string) {
			st := status()
			return strings.Contains(st, "\nStratum: 2\n") && nts.MatchString(st) && plain.MatchString(st), st
		})
		t.Logf("ntp-ctl status\n%s", status())
	})
}

// ntpd-rs is the server, and gets its time from ntsserve.
func TestNtsqueryOfNtpdRs(t *testing.T) {
	each(t, "ntp-daemon", getNtpdRs, func(t *testing.T, prog string) {
		dir := setup(t)
		k := serve(t, dir, "")
		p, status := ntpdRs(t, prog, dir, fmt.Sprintf(`
[synchronization]
minimum-agreeing-sources = 1
[[source]]
mode = "server"
address = "%s"
[[server]]
listen = "0.0.0.0:123"
[[nts-ke-server]]
listen = "0.0.0.0:4460"
certificate-chain-path = %q
private-key-path = %q
`, addrPlain, k.cert, k.key))
		until(t, "ntpd-rs answers", p, func() (bool, string) {
			out, errs, code := tool(t, ours(t, "ntsquery"), "-json", "-ca", k.ca, peerAddr)
			return code == 0, out + errs + status()
		})
		for _, args := range [][]string{nil, {"-aead", "15"}, {"-aead", "17"}} {
			a := query(t, 0, append(args, "-ca", k.ca, peerAddr)...)
			if !a.Authenticated || a.Cookies != 8 || a.Stratum != 2 || args != nil && args[1] != fmt.Sprint(a.AEAD) {
				t.Errorf("%+v", a)
			}
			sameClock(t, a)
		}
		sameClock(t, query(t, 0, "-plain", peerAddr))
	})
}
