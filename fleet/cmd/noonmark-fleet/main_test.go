package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"noonmark/fleet/identity"
	"noonmark/internal/command"
	"noonmark/internal/exitcode"
)

// fleetCommand runs the program and returns what it prints.
func fleetCommand(t *testing.T, args ...string) (out string, code int) {
	t.Helper()
	var b bytes.Buffer
	code = run(t.Context(), args, command.Console{In: strings.NewReader(""), Out: &b, Err: &b})
	return b.String(), code
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	empty := t.TempDir()
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, "node.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := filepath.Join(empty, "ntsserve.toml")
	if err := os.WriteFile(server, []byte("[[endpoint]]\naddress = \"127.0.0.1:1\"\n[keys]\nfile = \"k\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		code int
		text string
	}{
		{[]string{"nope"}, exitcode.Usage, "unknown command"},
		{[]string{"init", "-state", empty}, exitcode.Usage, "-embedded or -etcd"},
		{[]string{"init", "-state", empty, "-embedded", "-etcd", "https://x:1"}, exitcode.Usage, "-embedded or -etcd"},
		{[]string{"init", "-state", empty, "-embedded"}, exitcode.Usage, "-node NAME"},
		{[]string{"init", "-state", empty, "-embedded", "-node", "a", "-address", "127.0.0.1", "-ntsserve", server}, exitcode.Config, `renew = "never"`},
		{[]string{"init", "-state", damaged, "-embedded", "-node", "root", "-address", "127.0.0.1", "-ntsserve", server}, exitcode.Config, "t"},
		{[]string{"join", "-state", empty, "x"}, exitcode.DataErr, "no token"},
		{[]string{"join", "-state", empty}, exitcode.Usage, "TOKEN"},
		{[]string{"status", "-state", empty}, exitcode.Config, "noonmark-fleet join TOKEN"},
		{[]string{"status", "-state", damaged}, exitcode.DataErr, "not usable"},
		{[]string{"run", "-state", empty, "-ntsserve", server}, exitcode.Config, ""},
		{[]string{"run", "-state", empty, "-health", "localhost"}, exitcode.Usage, "or off"},
		{[]string{"run", "-state", empty, "-health", "127.0.0.1:0"}, exitcode.Usage, "or off"},
		{[]string{"run", "-state", empty, "-target", "192.0.2.1"}, exitcode.Usage, "HOST:PORT"},
		{[]string{"run", "-state", empty, "-http", "80"}, exitcode.Usage, "ADDRESS:PORT"},
		{[]string{"run", "-state", empty, "-dns", "dns.sh"}, exitcode.Usage, "full path"},
		{[]string{"rotate", "-state", empty, "-wait", "-1h"}, exitcode.Usage, "want either"},
		{[]string{"rotate", "-state", empty, "-end", "-wait", "1h"}, exitcode.Usage, "want either"},
		{[]string{"rotate", "-state", empty}, exitcode.Config, "noonmark-fleet join TOKEN"},
		{[]string{"restore", "-state", empty, "-node", "a"}, exitcode.Usage, "want -node NAME and -address ADDRESS"},
		{[]string{"revoke", "-state", empty}, exitcode.Usage, "want one of"},
		{[]string{"revoke", "-state", empty, "b", "-all"}, exitcode.Usage, "want one of"},
		{[]string{"revoke", "-state", empty, "-root", "x"}, exitcode.Usage, "fingerprint"},
		{[]string{"audit", "-state", empty, "-n", "0"}, exitcode.Usage, "out of range"},
		{[]string{"-version"}, exitcode.OK, "noonmark-fleet"},
	} {
		if out, code := fleetCommand(t, c.args...); code != c.code || !strings.Contains(out, c.text) {
			t.Errorf("%q: exit code %d, want %d and %q:\n%s", c.args, code, c.code, c.text, out)
		}
	}
}

// A node that is not the manager says who is.
func TestOnlyTheManagerInvites(t *testing.T) {
	t.Parallel()
	dir := identity.Dir(t.TempDir())
	if err := dir.Save(identity.Node{Fleet: "f", Name: "b", Endpoints: []string{"https://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"token", "c"}, {"revoke", "c"}, {"remove", "c"}, {"certificate", "-name", "a.test", "-accept-terms"}, {"certificate", "-off"}} {
		if out, code := fleetCommand(t, append(args, "-state", string(dir))...); code != exitcode.Permission || !strings.Contains(out, "does not manage") {
			t.Errorf("%q: %d, %s", args, code, out)
		}
	}
}

// Every command and flag of noonmark-fleet that a document or a message names exists.
func TestCommandsInDocumentsExist(t *testing.T) {
	t.Parallel()
	const root = "../../.."
	list, _ := fleetCommand(t, "-h")
	named := regexp.MustCompile("(?:`|\\$ |sudo |run: |with: |first: |again: )noonmark-fleet ([a-z]+)([^`\n]*)")
	flagged := regexp.MustCompile(` (-[a-z]+)`)
	files, err := filepath.Glob(filepath.Join(root, "fleet/*/*.go"))
	if err != nil || len(files) < 20 {
		t.Fatalf("sources: %v, %v", files, err)
	}
	files = append(files, filepath.Join(root, "docs/fleet.md"), filepath.Join(root, "fleet/README.md"))
	found := 0
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range named.FindAllStringSubmatch(string(text), -1) {
			found++
			if !regexp.MustCompile(`(?m)^\s+` + m[1] + `\b`).MatchString(list) {
				t.Errorf("%s: noonmark-fleet has no command %s", f, m[1])
				continue
			}
			help, _ := fleetCommand(t, m[1], "-h")
			if strings.HasSuffix(f, ".go") {
				continue
			}
			for _, x := range flagged.FindAllStringSubmatch(m[2], -1) {
				if !regexp.MustCompile(`(?m)^\s+` + x[1] + `\b`).MatchString(help) {
					t.Errorf("%s: noonmark-fleet %s has no flag %s", f, m[1], x[1])
				}
			}
		}
	}
	if found < 15 {
		t.Errorf("only %d commands found", found)
	}
}
