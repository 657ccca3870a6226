package privileges

import (
	"errors"
	"io/fs"
	"os"
	"testing"
)

func TestOnlyRootCanBecomeAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() == 0 {
		t.Skip("an ordinary user is missing: running as root")
	}
	p := &Plan{User: &User{"another", os.Getuid() + 1, os.Getgid()}}
	if err := p.BecomeUser(); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func TestFindUser(t *testing.T) {
	t.Parallel()
	if _, err := FindUser("no such user"); err == nil {
		t.Error("a user that does not exist is found")
	}
	for _, name := range []string{"root", "0"} {
		if u, err := FindUser(name); err != nil || u.Name != "root" || u.UID != 0 || u.GID != 0 {
			t.Errorf("%s: %+v, %v", name, u, err)
		}
	}
}
