package service

import (
	"fmt"
	"log/slog"
	"time"

	"noonmark/fleet/agent"
	"noonmark/fleet/roots"
	"noonmark/internal/retry"
)

// observer logs what changes from round to round, and nothing that repeats itself.
type observer struct {
	log *slog.Logger
	now func() time.Time

	seen      bool
	plans     bool
	readiness roots.Readiness
	refusal   string
	clock     string
	disc      string
	bad       string
	failed    retry.Backoff
	failing   bool
}

func (o *observer) observe(r agent.Report, err error) {
	if err != nil {
		o.failing = true
		if n, log := o.failed.Failed(); log {
			o.log.Warn("etcd cannot be used, the node goes on with what is on its disc", "error", err, "attempt", n)
		}
	} else {
		if o.failing {
			o.log.Info("etcd can be used again")
		}
		o.failing = false
		o.failed.Reset()
	}
	if !o.seen || r.Readiness != o.readiness {
		if r.Readiness == roots.Serves {
			o.log.Info("this node may serve")
		} else {
			o.log.Warn("this node may not serve", "state", r.Readiness.Word(), "why", r.Readiness.String())
		}
	}
	o.seen, o.readiness = true, r.Readiness
	o.changed(&o.clock, r.Clock, "the clock is not trusted", "the clock is trusted")
	o.changed(&o.disc, r.Disc, "secrets cannot be written, nothing new is acknowledged", "secrets can be written")
	if err == nil && r.Plans != o.plans {
		o.plans = r.Plans
		if r.Plans {
			o.log.Info("this node plans for the fleet")
		} else {
			o.log.Info("this node does not plan for the fleet any more")
		}
	}
	if err == nil {
		o.changed(&o.refusal, r.Refusal, "this node cannot plan, another one tries soon", "this node may plan")
	}
	var bad error
	if len(r.Bad) > 0 {
		bad = fmt.Errorf("%s: %w, and %d more", r.Bad[0].Key, r.Bad[0].Err, len(r.Bad)-1)
	}
	o.changed(&o.bad, bad, "values in etcd are refused", "no value in etcd is refused")
	for _, e := range r.Decided {
		if e.Kind == roots.Waits {
			continue
		}
		var args []any
		if e.Root != (roots.ID{}) {
			args = append(args, "root", e.Root.String())
		}
		if e.Since != 0 {
			args = append(args, "begins", time.Unix(e.Since, 0).UTC().Format(time.RFC3339))
		}
		if e.Node != "" {
			args = append(args, "node", e.Node)
		}
		o.log.Info("plan: "+e.Kind.String(), args...)
	}
	if r.Drawn > 0 {
		o.log.Info("plan: secrets drawn", "number", r.Drawn)
	}
	if r.Sealed > 0 {
		o.log.Info("secrets sealed to other nodes", "number", r.Sealed)
	}
}

// changed logs an error that differs from the one before, or its end.
func (o *observer) changed(before *string, err error, bad, good string) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == *before:
		return
	case text != "" && *before == "":
		o.log.Warn(bad, "error", text)
	case text == "":
		o.log.Info(good)
	}
	*before = text
}
