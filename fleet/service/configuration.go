package service

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
)

// unit is the service of ntsserve.
const unit = "ntsserve.service"

// Configuration is how the node takes the configuration of the fleet.
type Configuration struct {
	File     rollout.File
	Counters string // file of ntsserve, for the gate
}

// ServerFile is ntsserve's configuration as the agent keeps it: its local file is beside
// it, its own -check examines it, and systemd lets it take it over.
func ServerFile(path string) rollout.File {
	return rollout.File{
		Program: rollout.NTSServe, Path: path, Local: rollout.LocalPath(path),
		Check: rollout.CheckCommand(rollout.NTSServe), Apply: rollout.Systemd(unit),
	}
}

// Programs are those whose configuration an agent keeps.
func Programs() []rollout.Program { return []rollout.Program{rollout.NTSServe} }

// configTask keeps the configuration of the node. Whatever happens to it, the agent goes
// on: then the node shows no result, and a rollout goes back.
type configTask struct {
	*Service
	facts func(context.Context) health.Facts // what the gate judges
	limit health.Limits
	every time.Duration // between two rounds; 0: the default
	wrong atomic.Pointer[error]

	// Of Run.
	log         observer
	file, bad   string // as they were logged last
	seen, alone bool
}

func newConfigTask(s *Service) *configTask {
	local := &health.Local{Status: s.cfg.Server.Clock, Serving: s.cfg.Config.Counters, NTP: s.cfg.Server.NTP, KeyFile: s.cfg.Server.KeyFile}
	return &configTask{
		Service: s, limit: health.Limits{Gate: true}, log: observer{log: s.cfg.Log, now: time.Now},
		facts: func(ctx context.Context) health.Facts {
			f := local.Facts(ctx, time.Now())
			if !s.cfg.Server.NTP.IsValid() {
				f.Answer = errNoPlain
			}
			admit(&f, s.agt.Readiness())
			return f
		},
	}
}

func (c *configTask) String() string { return "configuration" }

// Waiting says why the file is not what local file and fleet make of it.
func (c *configTask) Waiting() error {
	if e := c.wrong.Load(); e != nil {
		return *e
	}
	return nil
}

// health returns why the gate does not let a configuration pass. One that is drained is
// no canary, see rollout.NodeView; its health is what the daemons show.
func (c *configTask) health(ctx context.Context) func() []string {
	return func() (list []string) {
		for _, p := range health.Judge(c.facts(ctx), c.limit) {
			list = append(list, p.String())
		}
		return list
	}
}

// Run makes rounds until ctx ends.
func (c *configTask) Run(ctx context.Context) (err error) {
	defer func() { // a fault here must not end the process that keeps the key file
		if p := recover(); p != nil {
			c.cfg.Log.Error("fault in the configuration of this node", "fault", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	begun := time.Now()
	k, err := rollout.New(rollout.Of(c.own), rollout.Config{
		Node: c.node.Name, State: c.cfg.Dir.Configuration(), Files: []rollout.File{c.cfg.Config.File}, Health: c.health(ctx),
		Every: c.every, Mono: func() time.Duration { return time.Since(begun) }, Now: time.Now,
	})
	if err != nil {
		return err
	}
	return k.Run(ctx, c.observe)
}

// observe logs what changes. That etcd does not answer, the agent says.
func (c *configTask) observe(r rollout.Result, err error) {
	log := c.cfg.Log
	if alone := len(r.Report.Unmanaged) > 0; alone != c.alone || !c.seen {
		c.seen, c.alone = true, alone
		if alone {
			log.Info("the configuration of ntsserve is left alone", "missing", c.cfg.Config.File.Local)
		} else {
			log.Info("the configuration of ntsserve follows the fleet", "local", c.cfg.Config.File.Local)
		}
	}
	c.log.changed(&c.file, r.Err, "the configuration was not written", "the configuration in place has no error")
	var wrong error
	if why := r.Report.Files[c.cfg.Config.File.Program]; why != "" {
		wrong = fmt.Errorf("%s is not as it shall be: %s", filepath.Base(c.cfg.Config.File.Path), why)
	}
	c.wrong.Store(&wrong)
	of := []any{"configuration", r.Report.Applied.Word(), "rollout", r.Report.Rollout}
	switch {
	case r.Act == rollout.Take && r.Err == nil && r.Report.Trial:
		log.Info("the configuration is on trial", of...)
	case r.Act == rollout.Take && r.Err == nil:
		log.Info("the configuration is taken", of...)
	case r.Act == rollout.Confirm:
		log.Info("the configuration has passed its trial", of...)
	case r.Act == rollout.Return:
		log.Warn("the configuration before is in place again", append(of, "why", r.Report.Why)...)
	}
	if r.Decided {
		log.Info("the rollout goes on", "phase", string(r.Phase))
	}
	if err != nil {
		log.Debug("the configuration is not compared with etcd", "error", err)
		return
	}
	var bad error
	if len(r.Bad) > 0 {
		bad = fmt.Errorf("%s: %w, and %d more", r.Bad[0].Key, r.Bad[0].Err, len(r.Bad)-1)
	}
	c.log.changed(&c.bad, bad, "reports in etcd are refused", "no report in etcd is refused")
}
