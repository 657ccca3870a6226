package replay

import (
	"io"

	"noonmark/internal/command"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/exitcode"
	"noonmark/refclock/recording"
	"noonmark/refclock/report"
	"noonmark/refclock/site"
	"noonmark/refclock/status"
)

// Request is what an operator asks to be replayed.
type Request struct {
	File string // of events, or a recording
	Site Site   // where the events are played
	JSON bool   // write one simulate.Second a line to the output, then the simulate.Summary

	// Of a recording.
	Config string // replay with this configuration of refclockd; empty: with the recorded one
	Run    int    // as Recorded.Run
	Log    bool   // write the engine's log
}

// Play replays what is asked for. Figures, for people or as JSON, go to out, and the log to
// errs. An error of the output is marked as one; what the request has wrong is
// exitcode.ErrUsage; other errors are those of files.
func (q *Request) Play(out, errs io.Writer) error {
	if recording.Is(q.File) {
		return q.recording(out, errs)
	}
	return q.events(out)
}

// recording plays a run of a recording.
func (q *Request) recording(out, errs io.Writer) error {
	r := Recorded{Path: q.File, Run: q.Run}
	if q.Config != "" {
		s, err := refclockd.Load(q.Config)
		if err != nil {
			return err
		}
		r.Configure = func(recorded *site.Config) { *recorded = configured(s, recorded) }
	}
	if q.JSON {
		r.JSON = out
	}
	if q.Log {
		r.Log = errs
	}
	o, err := r.Play()
	if err != nil || q.JSON {
		return err
	}
	return command.Print(out, false, nil, o.Print)
}

// events plays a file of events.
func (q *Request) events(out io.Writer) error {
	events, err := OpenEvents(q.File)
	if err != nil {
		return err
	}
	r, err := q.Site.Run(events)
	if err != nil {
		return exitcode.With(exitcode.ErrUsage, err)
	}
	if q.JSON {
		r.JSON = out
	}
	st, err := r.Play()
	if err != nil || q.JSON {
		return command.Written(err)
	}
	return command.Written(st.Print(out))
}

// configured is the site of a configuration on the recorded machine: the clock is the
// recorded one, whatever the configuration would steer, and what was known at the start
// stays known.
func configured(s *refclockd.Settings, recorded *site.Config) site.Config {
	c, was := s.SiteConfig(recorded.Receiver.Name), &recorded.Engine
	e := &c.Engine
	e.Kind, e.ClockName, e.Pulse = was.Kind, was.ClockName, was.Pulse
	refclockd.Continue(e, s, was.Learned, report.Earlier{Last: was.Before, Lock: was.BeforeLock})
	e.SystemSet = e.SystemSet || e.Kind == status.SystemClock
	e.Continued = was.Continued // also by a run with another clock
	e.SystemOwn = e.SystemSet && was.Learned.OK && !e.Continued
	return c
}
