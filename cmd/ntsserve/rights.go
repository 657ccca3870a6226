package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"

	"noonmark/internal/daemon"
)

// identity is a user to become.
type identity struct {
	name     string
	uid, gid int
}

// findUser looks a user up by name or number.
func findUser(name string) (*identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, fmt.Errorf("this machine has no user %q", name)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &identity{u.Username, uid, gid}, nil
}

// rights gives up what ntsserve may do beyond what it needs. nil does nothing,
// for tests that run a service within their own process.
type rights struct {
	user  *identity // to become, if root has started us
	lowly bool      // ports below 1024 may have to be bound again, for ACME
	log   *slog.Logger
}

// afterBinding is called when the sockets are open, and before any file is
// opened that must be readable later: it becomes the user, and keeps what is
// needed until work has begun.
func (r *rights) afterBinding() error {
	if r == nil || r.user == nil || r.user.uid == os.Geteuid() {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("become user %s: %w; start as root, or leave out user", r.user.name, os.ErrPermission)
	}
	if err := become(r.user.uid, r.user.gid); err != nil {
		return fmt.Errorf("become user %s: %w", r.user.name, err)
	}
	return keepSecret() // a change of user may have undone it
}

// task gives up the rest once the others are ready, before READY=1.
func (r *rights) task(others []daemon.Task) daemon.Task {
	return &shedding{r, others, make(chan struct{})}
}

type shedding struct {
	*rights
	others []daemon.Task
	ready  chan struct{}
}

func (s *shedding) String() string         { return "rights" }
func (s *shedding) Ready() <-chan struct{} { return s.ready }

func (s *shedding) Run(ctx context.Context) error {
	for _, t := range s.others {
		if c := t.Ready(); c != nil {
			select {
			case <-c:
			case <-ctx.Done():
				return nil
			}
		}
	}
	if s.rights == nil {
		close(s.ready)
		return nil
	}
	switch kept, err := shed(s.lowly); {
	case errors.Is(err, errors.ErrUnsupported):
		s.log.Warn("capabilities are not given up: this program was built with cgo; build it with CGO_ENABLED=0")
	case err != nil:
		return fmt.Errorf("give up capabilities: %w", err)
	default:
		s.log.Info("rights given up", "uid", os.Geteuid(), "capabilities", kept)
	}
	if os.Geteuid() == 0 {
		s.log.Warn("running as root, whose files it can change: name a user in the configuration, or start it as one")
	}
	close(s.ready)
	return nil
}
