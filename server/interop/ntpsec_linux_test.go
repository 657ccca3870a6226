package interop

import (
	"fmt"
	"strings"
	"testing"
)

// ntpd starts NTPsec's daemon on the peer's end. The user namespace prevents it from
// steering the clock.
func ntpd(t *testing.T, prog, dir, conf string) *proc {
	t.Helper()
	return daemon(t, enter(prog, "-n", "-g", "-p", dir+"/ntpd.pid", "-c", write(t, dir, "ntp.conf", `
restrict `+controlAddr+`
driftfile `+dir+`/drift
statsdir `+dir+`
`+conf))...)
}

// NTPsec's ntpd is the server.
func TestNtsqueryOfNTPsec(t *testing.T) {
	each(t, "ntpd", getNTPsec, func(t *testing.T, prog string) {
		dir := setup(t)
		k := newPKI(t, dir)
		p := ntpd(t, prog, dir, `
tos orphan 6 orphanwait 1 maxdist 30
nts enable
nts cert `+k.cert+`
nts key `+k.key+`
nts cookie `+dir+`/cookies
`)
		until(t, "ntpd is its own reference", p, func() (bool, string) {
			v, err := variables(peerAddr, 0, "stratum,leap")
			return err == nil && v["stratum"] == "6" && v["leap"] == "0", fmt.Sprint(v, err)
		})
		// Only a few requests: ntpd drops them from the tenth in a second on.
		sameClock(t, query(t, 0, "-plain", peerAddr))
		for _, args := range [][]string{nil, {"-aead", "15"}, {"-aead", "17"}} {
			a := query(t, 0, append(args, "-ca", k.ca, peerAddr)...)
			if !a.Authenticated || a.Cookies != 8 || a.Stratum != 6 || args != nil && args[1] != fmt.Sprint(a.AEAD) {
				t.Errorf("%+v", a)
			}
			sameClock(t, a)
		}
		if a := query(t, 0, "-ca", k.ca, "-interval", "50ms", "-interleaved", peerAddr); a.Interleaved || !a.Authenticated {
			t.Errorf("ntpd has no interleaved mode for clients: %+v", a)
		}
	})
}

// NTPsec's ntpd synchronises to ntsserve with NTS and without.
func TestNTPsecClient(t *testing.T) {
	each(t, "ntpd", getNTPsec, func(t *testing.T, prog string) {
		for _, c := range []struct {
			name, server, option string
			auth                 uint16
		}{
			{"NTS", addrNTS, "nts ca %s", statusAuthEnabled | statusAuthentic},
			{"plain", addrPlain, "", 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				dir := setup(t)
				s := serve(t, dir, "")
				if c.option != "" {
					c.option = fmt.Sprintf(c.option, s.ca)
				}
				p := ntpd(t, prog, dir, fmt.Sprintf("tos maxdist 16\nserver %s %s iburst minpoll 3 maxpoll 3\n", c.server, c.option))
				var as []association
				var sys map[string]string
				until(t, "ntpd is synchronised to ntsserve", p, func() (bool, string) {
					var err error
					if as, err = associations(peerAddr); err != nil {
						return false, err.Error()
					}
					if sys, err = variables(peerAddr, 0, ""); err != nil || len(as) != 1 {
						return false, fmt.Sprint(as, err)
					}
					st := as[0].status
					return st&statusReachable != 0 && st&statusSelection == selectedSystem && sys["stratum"] == "2" && sys["leap"] == "0" &&
						as[0].vars["srcadr"] == c.server, fmt.Sprint(as, sys)
				})
				t.Logf("%v; system: leap %s, stratum %s, refid %s, peer %s", as[0], sys["leap"], sys["stratum"], sys["refid"], sys["peer"])
				if as[0].status&statusAuthEnabled != c.auth&statusAuthEnabled || c.auth != 0 && as[0].status&statusAuthentic == 0 {
					t.Errorf("authentication: status %04x", as[0].status)
				}
				if c.auth == 0 {
					return
				}
				nts, err := variables(peerAddr, 0, "nts_client_send,nts_client_recv_good,nts_client_recv_bad,nts_ke_probes_good")
				t.Logf("%v, %v", nts, err)
				if err != nil || nts["nts_client_recv_good"] == "0" || nts["nts_client_recv_good"] == "" || nts["nts_client_recv_bad"] != "0" {
					t.Error("no valid authenticated answer, or an invalid one")
				}
				if !strings.Contains(p.Output.String(), "cookies, length 100, aead=15") {
					t.Error("the cookies are not for AEAD 15")
				}
			})
		}
	})
}
