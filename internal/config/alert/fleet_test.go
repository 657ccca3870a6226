package alert

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/proctest"
)

// TestAFleetSetsConditionsThatStillReport: it names no target and switches nothing off, and what
// the operator's file names wins.
func TestAFleetSetsConditionsThatStillReport(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "fleet.toml")
	own := write(t, "fleet = \""+path+"\"\n[conditions]\nholdover = \"3m\"\n")
	for _, c := range []struct{ name, text, want string }{
		{"a command", "[[alert]]\nname = \"x\"\ntype = \"command\"\ncommand = [\"/bin/sh\"]\n", ":1: alert: is not known"},
		{"a file", "state = \"/etc/passwd\"\n", ":1: state: is not known"},
		{"another file of a fleet", "fleet = \"/x\"\n", ":1: fleet: is not known"},
		{"an unknown condition", "[conditions]\nbuond = \"1s\"\n", ":2: conditions.buond: is not known"},
		{"off, a time", "[conditions]\nnot_locked = \"0s\"\n", ":2: conditions.not_locked: switches the condition off"},
		{"off, a word", "[conditions]\nwitness = false\n", ":2: conditions.witness: switches the condition off"},
		{"off, a share", "[conditions]\ndisc_free = 0.0\n", ":2: conditions.disc_free: switches the condition off"},
		{"off, one that is off", "[conditions]\nbound = \"0s\"\n", ":2: conditions.bound: switches the condition off"},
		{"so late that nobody hears of it", "[conditions]\nnot_locked = \"21m\"\n", ":2: conditions.not_locked: 21m0s is more than ten times the default"},
		{"an alert that does not end", "[conditions]\nclear = \"1h\"\n", ":2: conditions.clear: 1h0m0s is more than ten times"},
		{"a warning too late", "[conditions]\ncertificate = \"1h\"\n", ":2: conditions.certificate: 1h0m0s is less than a tenth of the default"},
		{"no share", "[conditions]\ndisc_free = 5.0\n", ":2: conditions.disc_free: 5 is not a share"},
		{"not a number", "[conditions]\nke_refusals = nan\n", ":2: conditions.ke_refusals"},
		{"no TOML", "[conditions", ":1: "},
	} {
		proctest.Write(t, path, c.text)
		s, err := Load(own)
		if err != nil || !strings.Contains(strings.Join(s.Warnings, "\n"), "fleet: what it names is not used") {
			t.Fatalf("%s: it keeps the process from running: %v, warnings %q", c.name, err, s.Warnings)
		}
		all, err := s.Combine()
		if !errors.Is(err, config.ErrFragmentContent) || !strings.Contains(err.Error(), c.want) || all.Content != "" || all.Conditions != s.Conditions {
			t.Errorf("%s: %+v, %v; want %q", c.name, all, err, c.want)
		}
	}

	const good = "[conditions]\nnot_locked = \"20m\"\nholdover = \"1h\"\nbound = \"1us\"\ncertificate = \"400h\"\nke_refusals = 60.0\nantenna = true\n"
	proctest.Write(t, path, good)
	s, err := Load(own)
	if err != nil {
		t.Fatal(err)
	}
	all, err := s.Combine()
	want := Default().Conditions
	want.NotLocked, want.Holdover, want.Bound, want.Certificate, want.KERefusals = config.D(20*time.Minute), config.D(3*time.Minute), config.D(time.Microsecond), config.D(400*time.Hour), 60
	if err != nil || all.Conditions != want || all.Content != config.FragmentContent(good) || !reflect.DeepEqual(all.Overridden, []string{"conditions.holdover"}) {
		t.Errorf("%+v, %v, want %+v", all, err, want)
	}
	if err := os.Chmod(path, 0o646); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Combine(); !errors.Is(err, config.ErrFragmentOwner) || all.Conditions != s.Conditions {
		t.Errorf("a file that others may write: %+v, %v", all, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if all, err := s.Combine(); err != nil || all.Content != "" || all.Conditions != s.Conditions {
		t.Errorf("no file: %+v, %v", all, err)
	}
	if _, err := Load(write(t, "fleet = \"x\"\n")); err == nil || !strings.Contains(err.Error(), ":1: fleet: \"x\" is not an absolute path") {
		t.Errorf("a path that is not absolute: %v", err)
	}
}

// FuzzCombine: no text switches a condition off that is on.
func FuzzCombine(f *testing.F) {
	for _, text := range []string{"", "[conditions]\nwitness = false\n", "conditions = {not_locked = \"-1s\", disc_free = 1e-300}\n", "[conditions]\nke_refusals = inf\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := Settings{File: Default()}
		s.Fleet = filepath.Join(t.TempDir(), "f.toml")
		if err := os.WriteFile(s.Fleet, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		all, err := s.Combine()
		if (err == nil) != (all.Content != "") {
			t.Fatalf("%q, %v", all.Content, err)
		}
		is, usual := reflect.ValueOf(all.Conditions), reflect.ValueOf(Default().Conditions)
		for i := range is.NumField() {
			if v, d := amount(is.Field(i)), amount(usual.Field(i)); d > 0 && !(v > 0 && (v <= weaker*d || early[conditionKey(is.Type(), i)])) {
				t.Fatalf("%s is %v, usually %v", conditionKey(is.Type(), i), v, d)
			}
		}
	})
}
