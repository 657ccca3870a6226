package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/overview"
	"noonmark/fleet/roots"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
	"noonmark/internal/retry"
	"noonmark/phc"
)

// View says where the agent publishes what it knows of the fleet.
type View struct {
	Path   string // of the file; empty: nowhere
	Wanted string // the file that refclockweb writes while somebody looks
	Server string // path of ntsserve's configuration
}

const (
	// lookEvery is the time between two looks at what the other tasks know.
	lookEvery = time.Second
	// nodesEvery is the least time between two reads of all nodes. What etcd sends for these
	// grows with the square of the number of nodes if all read, so a node reads only while
	// somebody looks at its page: an operator has a few of them open.
	nodesEvery = 30 * time.Second
)

// viewTask publishes the fleet as this node sees it, for refclockweb and doctor. What it knows
// of its own node costs etcd nothing: the other tasks have it. Whatever happens to it, the
// agent goes on, and readers see that the file is old.
type viewTask struct {
	*Service
	health      *healthTask // nil: the node has no health endpoint
	config      *configTask
	certificate *certTask
	read        func(context.Context) (*overview.Sources, error)
	mono        func() int64

	// Of Run.
	log       observer
	file      durable.Published
	src       *overview.Sources
	readAt    int64 // CLOCK_MONOTONIC_RAW of src, ns; 0: not read
	triedAt   int64 // of the last attempt; 0: none
	writtenAt int64 // 0: not written
	shown     string
	failed    string // as it was logged last
}

func newViewTask(s *Service, h *healthTask, c *configTask, certificate *certTask) *viewTask {
	return &viewTask{
		Service: s, health: h, config: c, certificate: certificate, mono: phc.MonoRaw, src: &overview.Sources{},
		read: func(ctx context.Context) (*overview.Sources, error) { return overview.Read(ctx, s.own) },
		log:  observer{log: s.cfg.Log, now: time.Now}, file: durable.Published{Path: s.cfg.View.Path, Mode: 0o644},
	}
}

func (v *viewTask) String() string { return "view" }

// Run publishes until ctx ends. The file stays: it says when the agent was seen last.
func (v *viewTask) Run(ctx context.Context) (err error) {
	defer func() { // a fault here must not end the process that keeps the key file
		if p := recover(); p != nil {
			v.cfg.Log.Error("fault in the view of the fleet", "fault", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	for ctx.Err() == nil {
		v.look(ctx, time.Now())
		retry.Sleep(ctx, lookEvery)
	}
	return ctx.Err()
}

// look reads the fleet if somebody looks, and writes the file if something has changed, or
// if it becomes old.
func (v *viewTask) look(ctx context.Context, now time.Time) {
	mono := v.mono()
	fresh := false
	if (v.triedAt == 0 || mono-v.triedAt >= int64(nodesEvery)) && wanted(v.cfg.View.Wanted, now) {
		v.triedAt = mono
		limited, stop := context.WithTimeout(ctx, patience)
		src, err := v.read(limited)
		stop()
		if err == nil { // else the agent says that etcd does not answer
			v.src, v.readAt, fresh = src, v.mono(), true
		}
	}
	self, etcd := v.self()
	key := self
	key.Health = nil // its figures change always
	shown := fmt.Sprint(key, etcd)
	if h := self.Health; h != nil {
		shown = fmt.Sprint(shown, h.Announced, h.Kept, h.Reasons)
	}
	mono = v.mono()
	if fresh || v.writtenAt == 0 || shown != v.shown || mono-v.writtenAt >= int64(fleetview.Every) {
		v.shown, v.writtenAt = shown, mono
		v.log.changed(&v.failed, v.write(now, mono, self, etcd), "the view of the fleet for refclockweb and doctor is not written", "the view of the fleet is written")
	}
}

// wanted reports whether somebody looks at the fleet.
func wanted(path string, now time.Time) bool {
	fi, err := os.Stat(path)
	return err == nil && now.Sub(fi.ModTime()).Abs() <= fleetview.WantedFor
}

// self is what the other tasks know of this node, and why etcd cannot be used.
func (v *viewTask) self() (s fleetview.Self, etcd error) {
	ready := v.agt.Readiness()
	s = fleetview.Self{State: ready.Word(), Server: v.cfg.View.Server}
	if ready != roots.Serves {
		s.Why = ready.String()
	}
	if r := v.seen.Load(); r != nil {
		s.Drain, s.Clock, s.Disc, s.Refusal, etcd = r.Drain, text(r.Clock), text(r.Disc), text(r.Refusal), r.etcd
	}
	if ready == roots.IsDrained {
		s.Drain = cmp.Or(s.Drain, "unknown") // etcd has not been read since the start
	}
	if v.health != nil {
		if k := v.health.keeper.Load(); k != nil && k.Last() != nil {
			s.Health = overview.Health(k.Last().Record)
		}
	}
	s.Config = text(v.config.Waiting())
	if p := v.config.last.Load(); p != nil {
		s.Alone, s.Refused = len(p.Unmanaged) > 0, p.Why
	}
	wrong := v.certificate.Waiting()
	if s.NoCert = errors.Is(wrong, errNoPEM); !s.NoCert {
		s.Cert = text(wrong)
	}
	s.CertEnd = v.certificate.ends()
	return s, etcd
}

func (v *viewTask) write(now time.Time, mono int64, self fleetview.Self, etcd error) error {
	local, err := agent.ReadLocal(v.cfg.Dir.Copy())
	if err != nil {
		return err
	}
	f := fleetview.File{
		PID: os.Getpid(), Mono: mono, ReadMono: v.readAt, Self: self,
		Fleet: overview.Of(v.node.Fleet, v.node.Name, now, v.src, local, etcd),
	}
	b, err := f.Encode()
	if err != nil {
		return err
	}
	return v.file.Write(b)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// ends is when the certificate of the fleet on the disc expires, POSIX seconds; 0: there is
// none, or the fleet orders none.
func (c *certTask) ends() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.settings == nil {
		return 0
	}
	return c.last.Report.NotAfter
}

// seen is what a round of the agent said.
type seen struct {
	agent.Report
	etcd error
}
