package server

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"noonmark/phc"
	"noonmark/refclock/status"
)

// watchEvery is how often the snapshot's file is checked: the server follows a
// restarted refclockd within this time.
const watchEvery = time.Second

// watch gives the workers new readers when the snapshot's file is replaced, and
// logs when the clock that answers report becomes synchronised or
// unsynchronised.
func (s *Server) watch(ctx context.Context) {
	t := time.NewTicker(watchEvery)
	defer t.Stop()
	var r *status.Reader
	defer func() {
		if r != nil {
			r.Close()
		}
	}()
	var was string
	for {
		s.watching.Begin()
		if r != nil && r.Replaced() {
			r.Close()
			r = nil
		}
		if r == nil {
			var err error
			if r, err = status.Open(s.cfg.Snapshot); err != nil {
				r = nil
			} else {
				for _, e := range s.endpoints {
					e.offer(s.cfg.Snapshot)
				}
			}
		}
		if is, why := s.updateSynced(r); is != was {
			level := slog.LevelInfo
			if !s.synced.Load() {
				level = slog.LevelWarn
			}
			s.log.Log(ctx, level, "served clock", "state", is, "reason", why, "snapshot", s.cfg.Snapshot)
			was = is
		}
		s.watching.End()
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

// updateSynced sets s.synced from the snapshot, which may be nil, and returns
// what answers report, and why.
func (s *Server) updateSynced(r *status.Reader) (is, why string) {
	synced := false
	defer func() { s.synced.Store(synced) }() // once, because others read it meanwhile
	if r == nil {
		return "unsynchronised", status.ErrNone.Error()
	}
	var snap status.Snapshot
	if err := r.LoadAll(&snap); err != nil {
		return "unsynchronised", err.Error()
	}
	switch mono := phc.MonoRaw(); {
	case snap.Usable(mono):
		s.stratum.Store(uint32(snap.Stratum))
		synced = true
		return fmt.Sprintf("synchronised, stratum %d, %s", snap.Stratum, snap.State), snap.Reason
	case snap.State == status.Locked || snap.State == status.Holdover:
		return "unsynchronised, " + snap.State.String(), fmt.Sprintf("the error bound is above %v; check that refclockd is running", snap.Limit)
	}
	return "unsynchronised, " + snap.State.String(), snap.Reason
}
