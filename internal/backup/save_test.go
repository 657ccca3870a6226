package backup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"noonmark/internal/exitcode"
)

func TestAFileWithABackupIsForItsOwnerAndIsNotOverwritten(t *testing.T) {
	t.Parallel()
	m, name := machine(t), filepath.Join(t.TempDir(), "backup")
	if _, err := m.Save(name, false, time.Now()); err == nil || !strings.Contains(err.Error(), "nothing to keep in /etc/noonmark") {
		t.Errorf("of an empty machine: %v", err)
	}
	m.put(t, "/etc/noonmark/refclockd.toml", "state_dir = \"/srv/learned\"\n", 0o644)
	m.put(t, "/etc/noonmark/ntsserve.toml", "[[endpoint]]\naddress = \"127.0.0.1:123\"\n[keys]\nfile = \"/srv/keys\"\n", 0o644)
	m.put(t, "/var/lib/refclock/record/0001", "large", 0o600)
	m.put(t, "/var/lib/noonmark-fleet/node.json", "{}", 0o600)
	saved, err := m.Save(name, false, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(name)
	if err != nil || fi.Mode().Perm() != 0o600 || int(fi.Size()) != saved.Octets {
		t.Errorf("%v, %v; %d octets were saved", err, fi, saved.Octets)
	}
	for _, want := range []string{"/var/lib/noonmark-fleet: the membership of a fleet; a restored node joins anew", "/var/lib/refclock/record: a directory", "/srv/learned/state: state_dir is outside of ", "/srv/keys: keys.file is outside of "} {
		if !slices.ContainsFunc(saved.Skipped, func(s string) bool { return strings.HasPrefix(s, want) }) {
			t.Errorf("%q is not named in %q", want, saved.Skipped)
		}
	}
	if _, err := m.Save(name, false, time.Now()); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "-force") {
		t.Errorf("a second one: %v", err)
	}
	if _, err := m.Save(name, true, time.Now()); err != nil {
		t.Error(err)
	}
	b, err := Load(name)
	if err != nil || len(b.Files) != saved.Files {
		t.Fatalf("%v; %d files were saved", err, saved.Files)
	}
	var text strings.Builder
	b.WriteText(&text)
	if !strings.Contains(text.String(), "-rw-r--r-- ntsserve  ntsserve        27 /etc/noonmark/refclockd.toml\n") {
		t.Errorf("it lists\n%s", &text)
	}
}

func TestADifferentFileIsReplacedOnlyIfAsked(t *testing.T) {
	t.Parallel()
	const name = "/etc/noonmark/ntsserve.toml"
	b := &Backup{Files: []File{{Name: name, Mode: 0o644, User: "ntsserve", Group: "ntsserve", Data: []byte("new\n")}}}
	m := machine(t)
	m.put(t, name, "old\n", 0o644)
	content := func() string {
		text, err := os.ReadFile(m.path(name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if err := m.Restore(b, false); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), name+"; -force") || content() != "old\n" {
		t.Errorf("%v; it has %q", err, content())
	}
	for range 2 { // the second time nothing differs
		if err := m.Restore(b, content() == "old\n"); err != nil || content() != "new\n" {
			t.Errorf("%v; it has %q", err, content())
		}
	}
}

// The secrets of a fleet's node are renewed elsewhere: those of a backup may have been revoked.
func TestSecretsThatOthersRenewMayBeOutdated(t *testing.T) {
	t.Parallel()
	const keys = "/var/lib/ntsserve/keys"
	for _, x := range []struct {
		renew string
		file  string
		warns bool
	}{{"never", "/var/lib/ntsserve/other", false}, {"auto", keys, false}, {"never", keys, true}} {
		m := machine(t)
		m.put(t, "/etc/noonmark/ntsserve.toml", "[[endpoint]]\naddress = \"127.0.0.1:123\"\n[keys]\nfile = \""+keys+"\"\nrenew = \""+x.renew+"\"\n", 0o644)
		said := m.Outdated(&Backup{Files: []File{{Name: x.file, Data: []byte{}}}})
		if warns := strings.HasPrefix(said, keys+" may be older") && strings.Contains(said, "noonmark-fleet join -"); warns != x.warns {
			t.Errorf("renew %s, %s: %q", x.renew, x.file, said)
		}
	}
}

func TestUnitsAreEnabledWhereSystemdRuns(t *testing.T) {
	t.Parallel()
	units := []string{"ntsserve.service", "refclockd.service"}
	for _, x := range []struct {
		name    string
		systemd bool
		units   []string
		fails   string // which call of systemctl
		calls   []string
		says    string
		err     string
	}{
		{"no systemd", false, units, "", nil, "enable: ntsserve.service refclockd.service\n", ""},
		{"no unit was enabled", true, nil, "", []string{"daemon-reload"}, "", ""},
		{"reload fails", true, units, "daemon-reload", []string{"daemon-reload"}, "", "systemctl daemon-reload: broken"},
		{"enable fails", true, units, "enable", []string{"daemon-reload", "enable ntsserve.service refclockd.service"}, "", "is the package installed?"},
		{"all is well", true, units, "", []string{"daemon-reload", "enable ntsserve.service refclockd.service"}, "now: systemctl restart ntsserve.service refclockd.service\n", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			m := machine(t)
			if x.systemd {
				m.put(t, "/run/systemd/system/x", "", 0o644)
			}
			var calls []string
			var out strings.Builder
			err := m.Enable(&out, x.units, func(name string, args ...string) (string, error) {
				calls = append(calls, strings.Join(args, " "))
				if name != "systemctl" || args[0] == x.fails {
					return "", errors.New("broken")
				}
				return "", nil
			})
			if x.err == "" && err != nil || x.err != "" && (!errors.Is(err, exitcode.ErrUnavailable) || !strings.Contains(err.Error(), x.err)) {
				t.Errorf("%v, want %q", err, x.err)
			}
			if !slices.Equal(calls, x.calls) || !strings.HasSuffix(out.String(), x.says) {
				t.Errorf("calls %q, says %q", calls, &out)
			}
		})
	}
}
