package refclockd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/config"
	"noonmark/internal/proctest"
)

// TestAFleetSetsWitnessesThatOnlyRaiseAnAlarm: whatever else the file names is refused with its
// line, and then all of it.
func TestAFleetSetsWitnessesThatOnlyRaiseAnAlarm(t *testing.T) {
	t.Parallel()
	const good = "[[witness]]\naddress = \"time.example\"\n"
	for _, c := range []struct{ name, text, want string }{
		{"required", good + "required = true\n", ":3: witness[0].required: "},
		{"a file", good + "ca = \"/etc/shadow\"\n", ":3: witness[0].ca: "},
		{"a clock", "[clock]\nsource = \"none\"\n", ":1: clock: "},
		{"a device", good + "[receiver]\ndevice = \"/dev/null\"\n", ":3: receiver: "},
		{"a pulse", "pulse.bias = \"1ms\"\n", ":1: pulse"},
		{"a folder", "state_dir = \"/\"\n", ":1: state_dir: "},
		{"another file of a fleet", "fleet = \"/tmp/x\"\n", ":1: fleet: "},
		{"the mode of the system clock", "system_clock = \"off\"\n", ":1: system_clock: "},
		{"a witness without a name", "[[witness]]\nnts = false\n", ":1: witness[0].address: is empty"},
		{"one twice", good + good, ":4: witness[1].address: \"time.example\" is named twice"},
		{"too often", good + "interval = \"1s\"\n", ":3: witness[0].interval: 1s is out of range"},
		{"no offset at all", good + "max_offset = \"1ns\"\n", ":3: witness[0].max_offset: 1ns is out of range"},
		{"too many", strings.Repeat("[[witness]]\naddress = \"a\"\n", MaxFleetWitnesses+1), "9 are set; want 8 at most"},
		{"too long", good + "#" + strings.Repeat("x", config.MaxFragment), "longer than"},
		{"no TOML", "[[witness\n", ":1: "},
	} {
		path := proctest.Write(t, filepath.Join(t.TempDir(), "f.toml"), c.text)
		servers, content, err := LoadFleet(path)
		if err == nil || !strings.Contains(err.Error(), c.want) || servers != nil || content != "" {
			t.Errorf("%s: %v, %q, %v; want %q", c.name, servers, content, err, c.want)
		}
		if want := c.name != "too long"; errors.Is(err, config.ErrFragmentContent) != want {
			t.Errorf("%s: %v is of another kind", c.name, err)
		}
		// It does not keep the daemon from running.
		s, err := Load(write(t, "fleet = \""+path+"\"\n[clock]\nsource = \"sim\"\n[pulse]\nsource = \"sim\"\n"))
		if err != nil || len(s.Servers) > 0 || !strings.Contains(strings.Join(s.Warnings, "\n"), "what it names is not used") {
			t.Errorf("%s: %v, servers %v, warnings %q", c.name, err, s.Servers, s.Warnings)
		}
	}

	text := good + "nts = false\nmax_offset = \"1ms\"\ninterval = \"1m\"\n"
	path := proctest.Write(t, filepath.Join(t.TempDir(), "f.toml"), text)
	servers, content, err := LoadFleet(path)
	if err != nil || len(servers) != 1 || content != config.FragmentContent(text) {
		t.Fatalf("%v, %q, %v", servers, content, err)
	}
	if w := servers[0]; w.Host != "time.example" || w.NTS || w.Required || w.MaxOffset.String() != "1ms" || w.Interval.String() != "1m0s" {
		t.Errorf("%+v", w)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if servers, _, err := LoadFleet(path); servers != nil || !errors.Is(err, config.ErrFragmentOwner) {
		t.Errorf("a file that all may write: %v, %v", servers, err)
	}
	if servers, content, err := LoadFleet(path + ".none"); servers != nil || content != "" || err != nil {
		t.Errorf("no file: %v, %q, %v", servers, content, err)
	}
	if _, err := Load(write(t, "fleet = \"f.toml\"\n")); err == nil || !strings.Contains(err.Error(), "1: fleet: \"f.toml\" is not an absolute path") {
		t.Errorf("a path that is not absolute: %v", err)
	}
}

// FuzzLoadFleet: no text makes a witness that is required or names a file, or too many.
func FuzzLoadFleet(f *testing.F) {
	for _, text := range []string{"", "[[witness]]\naddress = \"a\"\nrequired = true\n", "[[witness]]\naddress = \"[::1]:4460\"\nca = \"x\"\n", "witness = [{address = \"a\"}, {address = \"b\", nts = false}]\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		path := filepath.Join(t.TempDir(), "f.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		servers, content, err := LoadFleet(path)
		if (err == nil) != (content != "") || err != nil && servers != nil || len(servers) > MaxFleetWitnesses {
			t.Fatalf("%d servers, %q, %v", len(servers), content, err)
		}
		for _, w := range servers {
			if w.Required || w.CA != "" || w.Host == "" || w.Interval < minWitnessInterval {
				t.Fatalf("%+v", w)
			}
		}
	})
}
