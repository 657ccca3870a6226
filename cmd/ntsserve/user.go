package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"noonmark/internal/config/ntsserve"
	"noonmark/internal/daemon"
	"noonmark/internal/privileges"
)

// findUser returns the user that ntsserve becomes; nil: it stays who it is. Root waits
// for a user that does not exist now, before anything is opened: it must not serve
// strangers itself, and an exit would be final where nobody starts it again. Anybody else
// cannot become another user, and serves. ok is false if it was asked to end meanwhile.
func findUser(ctx context.Context, s *ntsserve.Settings, log *slog.Logger) (user *privileges.User, ok bool, err error) {
	if s.User == "" {
		return nil, true, nil
	}
	user, err = privileges.FindUser(s.User)
	switch {
	case err == nil:
		return user, true, nil
	case os.Geteuid() != 0:
		log.Warn("serving as the user that started the daemon, because the configured one cannot be looked up", "uid", os.Geteuid(), "error", err)
		return nil, true, nil
	}
	t := &userTask{settings: s}
	err = (&daemon.Daemon{Log: log, Before: true, StateFile: daemon.RuntimeFile(daemon.StateFileName)}).Run(ctx, t)
	return t.found, t.found != nil, err
}

// userTask ends once the user exists.
type userTask struct {
	settings *ntsserve.Settings
	found    *privileges.User
}

// Run looks once.
func (u *userTask) Run(context.Context) (err error) {
	if u.found, err = privileges.FindUser(u.settings.User); err != nil {
		return fmt.Errorf("%s: %w; no time is served as root: make the user (systemd-sysusers, or adduser), or name another and restart ntsserve", u.settings.Place("user"), err)
	}
	return nil
}

// Ready returns a channel that is never closed: the task waits, and then ends.
func (u *userTask) Ready() <-chan struct{} { return make(chan struct{}) }

// String names the task in logs.
func (u *userTask) String() string { return "user" }
