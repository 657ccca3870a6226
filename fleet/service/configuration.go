package service

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"noonmark/fleet/health"
	"noonmark/fleet/rollout"
	"noonmark/internal/config"
	"noonmark/internal/durable"
	"noonmark/internal/fleetview"
	"noonmark/internal/observe"
	"noonmark/phc"
	"noonmark/refclock/status"
)

// unit is the service of ntsserve.
const unit = "ntsserve.service"

// Configuration is how the node takes the configuration of the fleet.
type Configuration struct {
	File      rollout.File
	Fragments []rollout.File // of programs whose own file the agent may not write
	Counters  string         // file of ntsserve, for the gate
}

// files are all files that the agent writes.
func (c *Configuration) files() []rollout.File {
	return append([]rollout.File{c.File}, c.Fragments...)
}

// ServerFile is ntsserve's configuration as the agent keeps it: its local file is beside
// it, its own -check examines it, and systemd lets it take it over.
func ServerFile(path string) rollout.File {
	return rollout.File{
		Program: rollout.NTSServe, Path: path, Local: rollout.LocalPath(path),
		Check: rollout.CheckCommand(rollout.NTSServe), Apply: rollout.Systemd(unit),
	}
}

// ClockFile is what the fleet sets for refclockd, in a folder of the agent. local is the file of
// the operator, which the agent only reads; refclockd looks at the other one by itself.
func ClockFile(local, dir string) rollout.File {
	return rollout.File{Program: rollout.Refclockd, Path: filepath.Join(dir, fleetview.ClockFragment), Local: local, Fragment: true}
}

// AlertFile is what the fleet sets for alerts. The agent may not read the operator's file, which
// may have secrets; published is the file in which the process says what it takes.
func AlertFile(dir, published string) rollout.File {
	return rollout.File{Program: rollout.Alert, Path: filepath.Join(dir, fleetview.AlertFragment), Fragment: true, Published: published}
}

// configTask keeps the configuration of the node. Whatever happens to it, the agent goes
// on: then the node shows no result, and a rollout goes back.
type configTask struct {
	*Service
	facts func(context.Context) health.Facts // what the gate judges
	limit health.Limits
	every time.Duration // between two rounds; 0: the default
	wrong atomic.Pointer[error]
	last  atomic.Pointer[rollout.Report]

	// Of Run.
	log       observer
	file, bad string // as they were logged last
	kept      string // programs for which the fleet is followed
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

// onTrial returns why a configuration does not pass its trial, beyond the health of the node:
// a program does not use what the fleet sets, or a witness of it says nothing or another time.
// Later a witness may be away without a fault of the configuration.
func (c *configTask) onTrial(of []rollout.Program) (list []string) {
	for _, f := range c.cfg.Config.Fragments {
		if !slices.Contains(of, f.Program) {
			continue
		}
		if why := unused(f); why != nil {
			list = append(list, fmt.Sprintf("%s: %v", f.Program, why))
		}
	}
	return list
}

// Errors of a fragment that is not used.
var (
	errNotNamed  = errors.New("it does not read the file of the agent yet; restart it")
	errNotTaken  = errors.New("it has not taken over what the fleet sets yet")
	errRefused   = errors.New("it refuses what the fleet sets")
	errWitnesses = errors.New("witnesses")
)

// unused returns why a program does not use a fragment, or why the fragment seems wrong; nil
// also if the node does not keep it.
func unused(f rollout.File) error {
	of, err := f.Settings()
	if err != nil || of.Fleet.Path != f.Path {
		return nil
	}
	text, _, err := durable.ReadFile(f.Path, config.MaxFragment)
	if err != nil {
		return err
	}
	says := &of.Fleet
	if f.Published == "" {
		s, err := observe.ReadStatus(filepath.Join(of.RuntimeDir, filepath.Base(status.DefaultPath)), phc.MonoRaw)
		if err != nil {
			return err
		}
		says = s.Fleet
	}
	switch {
	case says == nil || says.Path != f.Path:
		return errNotNamed
	case says.Refused != "":
		return fmt.Errorf("%w: %s", errRefused, says.Refused)
	case says.Content != config.FragmentContent(string(text)):
		return errNotTaken
	case len(says.Silent) > 0:
		return fmt.Errorf("%w: %s: no answer yet", errWitnesses, strings.Join(says.Silent, ", "))
	case len(says.Disagree) > 0:
		return fmt.Errorf("%w: %s: another time than that of this node", errWitnesses, strings.Join(says.Disagree, ", "))
	}
	return nil
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
		Node: c.node.Name, State: c.cfg.Dir.Configuration(), Files: c.cfg.Config.files(), Health: c.health(ctx), OnTrial: c.onTrial,
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
	c.last.Store(&r.Report)
	if kept := fmt.Sprint(r.Report.Managed); kept != c.kept {
		c.kept = kept
		if len(r.Report.Managed) == 0 {
			log.Info("the configuration is left alone", "missing", c.cfg.Config.File.Local)
		} else {
			log.Info("the configuration follows the fleet", "programs", r.Report.Managed)
		}
	}
	c.log.changed(&c.file, r.Err, "the configuration was not written", "the configuration in place has no error")
	var wrong error
	for _, f := range c.cfg.Config.files() {
		if why := r.Report.Files[f.Program]; why != "" {
			wrong = errors.Join(wrong, fmt.Errorf("%s is not as it shall be: %s", filepath.Base(f.Path), why))
		}
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
