package ntsserve

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
	"noonmark/server"
	"noonmark/server/mac"
	"noonmark/server/sysclock"
)

const endpoint = "[[endpoint]]\naddress = \"127.0.0.1:0\"\n"

func TestLoadRefusesBadValuesWithLineAndKey(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "t.toml:1: endpoint: there is none; want"},
		{"source", endpoint + "[source]\ntype = \"gps\"\n", `t.toml:4: source.type: "gps" is not known; want "snapshot", "chrony" or "kernel"`},
		{"no path", endpoint + "[source]\npath = \"\"\n", "t.toml:4: source.path: is empty; want"},
		{"no address", "[[endpoint]]\nnts = \"off\"\n", "t.toml:1: endpoint[0].address: is missing; want an address and a port"},
		{"nts", endpoint + "nts = \"offf\"\n", `t.toml:3: endpoint[0].nts: "offf" is not known; did you mean "off"?`},
		{"only without keys", endpoint + "nts = \"only\"\n", "t.toml:3: endpoint[0].nts: there are no cookie keys"},
		{"priority", "priority = \"urgent\"\n" + endpoint, `t.toml:1: priority: "urgent" is not known; want "normal", "high" or "realtime"`},
		{"timestamps", endpoint + "timestamps = \"hard\"\n", `t.toml:3: endpoint[0].timestamps: "hard" is not known; want "auto", "hardware", "software" or "off"`},
		{"workers", endpoint + "workers = -1\n", "t.toml:3: endpoint[0].workers: -1 is not a number of workers; want 1 to 256"},
		{"latency", endpoint + "transmit_latency = \"1s\"\n", "t.toml:3: endpoint[0].transmit_latency: 1s is out of range; want 0s to 100µs"},
		{"dscp", endpoint + "dscp = 64\n", "t.toml:3: endpoint[0].dscp: 64 is not a code point; want 0 to 63"},
		{"smear of a foreign clock", endpoint + "smear = true\n[source]\ntype = \"kernel\"\n", `t.toml:3: endpoint[0].smear: a clock of source.type = "kernel" executes its leap seconds itself`},
		{"smear", endpoint + "smear = \"yes\"\n", "t.toml:3: endpoint[0].smear"},
		{"twice", "[[endpoint]]\naddress = \"0.0.0.0:123\"\n[[endpoint]]\naddress = \"0.0.0.0:123\"\n", "t.toml:4: endpoint[1].address: endpoint[0] has it already"},
		{"listen without certificate", endpoint + "[ke]\nlisten = \"0.0.0.0:4460\"\n", "t.toml:3: ke.certificate: is missing; want a PEM file"},
		{"certificate without key", endpoint + "[ke]\ncertificate = \"c.pem\"\n", "t.toml:3: ke.key: is missing; want a PEM file"},
		{"further pair without key", endpoint + "[[certificate]]\nfile = \"c\"\n", "t.toml:3: certificate[0].key: is missing; want a PEM file"},
		{"further pair beside half a pair", endpoint + "[ke]\nkey = \"k\"\n[[certificate]]\nfile = \"c\"\nkey = \"k\"\n", "t.toml:3: ke.certificate: is missing; want a PEM file"},
		{"acme without names", endpoint + "[acme]\naccept_terms = true\n", "t.toml:3: acme.names: is empty; want"},
		{"acme without terms", endpoint + "[acme]\nnames = [\"a.test\"]\n", "t.toml:3: acme.accept_terms: is not true; read"},
		{"acme without port", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\n", "t.toml:3: acme.http: there is no address"},
		{"acme name", endpoint + "[acme]\nnames = [\"*.a.test\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\n", "t.toml:3: acme: *.a.test: wildcards need dns-01"},
		{"acme directory", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\ntls = \"[::]:443\"\ndirectory = \"http://a\"\n", "t.toml:3: acme: directory \"http://a\" is not an https URL; want"},
		{"port", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\nport = 65536\n", "t.toml:6: ke.port: 65536 is not a port"},
		{"timeout", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\ntimeout = \"1h\"\n", "t.toml:6: ke.timeout: 1h0m0s keeps idle connections"},
		{"no timeout", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\ntimeout = \"0s\"\n", "t.toml:6: ke.timeout: is not positive"},
		{"rates", endpoint + "[ke]\ncertificate = \"c\"\nkey = \"k\"\nrate = -1\n", "t.toml:6: ke.rate: is negative"},
		{"rotate", endpoint + "[keys]\nfile = \"k\"\nrotate = \"1s\"\n", "t.toml:5: keys.rotate: 1s is out of range; want 1m0s to 8760h0m0s"},
		{"rotate that overflows", endpoint + "[keys]\nfile = \"k\"\nrotate = \"1000000h\"\n", "t.toml:5: keys.rotate: 1000000h0m0s is out of range"},
		{"rotate with a fraction", endpoint + "[keys]\nfile = \"k\"\nrotate = \"60500ms\"\n", "t.toml:5: keys.rotate: 1m0.5s is not a whole number of seconds"},
		{"keep too many", endpoint + "[keys]\nfile = \"k\"\nkeep = 65\n", "t.toml:5: keys.keep: 65 is not a number of keys; want 1 to 64"},
		{"renew_ahead", endpoint + "[keys]\nfile = \"k\"\nrenew_ahead = \"1000h\"\n", "t.toml:5: keys.renew_ahead: 1000h0m0s is longer than the 192h0m0s"},
		{"keep", endpoint + "[keys]\nfile = \"k\"\nkeep = 0\n", "t.toml:5: keys.keep: 0 is not a number of keys; want 1 to 64"},
		{"renew", endpoint + "[keys]\nfile = \"k\"\nrenew = \"soon\"\n", `t.toml:5: keys.renew: "soon" is not an interval; want "auto", "never", or a duration`},
		{"renew too often", endpoint + "[keys]\nfile = \"k\"\nrenew = \"1h\"\n", "t.toml:5: keys.renew: a new root secret every 1h0m0s is not a whole number of seconds of at least 24h0m0s; want"},
		{"renewed too late", endpoint + "[keys]\nfile = \"k\"\nrenew_ahead = \"10s\"\n", "t.toml:5: keys.renew_ahead: 10s is too short"},
		{"no key file", endpoint + "[keys]\nfile = \"\"\n", "t.toml:4: keys.file: is empty; want"},
		{"two lists", endpoint + "[access]\nallow = [\"10.0.0.0/8\"]\ndeny = [\"10.0.0.0/8\"]\n", "t.toml:3: access: prefix 10.0.0.0/8 is on two lists; want"},
		{"rate", endpoint + "[access]\nrate_limit = -1\n", "t.toml:4: access.rate_limit: -1 is out of range; want"},
		{"burst", endpoint + "[access]\nrate_burst = 0\n", "t.toml:4: access.rate_burst: 0 is out of range; want"},
		{"prefix4", endpoint + "[access]\nrate_prefix4 = 33\n", "t.toml:4: access.rate_prefix4: 33 is not a prefix length; want"},
		{"prefix6", endpoint + "[access]\nrate_prefix6 = 0\n", "t.toml:4: access.rate_prefix6: 0 is not a prefix length; want"},
		{"kiss", endpoint + "[access]\nkiss_rate = 1e5\n", "t.toml:4: access.kiss_rate: 100000 is out of range; want"},
		{"refused", endpoint + "[mac]\nrefused = \"nak\"\n", `t.toml:4: mac.refused: "nak" is not known; want "silence", "crypto_nak" or "plain"`},
		{"key without identifier", endpoint + "[[key]]\ntype = \"AES128\"\nkey = \"x\"\n", "t.toml:3: key[0].id: is missing, or 0"},
		{"key identifier of 33 bits", endpoint + "[[key]]\nid = 4294967296\n", "t.toml:4: key[0].id: 4294967296 is out of range"},
		{"key without type", endpoint + "[[key]]\nid = 1\nkey = \"x\"\n", `t.toml:3: key[0].type: "" is not known; want "AES128", "AES256", "SHA256"`},
		{"type of key", endpoint + "[[key]]\nid = 1\ntype = \"SHA265\"\nkey = \"x\"\n", `t.toml:5: key[0].type: "SHA265" is not known; did you mean "SHA256"?`},
		{"no key", endpoint + "[[key]]\nid = 1\ntype = \"SHA256\"\n", "t.toml:3: key[0]: has both a key and a file, or neither"},
		{"key and file", endpoint + "[[key]]\nid = 1\ntype = \"SHA256\"\nkey = \"hunter2\"\nfile = \"x\"\n", "t.toml:3: key[0]: has both a key and a file, or neither"},
		{"key of another length", endpoint + "[[key]]\nid = 1\ntype = \"AES128\"\nkey = \"hunter2\"\n", "t.toml:6: key[0].key: AES128 needs a key of 16 octets, not 7; want"},
		{"no hexadecimal key", endpoint + "[[key]]\nid = 1\ntype = \"AES128\"\nkey = \"HEX:hunter2\"\n", "t.toml:6: key[0].key: the key has other characters"},
		{"key that is no text", endpoint + "[[key]]\nid = 1\nkey = 2\n", "t.toml:5: key[0].key: is a whole number; want text"},
		{"two keys", endpoint + "[[key]]\nid = 1\ntype = \"SHA256\"\nkey = \"a\"\n[[key]]\nid = 1\ntype = \"SHA256\"\nkey = \"b\"\n", "t.toml:8: key[1].id: key[0] has the identifier 1 already"},
		{"log", endpoint + "[log]\nlevel = \"loud\"\n", `t.toml:4: log.level: "loud" is not known`},
		{"unknown key", endpoint + "adress = 1\n", "t.toml:3: endpoint[0].adress: is not known; did you mean address?"},
		{"least", endpoint, ""},
		{"never renewed", endpoint + "[keys]\nfile = \"k\"\nrenew = \"never\"\n", ""},
		{"renewed for others", endpoint + "[keys]\nfile = \"k\"\nrenew = \"96h\"\nrenew_ahead = \"24h\"\n", ""},
		{"smeared and plain", endpoint + "smear = true\ndscp = 46\n" + endpoint, ""},
		{"acme alone", endpoint + "[acme]\nnames = [\"a.test\"]\naccept_terms = true\nhttp = \"0.0.0.0:80\"\n", ""},
		{"several certificates", endpoint + "[[certificate]]\nfile = \"c\"\nkey = \"k\"\n[[certificate]]\nfile = \"d\"\nkey = \"l\"\n", ""},
		{"all", endpoint + "nts = \"only\"\ntimestamps = \"software\"\nworkers = 3\n[ke]\ncertificate = \"c\"\nkey = \"k\"\n[access]\nallow = [\"10.0.0.0/8\"]\nnts_only = [\"::/0\"]\n", ""},
	} {
		path := proctest.Write(t, filepath.Join(dir, "t.toml"), c.text)
		s, err := Load(path)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want == "" && len(s.Endpoints) == 0:
			t.Errorf("%s: no endpoint", c.name)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		case c.want != "" && !strings.Contains(err.Error(), "; "):
			t.Errorf("%s: no remedy in %v", c.name, err)
		case c.want != "" && strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: a key is in %v", c.name, err)
		case c.want != "" && exitcode.Of(err) != 78:
			t.Errorf("%s: exit %d", c.name, exitcode.Of(err))
		}
	}
}

func TestSymmetricKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := proctest.Write(t, filepath.Join(dir, "list"), "3 SHA1 hunter2hunter2\n")
	text := endpoint + `nts = "off"
[mac]
keys_file = "` + list + `"
refused = "crypto_nak"
[[key]]
id = 1
type = "AES128"
key = "HEX:000102030405060708090a0b0c0d0e0f"
[[key]]
id = 2
type = "SHA256"
file = "` + filepath.Join(dir, "none") + `"
`
	path := proctest.Write(t, filepath.Join(dir, "t.toml"), text)
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Endpoints[0].Policy; p != server.NoNTS|server.NAKBadMAC {
		t.Errorf("policy %v", p)
	}
	if k := s.SymmetricKeys; len(k.Keys) != 1 || k.Keys[0].ID() != 1 || len(k.Files) != 1 || k.Files[0].ID != 2 || k.Files[0].Type != mac.SHA256 || k.List != list {
		t.Errorf("%+v", k)
	}
	warnings := strings.Join(s.Warnings, "\n")
	for _, w := range []string{"t.toml:14: key[1].file: stat ", "t.toml:7: key: every user of this machine can read the keys in this file"} {
		if !strings.Contains(warnings, w) {
			t.Errorf("no warning %q in\n%s", w, warnings)
		}
	}
	if all := fmt.Sprintf("%v %+v %#v", s, s.File, s.Key); strings.Contains(all, "0001020304") {
		t.Error("the settings print the key")
	}
	// A reload takes over the keys.
	proctest.Write(t, path, text+"[[key]]\nid = 5\ntype = \"AES128\"\nkey = \"0123456789abcdef\"\n")
	again, err := Load(path)
	if err != nil || len(again.Changes(s).Restart) > 0 {
		t.Errorf("another key needs a restart: %v", err)
	}
	proctest.Write(t, path, strings.Replace(text, "crypto_nak", "plain", 1))
	if again, err = Load(path); err != nil || !slices.Equal(again.Changes(s).Restart, []string{"mac.refused"}) {
		t.Errorf("another policy needs no restart: %v", err)
	}
}

func TestPortThatNTSKENamesToClients(t *testing.T) {
	t.Parallel()
	const ke = "[ke]\ncertificate = \"c\"\nkey = \"k\"\n"
	for _, c := range []struct {
		text string
		want int
	}{
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\nnts = \"off\"\n[[endpoint]]\naddress = \"127.0.0.1:2123\"\n" + ke, 2123},
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\n" + ke + "server = \"ntp.example\"\n", 0},
		{"[[endpoint]]\naddress = \"127.0.0.1:1123\"\n" + ke + "port = 99\n", 99},
	} {
		s, err := Load(proctest.Write(t, filepath.Join(t.TempDir(), "t.toml"), c.text))
		if err != nil || s.NTPPort != c.want {
			t.Errorf("%s: port %d, want %d (%v)", c.text, s.NTPPort, c.want, err)
		}
	}
}

func TestSourceOfTheClock(t *testing.T) {
	t.Parallel()
	const end = "[[endpoint]]\naddress = \"127.0.0.1:0\"\n"
	path := filepath.Join(t.TempDir(), "t.toml")
	for _, c := range []struct{ text, say string }{
		{`type = "gps"`, "source.type: "},
		{`path = ""`, "source.path: is empty"},
		{`stratum = 2`, `source.stratum: is not used here; want type = "kernel"`},
		{"type = \"kernel\"\naddress = \"127.0.0.1:323\"", `source.address: is not used here; want type = "chrony"`},
		{"type = \"chrony\"\nrefid = \"GPS\"", `source.refid: is not used here`},
		{"type = \"chrony\"\naddress = \"192.0.2.1:323\"", "source.address: chronyd's address 192.0.2.1:323 is not on this machine"},
		{"type = \"chrony\"\naddress = \"chronyd\"", "source.address: "},
		{"type = \"kernel\"\nstratum = 0", "source.stratum: 0 is not a stratum"},
		{"type = \"kernel\"\nstratum = 16", "source.stratum: 16 is not a stratum"},
		{"type = \"kernel\"\nstratum = 2\nrefid = \"GPS\"", `source.refid: "GPS" is not a reference ID`},
	} {
		proctest.Write(t, path, "[source]\n"+c.text+"\n"+end)
		if _, err := Load(path); err == nil || exitcode.Of(err) != 78 || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v; want %q", c.text, err, c.say)
		}
	}
	for _, c := range []struct {
		text string
		want string
	}{
		{`type = "snapshot"`, "<nil>"},
		{`type = "chrony"`, fmt.Sprintf("&{Path:%s Chrony:%s Stratum:10 RefID:[127 127 1 1] Log:<nil>}", DefaultSnapshot, sysclock.DefaultChrony)},
		{"type = \"chrony\"\naddress = \"/run/chrony/chronyd.sock\"\npath = \"/x\"", "&{Path:/x Chrony:/run/chrony/chronyd.sock Stratum:10 RefID:[127 127 1 1] Log:<nil>}"},
		{"type = \"chrony\"\naddress = \"chrony.invalid:323\"", fmt.Sprintf("&{Path:%s Chrony:chrony.invalid:323 Stratum:10 RefID:[127 127 1 1] Log:<nil>}", DefaultSnapshot)},
		{`type = "kernel"`, fmt.Sprintf("&{Path:%s Chrony: Stratum:10 RefID:[127 127 1 1] Log:<nil>}", DefaultSnapshot)},
		{"type = \"kernel\"\nstratum = 1\nrefid = \"PPS\"", fmt.Sprintf("&{Path:%s Chrony: Stratum:1 RefID:[80 80 83 0] Log:<nil>}", DefaultSnapshot)},
		{"type = \"kernel\"\nstratum = 2\nrefid = \"192.0.2.9\"", fmt.Sprintf("&{Path:%s Chrony: Stratum:2 RefID:[192 0 2 9] Log:<nil>}", DefaultSnapshot)},
	} {
		proctest.Write(t, path, "[source]\n"+c.text+"\n"+end)
		s, err := Load(path)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := fmt.Sprintf("%+v", s.ExternalClock); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}
