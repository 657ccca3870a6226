package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"noonmark/internal/exitcode"
)

// sample has one of everything that the daemons' files have.
type sample struct {
	Dir      string `toml:"runtime_dir"`
	Receiver struct {
		Device string   `toml:"device"`
		Baud   int      `toml:"baud"`
		Floor  Date     `toml:"not_before"`
		Cable  Duration `toml:"cable"`
		Scale  float64  `toml:"scale"`
		On     bool     `toml:"on"`
		Pin    uint8    `toml:"pin"`
	} `toml:"receiver"`
	Endpoint []struct {
		Address AddrPort `toml:"address"`
		NTS     string   `toml:"nts"`
	} `toml:"endpoint"`
	Access struct {
		Allow []Prefix       `toml:"allow"`
		Rates map[string]int `toml:"rates"`
	} `toml:"access"`
	At time.Time `toml:"at"`
	inner
	//lint:ignore U1000 seen by reflection, where it must stay unknown
	secret string
}

type inner struct {
	Level string `toml:"level"`
}

func TestParseReportsLineKeyAndRemedy(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, in, want string }{
		// what is wrong comes first
		{"syntax", "a\n", "f.toml:1: "},
		{"syntax later", "level = \"x\"\n\n[receiver\n", "f.toml:3: "},
		{"no quotes", "[receiver]\ndevice = /dev/x\n", "f.toml:2: "},
		{"open string", "level = \"x\n", "f.toml:1: "},
		{"not UTF-8", "level = \"\xff\"\n", "f.toml:1: "},
		{"control byte", "level = \"\x00\"\n", "f.toml:1: "},
		{"key twice", "level = \"a\"\nlevel = \"b\"\n", "f.toml:2: level: "},
		{"table twice", "[receiver]\n[receiver]\n", "f.toml:2: receiver: "},
		{"unknown key", "[receiver]\n\ndevcie = \"x\"\n", "f.toml:3: receiver.devcie: is not known; did you mean device?"},
		{"unknown far key", "colour = 1\n", "f.toml:1: colour: is not known; the top of the file can have access, at, endpoint, level, receiver, runtime_dir"},
		{"unknown table", "[reciever]\ndevice = \"x\"\n", "f.toml:1: reciever: is not known; did you mean receiver?"},
		{"wrong case", "[receiver]\nDevice = \"x\"\n", "f.toml:2: receiver.Device: is not known; did you mean device?"},
		{"unexported", "secret = \"x\"\n", "f.toml:1: secret: is not known; "},
		{"unknown in array", "[[endpoint]]\n[[endpoint]]\nadress = \"x\"\n", "f.toml:3: endpoint[1].adress: is not known; did you mean address?"},
		{"unknown in inline table", "receiver = { baud = 1, bawd = 2 }\n", "f.toml:1: receiver.bawd: is not known; did you mean baud?"},
		{"unknown dotted", "receiver.bawd = 2\n", "f.toml:1: receiver.bawd: is not known; did you mean baud?"},
		{"odd key", "\"a b\" = 2\n", "f.toml:1: \"a b\": is not known; "},
		{"text for number", "[receiver]\nbaud = \"9600\"\n", "f.toml:2: receiver.baud: is text; want a whole number"},
		{"number for text", "level = 3\n", `f.toml:1: level: is a whole number; want text "in quotes"`},
		{"text for bool", "[receiver]\non = \"yes\"\n", "f.toml:2: receiver.on: is text; want true or false"},
		{"text for float", "[receiver]\nscale = \"1\"\n", "f.toml:2: receiver.scale: is text; want a number"},
		{"nan", "[receiver]\nscale = nan\n", "f.toml:2: receiver.scale: nan is not a finite number; want a number"},
		{"inf", "[receiver]\nscale = -inf\n", "f.toml:2: receiver.scale: -inf is not a finite number; want a number"},
		{"uint too large", "[receiver]\npin = 256\n", "f.toml:2: receiver.pin: 256 is out of range; want a whole number from 0 to 255"},
		{"uint negative", "[receiver]\npin = -1\n", "f.toml:2: receiver.pin: -1 is out of range; want a whole number from 0 to 255"},
		{"int too large", "[receiver]\nbaud = 99999999999999999999\n", "f.toml:2: receiver.baud: 99999999999999999999 is out of range; "},
		{"number for duration", "[receiver]\ncable = 5\n", `f.toml:2: receiver.cable: is a whole number; want a duration in quotes such as "1m30s", "50ms" or "11.7us"`},
		{"bad duration", "[receiver]\ncable = \"5 parsec\"\n", `f.toml:2: receiver.cable: "5 parsec" is not a duration; want a duration in quotes such as`},
		{"bare date", "[receiver]\nnot_before = 2026-11-01\n", `f.toml:2: receiver.not_before: is a date or time; want a date in quotes such as "2026-11-01"`},
		{"no such day", "[receiver]\nnot_before = \"2026-11-31\"\n", `f.toml:2: receiver.not_before: "2026-11-31" is not a date; want`},
		{"text for time", "at = \"now\"\n", "f.toml:1: at: is text; want a date and time such as"},
		{"bad address", "[[endpoint]]\naddress = \"localhost:123\"\n", `f.toml:2: endpoint[0].address: "localhost:123" is not an address with a port; `},
		{"no port", "[[endpoint]]\naddress = \"::1\"\n", `f.toml:2: endpoint[0].address: "::1" is not an address with a port; `},
		{"bad prefix in list", "[access]\nallow = [\n  \"192.0.2.0/24\",\n  \"192.0.2.0/33\",\n]\n", `f.toml:4: access.allow[1]: "192.0.2.0/33" is not a network; want`},
		{"host bits", "[access]\nallow = [\"10.1.2.3/8\"]\n", `f.toml:2: access.allow[0]: "10.1.2.3/8" has bits beyond its length; want "10.0.0.0/8" or "10.1.2.3"`},
		{"mixed families", "[access]\nallow = [\"::ffff:10.0.0.0/90\"]\n", `mixes IPv4 and IPv6; want`},
		{"zone", "[access]\nallow = [\"fe80::1%eth0\"]\n", `is not a network; want`},
		{"text for list", "[access]\nallow = \"10.0.0.0/8\"\n", "f.toml:2: access.allow: is text; want [a list], each a network in quotes"},
		{"list of wrong", "[access]\nallow = [ 1 ]\n", "f.toml:2: access.allow[0]: is a whole number; want a network in quotes"},
		{"map of wrong", "[access.rates]\nx = 1.5\n", "f.toml:2: access.rates.x: is a number with a fraction; want a whole number"},
		{"table for array of tables", "[endpoint]\nnts = \"off\"\n", "f.toml:1: endpoint: is one table; want [[endpoint]] here, as there can be several"},
		{"array of tables for table", "[[receiver]]\n", "f.toml:1: receiver: is an array of tables; want [receiver] here, as there is only one"},
		{"table for value", "[receiver.baud]\nx = 1\n", "f.toml:1: receiver.baud: is a table; want receiver.baud = a whole number"},
		{"table for list", "[access.allow]\n", "f.toml:1: access.allow: is a table; want access.allow = [a list], each a network"},
		{"dotted into value", "[receiver]\nbaud.x = 1\n", "f.toml:2: receiver.baud: is a table; want a whole number"},
		{"dotted into duration", "[receiver]\ncable.Duration = 1\n", "f.toml:2: receiver.cable: is a table; want a duration"},
		{"value for table", "receiver = 3\n", "f.toml:1: receiver: is a whole number; want a table"},
		{"too large", "# " + strings.Repeat("x", MaxSize) + "\n", "f.toml:1: is larger than 65536 bytes; "},
		{"UTF-16", "\xff\xfel\x00", "f.toml:1: is UTF-16 text; save it as UTF-8"},
		{"duration with a space", "[receiver]\ncable = \"5 ms\"\n", `"5 ms" is not a duration; did you mean "5ms"? want`},
		{"duration in days", "[receiver]\ncable = \"3d\"\n", `"3d" is not a duration; did you mean "72h"? want`},
		{"address of nothing", "[[endpoint]]\naddress = \":123\"\n", `":123" is not an address with a port; want "0.0.0.0:123" for every IPv4 address, "[::]:123" for every IPv6 address, or "127.0.0.1:123" for this machine only`},
		{"star", "[[endpoint]]\naddress = \"*:123\"\n", `; want "0.0.0.0:123" for every IPv4`},
		{"only a port", "[[endpoint]]\naddress = \"123\"\n", `; want "0.0.0.0:123" for every IPv4`},
		{"name of this machine", "[[endpoint]]\naddress = \"localhost:123\"\n", `; names are not looked up; want "127.0.0.1:123" or "[::1]:123"`},
		{"another name", "[[endpoint]]\naddress = \"a.example:123\"\n", `; names are not looked up; want an address and a port`},
		{"address without port", "[[endpoint]]\naddress = \"::1\"\n", `; the port is missing; want an address and a port`},
		{"port too large", "[[endpoint]]\naddress = \"127.0.0.1:70000\"\n", `; want an address and a port`},
		{"byte order mark", "\xef\xbb\xbflevel = \"x\"\n", "f.toml:1: begins with a byte order mark; "},

		{"empty", "", ""},
		{"comments", "# nothing\n\n", ""},
		{"CRLF", "level = \"x\"\r\n[receiver]\r\nbaud = 1\r\n", ""},
		{"dotted", "receiver.baud = 4_800\nreceiver.pin = 0x1f\n", ""},
		{"inline", "receiver = { baud = 1, cable = \"1us\" }\nendpoint = [ { nts = \"off\" }, ]\n", ""},
		{"whole number for float", "[receiver]\nscale = 2\n", ""},
		{"map", "[access.rates]\nany = 1\n\"o d d\" = 2\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var s sample
			_, err := Parse("f.toml", []byte(tt.in), &s)
			if tt.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil {
				t.Fatalf("accepted as %+v, want %q", s, tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %s\nwant %s", err, tt.want)
			}
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || exitcode.Of(err) != exitcode.Config {
				t.Errorf("got %#v with exit code %d, want an *Error with a line and code 78", err, exitcode.Of(err))
			}
			if !strings.Contains(err.Error(), "; ") {
				t.Errorf("%s: names no remedy", err)
			}
		})
	}
}

// What is no fault of the file is started again.
func TestFileThatCannotBeReadIsNoWrongConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, missing := Load(filepath.Join(dir, "none"), &sample{})
	_, folder := Load(dir, &sample{})
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"missing", missing, exitcode.Config},
		{"a folder", folder, exitcode.Config},
		{"of another user", fileError("f", &fs.PathError{Op: "open", Path: "f", Err: syscall.EACCES}), exitcode.Permission},
		{"on a disc that fails", fileError("f", &fs.PathError{Op: "read", Path: "f", Err: syscall.EIO}), exitcode.Unavailable},
		{"no descriptor is left", fileError("f", &fs.PathError{Op: "open", Path: "f", Err: syscall.EMFILE}), exitcode.Unavailable},
	} {
		if got := exitcode.Of(c.err); got != c.want {
			t.Errorf("%s: exit code %d, want %d: %v", c.name, got, c.want, c.err)
		}
	}
}

func TestParseFillsInTheValuesOfTheFile(t *testing.T) {
	t.Parallel()
	s := sample{Dir: "/run/default"}
	s.Receiver.Baud = 9600
	f, err := Parse("f.toml", []byte(`level = "debug"
at = 2026-11-01T00:00:00Z

[receiver]
device = "/dev/ttyAMA0"
not_before = "2026-11-01"
cable = "-11.7us"
scale = 2
pin = 0xff

[[endpoint]]
address = "0.0.0.0:123"
[[endpoint]]
address = "[::1]:123"
nts = "only"

[access]
allow = ["192.0.2.0/24", "::1", "::ffff:198.51.100.0/120"]
`), &s)
	if err != nil {
		t.Fatal(err)
	}
	if s.Dir != "/run/default" || s.Receiver.Baud != 9600 {
		t.Errorf("defaults were lost: %+v", s)
	}
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if r := s.Receiver; r.Device != "/dev/ttyAMA0" || !r.Floor.Equal(day) || r.Cable.Duration != -11700 || r.Scale != 2 || r.Pin != 255 {
		t.Errorf("receiver = %+v", r)
	}
	if !s.At.Equal(day) || s.Level != "debug" {
		t.Errorf("at = %v, level = %q", s.At, s.Level)
	}
	if len(s.Endpoint) != 2 || s.Endpoint[0].Address.String() != "0.0.0.0:123" || s.Endpoint[1].NTS != "only" {
		t.Errorf("endpoint = %+v", s.Endpoint)
	}
	var got []netip.Prefix
	for _, p := range s.Access.Allow {
		got = append(got, p.Prefix)
	}
	if want := []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("198.51.100.0/24")}; !reflect.DeepEqual(got, want) {
		t.Errorf("allow = %v, want %v", got, want)
	}

	for key, line := range map[string]int{
		"level": 1, "receiver": 4, "receiver.device": 5, "receiver.baud": 4, "endpoint": 11, "endpoint[0].address": 12,
		"endpoint[1]": 13, "endpoint[1].nts": 15, "endpoint[0].nts": 11, "access.allow[1]": 18, "access.deny": 17, "pulse.device": 1, "": 1,
	} {
		if n := f.Line(key); n != line {
			t.Errorf("Line(%q) = %d, want %d", key, n, line)
		}
	}
	if !f.Has("receiver.pin") || f.Has("receiver.baud") {
		t.Error("Has confuses what is set with what is default")
	}
	err = f.Errorf("receiver.baud", "%d is no baud rate: %w; want 9600", 7, os.ErrInvalid)
	if want := "f.toml:4: receiver.baud: 7 is no baud rate: invalid argument; want 9600"; err.Error() != want || !errors.Is(err, os.ErrInvalid) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := f.OneOf("endpoint[1].nts", "only", "allow", "only", "off"); err != nil {
		t.Error(err)
	}
	for word, want := range map[string]string{
		"onyl":  `f.toml:15: endpoint[1].nts: "onyl" is not known; did you mean "only"? want "allow", "only" or "off"`,
		"maybe": `f.toml:15: endpoint[1].nts: "maybe" is not known; want "allow", "only" or "off"`,
	} {
		if err := f.OneOf("endpoint[1].nts", word, "allow", "only", "off"); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// What a file has besides its errors is read, so that it can be checked as well.
func TestParseReadsTheRestOfAFileWithErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text string }{
		{"unknown key", "%s\ncolour = 1\n%s"},
		{"unknown table", "%s\n%s[color]\nred = 1\n"},
		{"wrong type", "%s\nruntime_dir = 3 # why\n%s"},
		{"wrong type over several lines", "%s\nruntime_dir = [\n  1, # one\n  2,\n]\n\n%s"},
		{"text over several lines", "%s\nat = \"\"\"a\nlevel = 'no'\n\"\"\"\n%s"},
		{"at the end", "%s\n%s[access]\nallow = [\n1,\n]\n"},
	} {
		s := sample{Dir: "/run/default"}
		f, err := Parse("f.toml", fmt.Appendf(nil, c.text, "level = \"x\"", "[receiver]\nbaud = 7\n"), &s)
		if err == nil || f == nil {
			t.Errorf("%s: %v, file %v", c.name, err, f)
			continue
		}
		if s.Level != "x" || s.Receiver.Baud != 7 || s.Dir != "/run/default" || len(s.Access.Allow) > 0 {
			t.Errorf("%s: read %+v", c.name, s)
		}
	}
	for name, text := range map[string]string{
		"syntax": "level = \"x\"\n[receiver\n", "shape": "level = \"x\"\n[endpoint]\nnts = \"off\"\n", "twice": "colour = 1\nlevel = \"a\"\nlevel = \"b\"\n",
	} {
		if f, err := Parse("f.toml", []byte(text), new(sample)); f != nil || err == nil {
			t.Errorf("%s: file %v, error %v", name, f, err)
		}
	}
}

// Several errors come at once, but not without limit.
func TestParseReportsManyErrorsWithALimit(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&b, "x%d = 1\n", i)
	}
	_, err := Parse("f.toml", []byte(b.String()), new(sample))
	if err == nil || strings.Count(err.Error(), "is not known") != maxErrors {
		t.Errorf("got %v, want %d errors", err, maxErrors)
	}
}

func TestLoadErrorsAndTheirExitCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string, mode fs.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	tests := []struct {
		name, path, want string
		code             int
	}{
		{"device", os.DevNull, os.DevNull + ": cannot be read: not a regular file but a device; name a readable TOML file", exitcode.Config},
		{"absent", filepath.Join(dir, "none.toml"), "none.toml: cannot be read: no such file or directory; create it, or name another with -config FILE", exitcode.Config},
		{"folder", dir, ": cannot be read: not a regular file but a directory; name a readable TOML file", exitcode.Config},
		{"huge", write("huge.toml", strings.Repeat("\n", MaxSize+1), 0o600), "huge.toml:1: is larger than 65536 bytes; ", exitcode.Config},
		{"bad", write("bad.toml", "\n\nlevle = 1\n", 0o600), "bad.toml:3: levle: is not known; did you mean level?", exitcode.Config},
		{"good", write("good.toml", "level = \"info\"\n", 0o600), "", exitcode.OK},
	}
	if os.Getuid() != 0 {
		tests = append(tests, struct {
			name, path, want string
			code             int
		}{"forbidden", write("forbidden.toml", "", 0), "forbidden.toml: cannot be read: permission denied; let this user read it", exitcode.Permission})
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(tt.path, new(sample))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if c := exitcode.Of(err); c != tt.code {
				t.Errorf("exit code %d, want %d", c, tt.code)
			}
		})
	}
}

func TestErrorsOfAFileDecideTheExitCode(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		code int
	}{
		{&Error{File: "f", Problem: "p", Err: fs.ErrPermission}, exitcode.Permission},
		{errors.Join(&Error{File: "f", Problem: "p"}, errors.New("more")), exitcode.Config},
		{&Error{File: "f", Problem: "p", Err: fs.ErrNotExist}, exitcode.Config},
	} {
		if c := exitcode.Of(tt.err); c != tt.code {
			t.Errorf("exit code of %v is %d, want %d", tt.err, c, tt.code)
		}
	}
}

// FuzzParse: no panic, and every refusal has the promised shape.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "level = \"x\"\n[receiver]\nbaud = 1\ncable = \"1s\"\n", "[[endpoint]]\naddress = \"[::1]:1\"\n[endpoint.x]\n",
		"receiver = { baud = 1 }\n", "access.allow = [\"::1\", # c\n]\n", "a.b.c.\"d e\" = [[[1]]]\n", "[access.rates]\nx = 1e9\n", "at = 2026-11-01T00:00:00Z\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var s sample
		file, err := Parse("f.toml", in, &s)
		if err == nil {
			for k, n := range file.line {
				if n < 1 || n > strings.Count(string(in), "\n")+1 {
					t.Errorf("key %q on line %d", k, n)
				}
			}
			return
		}
		var e *Error
		if !errors.As(err, &e) || e.Line < 1 || e.Problem == "" {
			t.Errorf("%#v is not an error with a line", err)
		}
	})
}

func FuzzTypes(f *testing.F) {
	for _, s := range []string{"", "1s", "10.0.0.0/8", "::ffff:1.2.3.4/120", "[::1]:1", "2026-11-01", "fe80::1%e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var d Duration
		var p, p2 Prefix
		var a AddrPort
		var day Date
		_, _, _ = d.UnmarshalText([]byte(s)), a.UnmarshalText([]byte(s)), day.UnmarshalText([]byte(s))
		if p.UnmarshalText([]byte(s)) != nil {
			return
		}
		out, _ := p.MarshalText()
		if err := p2.UnmarshalText(out); err != nil || p != p2 {
			t.Errorf("%q reads as %v, which reads as %v, %v", s, p, p2, err)
		}
	})
}
