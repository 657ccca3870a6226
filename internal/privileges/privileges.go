// Package privileges gives up what a daemon may do beyond what it needs: the
// user that started it, capabilities, and core dumps of its memory.
package privileges

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"strconv"
)

// User is a user of this machine.
type User struct {
	Name     string
	UID, GID int
}

// FindUser looks a user up by name or number.
func FindUser(name string) (*User, error) {
	u, err := user.Lookup(name)
	if err != nil {
		var byNumber error
		if u, byNumber = user.LookupId(name); byNumber != nil {
			return nil, fmt.Errorf("this machine has no user %q now (%w)", name, err)
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
	return &User{u.Username, uid, gid}, nil
}

// Plan is what a process gives up, in two steps. A nil Plan gives up nothing.
type Plan struct {
	User *User        // to become if root started the process; nil: stay
	Keep []Capability // that are needed as long as the process runs, of those it has
	Log  *slog.Logger
}

// BecomeUser is the first step, for when sockets are open and no file was opened
// that must be readable later. It changes the user and keeps the capabilities
// that are needed until work has begun.
func (p *Plan) BecomeUser() error {
	if p == nil || p.User == nil || p.User.UID == os.Geteuid() {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("become user %s: %w; start as root, or leave out user", p.User.Name, os.ErrPermission)
	}
	if err := become(p.User.UID, p.User.GID, set(p.Keep)|set(untilWork)); err != nil {
		return fmt.Errorf("become user %s: %w", p.User.Name, err)
	}
	return ForbidDumps() // a change of user may have undone it
}

// KeepFromChildren makes processes that this one starts begin without the capabilities
// that the service manager has given to it. Drop would come too late for those that
// start before it.
func (p *Plan) KeepFromChildren() error {
	if p == nil {
		return nil
	}
	err := keepFromChildren()
	if errors.Is(err, errors.ErrUnsupported) {
		return nil // Drop reports it
	}
	return err
}

// Drop is the second step, for when all parts work: it drops the capabilities
// and forbids to gain new ones.
func (p *Plan) Drop() error {
	if p == nil {
		return nil
	}
	switch kept, err := drop(set(p.Keep)); {
	case errors.Is(err, errors.ErrUnsupported):
		p.Log.Warn("capabilities are not dropped: this program was built with cgo; build it with CGO_ENABLED=0")
	case err != nil:
		return fmt.Errorf("drop capabilities: %w", err)
	default:
		p.Log.Info("privileges dropped", "uid", os.Geteuid(), "capabilities", kept)
	}
	if os.Geteuid() == 0 {
		p.Log.Warn("the daemon runs as root and can change root's files: name a user in the configuration, or start it as one")
	}
	return nil
}

// KeepNetAdmin gives up everything but CAP_NET_ADMIN, and becomes a user if that is not
// nil and root is the present one.
func KeepNetAdmin(u *User) error {
	uid, gid := -1, -1
	if u != nil && os.Geteuid() == 0 {
		uid, gid = u.UID, u.GID
	}
	if err := keepNetAdmin(uid, gid); err != nil {
		return fmt.Errorf("keep CAP_NET_ADMIN only: %w", err)
	}
	return ForbidDumps()
}
