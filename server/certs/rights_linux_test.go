package certs

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// A key that belongs to root is refused. The remedy, chown or chmod, changes neither content nor
// time, and the pair is loaded all the same.
func TestKeyIsLoadedWhenOnlyItsRightsChanged(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root, to make a file that another user may not read")
	}
	const user = 65534
	for _, c := range []struct {
		name   string
		repair func(key string) error
	}{
		{"another owner", func(key string) error { return os.Chown(key, user, -1) }},
		{"another group that may read", func(key string) error { return errors.Join(os.Chown(key, -1, user), os.Chmod(key, 0o640)) }},
		{"another mode, with a fitting group", func(key string) error { return os.Chmod(key, 0o640) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t)
				if err := os.Chmod(filepath.Dir(f.dir), 0o755); err != nil { // of the test, for root alone
					t.Fatal(err)
				}
				cert, key := f.make(nil, nil, "a.test")
				p := f.put(f.pair("a"), cert, key)
				if c.name == "another mode, with a fitting group" {
					if err := os.Chown(p.Key, -1, user); err != nil {
						t.Fatal(err)
					}
				}
				before, err := os.Stat(p.Key)
				if err != nil {
					t.Fatal(err)
				}
				var ev events
				ctx, cancel := context.WithCancel(t.Context())
				made, done := make(chan *Source, 1), make(chan error, 1)
				go func() {
					runtime.LockOSThread() // without unlocking: the thread, of another user for files, ends here
					gid, err1 := unix.SetfsgidRetGid(user)
					uid, err2 := unix.SetfsuidRetUid(user)
					s, err := New(Config{Pairs: []Pair{p}, Event: ev.add})
					if err = errors.Join(err1, err2, err); err != nil || uid != 0 {
						t.Errorf("as user %d instead of %d, group instead of %d: %v", user, uid, gid, err)
						close(made)
						return
					}
					made <- s
					done <- s.Run(ctx)
				}()
				s := <-made
				if s == nil {
					cancel()
					return
				}
				defer func() {
					cancel()
					if err := <-done; err != nil {
						t.Errorf("Run: %v", err)
					}
				}()
				time.Sleep(5 * DefaultPoll)
				synctest.Wait()
				if w := ev.take(); !slices.Equal(w, []string{"refused unreadable"}) {
					t.Fatalf("root's key: events %q", w)
				}
				if err := c.repair(p.Key); err != nil {
					t.Fatal(err)
				}
				after, err := os.Stat(p.Key)
				if err != nil || !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
					t.Fatalf("content or time changed too (%v)", err)
				}
				time.Sleep(DefaultPoll)
				synctest.Wait()
				if w := ev.take(); !slices.Equal(w, []string{"loaded"}) || !bytes.Equal(got(t, s, "a.test"), leafOf(cert)) {
					t.Errorf("repaired: events %q", w)
				}
			})
		})
	}
}
