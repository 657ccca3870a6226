package alert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"noonmark/internal/exitcode"
	"noonmark/internal/proctest"
)

func write(t *testing.T, text string) string {
	t.Helper()
	return proctest.Write(t, filepath.Join(t.TempDir(), "alert.toml"), text)
}

func TestBadFilesAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	target := "[[alert]]\nname = \"x\"\n"
	mail := target + "type = \"email\"\nserver = \"mail.test:587\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n"
	for _, x := range []struct{ text, want string }{
		{"nonsense = 1\n", "1: nonsense: is not known"},
		{"runtime_dir = \"run\"\n", "1: runtime_dir: \"run\" is not an absolute path"},
		{"discs = [\"/\", \"var\"]\n", "1: discs[1]"},
		{"serving = \"serving.json\"\n", "1: serving: \"serving.json\" is not an absolute path"},
		{"ntsserve_config = \"ntsserve.toml\"\n", "1: ntsserve_config: \"ntsserve.toml\" is not an absolute path"},
		{"refclockd_config = \"x\"\n", "1: refclockd_config: \"x\" is not an absolute path"},
		{"[conditions]\nserver_silent = \"-1s\"\n", "2: conditions.server_silent"},
		{"[conditions]\ndisc_free = 5.0\n", "2: conditions.disc_free: 5 is not a share"},
		{"[conditions]\nke_refusals = -1.0\n", "2: conditions.ke_refusals"},
		{"[conditions]\nbound = \"2s\"\n", "2: conditions.bound: 2s is out of range"},
		{"[conditions]\nclear = \"-1s\"\n", "2: conditions.clear"},
		{"[[alert]]\ntype = \"webhook\"\n", "1: alert[0].name: is empty"},
		{target + "type = \"pager\"\n", "3: alert[0].type: \"pager\" is not known"},
		{target + "type = \"webhook\"\n", "1: alert[0].url: is no URL"},
		{target + "type = \"webhook\"\nurl = \"ftp://x\"\n", "4: alert[0].url"},
		{target + "type = \"webhook\"\nurl = \"https://x\"\nformat = \"xml\"\n", "5: alert[0].format"},
		{target + "type = \"webhook\"\nurl = \"https://x\"\nconditions = [\"bonds\"]\n", "did you mean \"bound\"?"},
		{target + fmt.Sprintf("type = \"webhook\"\nurl = \"http://example.org\"\ntoken_file = %q\n", token), "would send a token without TLS"},
		{mail + "tls = \"none\"\n", "\"none\" is for a server on this machine"},
		{mail + "user = \"u\"\n", "user: and password_file belong together"},
		{strings.Replace(mail, "c@d", "nobody", 1), "alert[0].to"},
		{strings.Replace(mail, "mail.test:587", "mail.test", 1), "alert[0].server"},
		{strings.Replace(mail, "mail.test:587", "mail.test:smtp", 1), "alert[0].server"},
		{target + "type = \"syslog\"\nserver = \"log.test:514\"\ntransport = \"smoke\"\n", "alert[0].transport"},
		{target + "type = \"command\"\n", "alert[0].command: names no program"},
		{target + "type = \"command\"\ncommand = [\"notify\"]\n", "alert[0].command"},
		{target + "type = \"command\"\ncommand = [\"/x\"]\n" + target + "type = \"command\"\ncommand = [\"/x\"]\n", "\"x\" is there twice"},
	} {
		_, err := Load(write(t, x.text))
		if err == nil || !strings.Contains(err.Error(), x.want) || !errors.Is(err, exitcode.ErrConfig) {
			t.Errorf("%q: %v, want %q", x.text, err, x.want)
		}
	}
}

// What the files beside the configuration hold is no error of it: the target waits, and
// the configuration warns.
func TestFilesOfATargetAreNoErrorOfTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := put("token", "s3cret\n")
	target := "[[alert]]\nname = \"x\"\ntype = \"webhook\"\n"
	for _, x := range []struct{ text, want string }{
		{fmt.Sprintf("url_file = %q\n", put("two", "a\nb\n")), "url_file: " + dir + "/two does not hold one line"},
		{fmt.Sprintf("url_file = %q\n", put("empty", "\n")), "does not hold one line"},
		{fmt.Sprintf("url_file = %q\n", put("ftp", "ftp://hidden\n")), "url_file: is no URL"},
		{fmt.Sprintf("url_file = %q\ntoken_file = %q\n", put("http", "http://hidden.test\n"), token), "url_file: would send a token without TLS"},
		{"url = \"https://x\"\ntoken_file = \"/nonexistent\"\n", "token_file: open /nonexistent: no such file"},
		{fmt.Sprintf("url = \"https://x\"\ntoken_file = %q\n", dir), "not a regular file"},
		{"url = \"https://x\"\nca = \"/nonexistent\"\n", "ca: open /nonexistent: no such file"},
	} {
		s, err := Load(write(t, target+x.text))
		if err != nil {
			t.Errorf("%q: %v", x.text, err)
			continue
		}
		text := strings.Join(s.Warnings, "\n")
		if !strings.Contains(text, "alert.toml:1: alert[0]: ") || !strings.Contains(text, x.want) || strings.Contains(text, "hidden") {
			t.Errorf("%q: %q, want %q", x.text, text, x.want)
		}
	}
}

// What the file names and the machine lacks may come later, so it is a warning.
func TestMissingThingsAreWarnings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	program := filepath.Join(dir, "notify")
	text := fmt.Sprintf("discs = [\"/\", %q]\n[[alert]]\nname = \"x\"\ntype = \"command\"\ncommand = [%q]\n", filepath.Join(dir, "disc"), program)
	warns := func(want ...string) {
		t.Helper()
		s, err := Load(write(t, text))
		if err != nil || len(s.Warnings) != len(want) {
			t.Fatalf("%v: %q, want %q", err, s.Warnings, want)
		}
		for i, w := range want {
			if !strings.HasPrefix(s.Warnings[i], w) {
				t.Errorf("%q, want %q", s.Warnings[i], w)
			}
		}
	}
	warns("discs[1]: ", "alert[0].command: ")
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "disc"), 0o700), os.WriteFile(program, []byte("#!/bin/sh\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	warns("alert[0].command: ") // it is no program
	if err := os.Chmod(program, 0o700); err != nil {
		t.Fatal(err)
	}
	warns()
}

func TestSecretsAreReadAndHidden(t *testing.T) {
	t.Parallel()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Load(write(t, fmt.Sprintf("[[alert]]\nname = \"x\"\ntype = \"webhook\"\nurl = \"http://127.0.0.1/\"\ntoken_file = %q\n", token)))
	if err != nil {
		t.Fatal(err)
	}
	if url, got, _, err := s.Alert[0].Secrets(); err != nil || got != "s3cret" || url != "http://127.0.0.1/" {
		t.Errorf("%q %q, %v", url, got, err)
	}
	if text := fmt.Sprintf("%+v", s.Alert[0]); strings.Contains(text, "s3cret") {
		t.Errorf("a secret is printed: %s", text)
	}
}

// The reference file has the defaults.
func TestTheReferenceFileHasTheDefaults(t *testing.T) {
	t.Parallel()
	s, err := Load("../../../configs/alert.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Host = s.Host
	if !reflect.DeepEqual(s.File, want) {
		t.Errorf("%+v\nwant %+v", s.File, want)
	}
	if len(s.Warnings) != 1 || s.Host == "" {
		t.Errorf("%q", s.Warnings)
	}
}
