package interop

import (
	"encoding/csv"
	"fmt"
	"os"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

// symmetricKeys is a file of keys that chronyd and ntsserve read.
const symmetricKeys = `# identifier, type, key
1 MD5 HEX:0102030405060708090a0b0c0d0e0f10
2 SHA1 HEX:0102030405060708090a0b0c0d0e0f1011121314
3 SHA256 HEX:0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
4 SHA512 ASCII:a-long-text-as-a-key-of-chronyd
5 AES128 HEX:0102030405060708090a0b0c0d0e0f10
6 AES256 HEX:0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20
`

// serveKeyed is serve with symmetric keys.
func serveKeyed(t *testing.T, dir string) *server {
	t.Helper()
	s := prepare(t, dir, newPKI(t, dir), "")
	conf, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	keys := write(t, dir, "chrony.keys", symmetricKeys)
	s.conf = write(t, dir, "ntsserve.toml", fmt.Sprintf("%s\n[mac]\nkeys_file = %q\n", conf, keys))
	s.start(t)
	return s
}

// chronyd authenticates with each type of key, in version 4 and, with the whole
// digest, in version 3.
func TestChronydWithSymmetricKeys(t *testing.T) {
	each(t, "chronyd", getChrony, func(t *testing.T, chronyd string) {
		dir := setup(t)
		serveKeyed(t, dir)
		conf := "keyfile " + write(t, dir, "client.keys", symmetricKeys) + "\n"
		for i, a := range ourAddrs {
			conf += fmt.Sprintf("server %s key %d iburst minpoll 0 maxpoll 0\n", a, i+1)
		}
		conf += "server " + ourAddr6 + " key 3 version 3 iburst minpoll 0 maxpoll 0\n"
		p, _, raw := chronyClient(t, chronyd, dir, conf)
		sources := func() [][]string {
			rows, _ := csv.NewReader(strings.NewReader(raw("-c", "-N", "sources"))).ReadAll()
			return rows
		}
		until(t, "chronyd reaches all sources", p, func() (bool, string) {
			good := 0
			for _, r := range sources() {
				if len(r) > 5 && r[0] == "^" && r[5] != "0" {
					good++
				}
			}
			return good == len(ourAddrs)+1, raw("-N", "sources") + raw("-N", "authdata")
		})
		t.Logf("chronyc -N authdata\n%s", raw("-N", "authdata"))
		for _, a := range append([]string{ourAddr6}, ourAddrs...) {
			if d := raw("ntpdata", a); field(d, "Authenticated") != "Yes" || field(d, "Total valid RX") == "0" {
				t.Errorf("ntpdata %s:\n%s", a, d)
			}
		}
	})
}

// A key that the server does not have: silence, as of chronyd.
func TestChronydWithAnUnknownKey(t *testing.T) {
	each(t, "chronyd", getChrony, func(t *testing.T, chronyd string) {
		dir := setup(t)
		serveKeyed(t, dir)
		keys := write(t, dir, "client.keys", "1 MD5 HEX:ffffffffffffffffffffffffffffffff\n9 AES128 HEX:0102030405060708090a0b0c0d0e0f10\n")
		p, _, raw := chronyClient(t, chronyd, dir, fmt.Sprintf("keyfile %s\nserver %s key 9 iburst minpoll 0 maxpoll 0\nserver %s key 1 iburst minpoll 0 maxpoll 0\nserver %s iburst minpoll 0 maxpoll 0\n", keys, addrNTS, addrNTSX, addrPlain))
		until(t, "chronyd has sent requests with wrong keys", p, func() (bool, string) {
			all := raw("ntpdata", addrNTS) + raw("ntpdata", addrNTSX) + raw("ntpdata", addrPlain)
			sent := 0
			for _, a := range []string{addrNTS, addrNTSX, addrPlain} {
				var n int
				fmt.Sscan(field(raw("ntpdata", a), "Total TX"), &n)
				if n >= 4 {
					sent++
				}
			}
			return sent == 3, all
		})
		for a, want := range map[string]bool{addrNTS: false, addrNTSX: false, addrPlain: true} {
			if d := raw("ntpdata", a); (field(d, "Total RX") != "0") != want {
				t.Errorf("ntpdata %s:\n%s", a, d)
			}
		}
	})
}

// NTPsec's ntpdig, with AES-CMAC and with SHA-1.
func TestNtpdigWithSymmetricKeys(t *testing.T) {
	each(t, "ntpdig", getNtpdig, func(t *testing.T, prog string) {
		dir := setup(t)
		serveKeyed(t, dir)
		keys := write(t, dir, "ntp.keys", "2 SHA1 0102030405060708090a0b0c0d0e0f1011121314\n5 AES 0102030405060708090a0b0c0d0e0f10\n")
		for _, id := range []string{"2", "5"} {
			out, errs, code := tool(t, enter(prog, "-j", "-t", "30", "-a", id, "-k", keys, ourAddr)...)
			t.Logf("ntpdig -a %s: exit %d\n%s%s", id, code, out, errs)
			if code != 0 || !strings.Contains(out, `"stratum":1`) && !strings.Contains(out, `"stratum": 1`) {
				t.Errorf("key %s: exit %d\n%s%s", id, code, out, errs)
			}
		}
	})
}

// Python's ntplib, in each version.
func TestNtplib(t *testing.T) {
	dir := setup(t)
	// The package belongs to the Python of the distribution, which another may hide in the PATH.
	python, missing := proctest.Require(t, "python3"), ""
	for _, p := range []string{python, "/usr/bin/python3"} {
		_, errs, code := tool(t, p, "-c", "import ntplib")
		if python, missing = p, errs; code == 0 {
			missing = ""
			break
		}
	}
	if missing != "" {
		t.Skipf("ntplib is missing: apt-get install python3-ntplib: %s", missing)
	}
	serve(t, dir, "")
	for version := 1; version <= 4; version++ {
		out, errs, code := tool(t, enter(python, "-c", fmt.Sprintf(
			"import ntplib\nr = ntplib.NTPClient().request(%q, version=%d, timeout=30)\nprint(r.version, r.mode, r.stratum, abs(r.offset) < r.delay / 2 + 0.001)", ourAddr, version))...)
		if want := fmt.Sprintf("%d 4 1 True\n", version); code != 0 || out != want {
			t.Errorf("version %d: exit %d, %q, want %q\n%s", version, code, out, want, errs)
		}
	}
}
