package certs

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWhatCannotBeWrittenIsWrittenLater(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "acme")
	cert, account := filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "account.key")
	now := time.Now()
	var u unsaved
	if err := u.write(cert, []byte("1"), true, now); err == nil {
		t.Fatal("written into a directory that is missing")
	}
	if err := u.write(account, []byte("key"), false, now); err == nil {
		t.Fatal("written into a directory that is missing")
	}
	if err := u.write(cert, []byte("2"), true, now); err == nil {
		t.Fatal("written into a directory that is missing")
	}
	if string(u.content(cert)) != "2" || string(u.content(account)) != "key" || len(u.files) != 2 {
		t.Errorf("waiting: %v", u.files)
	}
	if done, err := u.flush(now.Add(saveAgain / 2)); done || err != nil {
		t.Errorf("too early: %v, %v", done, err)
	}
	now = now.Add(saveAgain)
	if done, err := u.flush(now); done || err == nil {
		t.Errorf("no directory yet: %v, %v", done, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(account, []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if done, err := u.flush(now.Add(-time.Hour)); !done || err != nil { // the clock was set back
		t.Errorf("with a directory: %v, %v", done, err)
	}
	for path, want := range map[string]string{cert: "2", account: "another"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v, want %q", path, b, err, want)
		}
	}
	if u.content(cert) != nil || len(u.files) != 0 {
		t.Errorf("still waiting: %v", u.files)
	}
}
