package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/server/sysclock"
)

func TestSourceConfig(t *testing.T) {
	const end = "[[endpoint]]\naddress = \"127.0.0.1:0\"\n"
	path := filepath.Join(t.TempDir(), "t.toml")
	for _, c := range []struct{ text, say string }{
		{`type = "gps"`, "source.type: "},
		{`path = ""`, "source.path: is empty"},
		{`stratum = 2`, `source.stratum: is of no use here; want type = "kernel"`},
		{"type = \"kernel\"\naddress = \"127.0.0.1:323\"", `source.address: is of no use here; want type = "chrony"`},
		{"type = \"chrony\"\nrefid = \"GPS\"", `source.refid: is of no use here`},
		{"type = \"chrony\"\naddress = \"192.0.2.1:323\"", "source.address: chronyd's address 192.0.2.1:323 is not on this machine"},
		{"type = \"chrony\"\naddress = \"chronyd\"", "source.address: "},
		{"type = \"kernel\"\nstratum = 0", "source.stratum: 0 is no stratum"},
		{"type = \"kernel\"\nstratum = 16", "source.stratum: 16 is no stratum"},
		{"type = \"kernel\"\nstratum = 2\nrefid = \"GPS\"", `source.refid: "GPS" is no reference identifier`},
	} {
		write(t, path, "[source]\n"+c.text+"\n"+end)
		if _, err := load(path); err == nil || exit(err) != 78 || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %v; want %q", c.text, err, c.say)
		}
	}
	for _, c := range []struct {
		text string
		want string
	}{
		{`type = "snapshot"`, "<nil>"},
		{`type = "chrony"`, fmt.Sprintf("&{Path:%s Chrony:%s Stratum:10 RefID:[127 127 1 1] Log:<nil>}", defaultSnapshot, sysclock.DefaultChrony)},
		{"type = \"chrony\"\naddress = \"/run/chrony/chronyd.sock\"\npath = \"/x\"", "&{Path:/x Chrony:/run/chrony/chronyd.sock Stratum:10 RefID:[127 127 1 1] Log:<nil>}"},
		{`type = "kernel"`, fmt.Sprintf("&{Path:%s Chrony: Stratum:10 RefID:[127 127 1 1] Log:<nil>}", defaultSnapshot)},
		{"type = \"kernel\"\nstratum = 1\nrefid = \"PPS\"", fmt.Sprintf("&{Path:%s Chrony: Stratum:1 RefID:[80 80 83 0] Log:<nil>}", defaultSnapshot)},
		{"type = \"kernel\"\nstratum = 2\nrefid = \"192.0.2.9\"", fmt.Sprintf("&{Path:%s Chrony: Stratum:2 RefID:[192 0 2 9] Log:<nil>}", defaultSnapshot)},
	} {
		write(t, path, "[source]\n"+c.text+"\n"+end)
		s, err := load(path)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := fmt.Sprintf("%+v", s.source); got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}
