package health

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"noonmark/internal/observe"
	"noonmark/phc"
	"noonmark/server"
	"noonmark/server/ntsclient"
)

// Local asks the daemons of this node. It is for one goroutine.
type Local struct {
	Status  string         // snapshot of refclockd
	Serving string         // counters of ntsserve
	NTP     netip.AddrPort // where ntsserve answers; it must accept requests of this machine
	KeyFile string         // of ntsserve; empty: it serves no NTS
	Timeout time.Duration  // for an answer of ntsserve; 0 = 1 s

	last counts
}

// counts are sums over the endpoints of one process of ntsserve.
type counts struct {
	pid            int
	asked, dropped uint64
}

// refusedByConfiguration are drops that a change of access lists or of NTS can cause.
// What is malformed is the fault of whoever sent it.
var refusedByConfiguration = [...]server.Reason{server.Denied, server.RateLimited, server.PlainOff, server.NTSOff}

const answerTimeout = time.Second

// Facts examines the node.
func (l *Local) Facts(ctx context.Context, now time.Time) Facts {
	f := Facts{Bound: -1, NTS: l.KeyFile != ""}
	l.clock(&f)
	l.serving(&f)
	l.ask(ctx, &f)
	if f.NTS {
		f.KeyAge = -1
		if fi, err := os.Stat(l.KeyFile); err == nil && fi.Mode().IsRegular() {
			f.KeyAge = max(now.Sub(fi.ModTime()), 0)
		}
	}
	return f
}

func (l *Local) clock(f *Facts) {
	s, err := observe.ReadStatus(l.Status, phc.MonoRaw)
	if err != nil {
		f.Snapshot = err
		return
	}
	f.State, f.Usable, f.Stratum = s.State+", "+s.Reason, s.Usable, s.Stratum
	if s.Stopped {
		f.Snapshot = errors.New("refclockd does not publish any more")
	}
	if s.BoundNS != nil {
		f.Bound = time.Duration(*s.BoundNS)
	}
}

func (l *Local) serving(f *Facts) {
	s, err := observe.ReadServing(l.Serving, phc.MonoRaw())
	if err != nil {
		f.Serving = err
		return
	}
	c := counts{pid: s.PID}
	for _, e := range s.Endpoints {
		for _, n := range e.Answered {
			c.asked += n
		}
		for _, r := range refusedByConfiguration {
			c.asked, c.dropped = c.asked+e.Dropped[r.String()], c.dropped+e.Dropped[r.String()]
		}
	}
	if c.pid == l.last.pid && c.asked >= l.last.asked && c.dropped >= l.last.dropped {
		f.Asked, f.Dropped = c.asked-l.last.asked, c.dropped-l.last.dropped
	}
	l.last = c
	if s.CookieKeys != nil {
		f.Keys = s.CookieKeys.Keys
	}
}

// ask sends one request to ntsserve.
func (l *Local) ask(ctx context.Context, f *Facts) {
	timeout := l.Timeout
	if timeout == 0 {
		timeout = answerTimeout
	}
	c, err := ntsclient.New(ntsclient.Config{Host: l.NTP.Addr().String(), Port: int(l.NTP.Port()), Plain: true, Timeout: timeout})
	if err != nil {
		f.Answer = err
		return
	}
	defer c.Close()
	_, err = c.Query(ctx)
	f.Synced = err == nil
	if err != nil && !errors.Is(err, ntsclient.ErrUnsynchronised) {
		f.Answer = err
	}
}
