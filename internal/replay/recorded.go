package replay

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"noonmark/internal/command"
	"noonmark/internal/simulate"
	"noonmark/refclock/recording"
	"noonmark/refclock/site"
)

// Recorded is the replay of one run of a recording.
type Recorded struct {
	Path      string             // of the recording: a file, or a daemon's folder
	Run       int                // which run, counted from 1; 0: the last
	Configure func(*site.Config) // changes the recorded configuration; may be nil
	JSON      io.Writer          // one simulate.Second a line, then the simulate.Summary; nil: none
	Log       io.Writer          // the engine's log; nil: none
}

// Outcome is what a replay showed.
type Outcome struct {
	Program string // that recorded the run
	Run     int    // number of the run
	Runs    int    // how many there are
	From    time.Time
	Length  time.Duration
	Summary simulate.Summary
	Changes []Change

	Commands, Differ int   // steps and corrections, and those that the recorded engine did not give
	Gaps             int   // missing stretches
	Damaged          int64 // octets
	Cut              bool  // it ends within a frame

	Unheard []string // configured witnesses of which there is no reading

	took time.Duration // of real time
}

// Change is a second in which state or reason changed.
type Change struct {
	T             float64 // s since the beginning
	State, Reason string
}

// maxChanges is how many changes an Outcome keeps.
const maxChanges = 1000

// Play plays the run to its end. The error is one of the system, or of package
// recording, or command.ErrOutput.
func (r *Recorded) Play() (*Outcome, error) {
	name, out, err := r.choose()
	if err != nil {
		return nil, err
	}
	in, err := recording.Open(r.Path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	s := ticker{out: out}
	var lines *bufio.Writer
	if r.JSON != nil {
		lines = bufio.NewWriter(r.JSON)
		s.rec = simulate.NewRecorder(lines)
	}
	began, ours := time.Now(), false
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h, ok := rec.(*recording.Header); ok {
			if ours = h.Run == name; ours && s.player == nil {
				if s.player, err = NewPlayer(h, Options{Configure: r.Configure, Before: s.before, Log: r.logger(&s)}); err != nil {
					return nil, err
				}
			}
		}
		if ours && s.player != nil {
			s.player.Play(rec)
		}
	}
	out.took = time.Since(began)
	out.Damaged, out.Cut = in.Skipped(), in.Cut()
	out.Gaps, out.Unheard = s.player.Gaps, s.player.Unheard()
	out.Commands, out.Differ = s.player.Commands()
	out.Length = time.Duration(s.now - s.began)
	if s.rec == nil {
		return out, nil
	}
	if _, err := s.rec.Finish(); err != nil {
		return out, command.Written(err)
	}
	return out, command.Written(lines.Flush())
}

// choose finds the run.
func (r *Recorded) choose() (name string, out *Outcome, err error) {
	in, err := recording.Open(r.Path)
	if err != nil {
		return "", nil, err
	}
	defer in.Close()
	out = new(Outcome)
	last, first, began := "", false, int64(0)
	for {
		rec, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", nil, err
		}
		switch x := rec.(type) {
		case *recording.Header:
			if x.Run == last {
				continue
			}
			last = x.Run
			if out.Runs++; r.Run == 0 || r.Run == out.Runs {
				name, out.Program, out.Run, out.From, first, began = x.Run, x.Program, out.Runs, time.Time{}, true, x.Mono
			}
		case *recording.State:
			if first && last == name && x.Real != 0 {
				out.From, first = recording.Real(x.Real-(x.Mono-began)), false
			}
		}
	}
	if name == "" {
		return "", nil, fmt.Errorf("%s: %w: it has %d runs, and no number %d", r.Path, recording.ErrFormat, out.Runs, r.Run)
	}
	return name, out, nil
}

// ticker emits a second for each second of the run.
type ticker struct {
	player     *Player
	rec        *simulate.Recorder // nil: no JSON
	out        *Outcome
	began, now int64 // mono
	next       int64
}

// before is called before anything happens at a new instant.
func (s *ticker) before(mono int64) {
	const second = int64(time.Second)
	if s.began == 0 {
		s.began, s.next = mono, mono+second
	}
	for ; s.next <= mono; s.next += second {
		s.second(s.next)
	}
	s.now = max(s.now, mono)
}

// second emits one.
func (s *ticker) second(mono int64) {
	snap := s.player.Snapshot()
	x := simulate.NewSecond(float64(mono-s.began)*1e-9, snap, mono)
	if x.Served {
		at := snap.ClockAt(mono)
		x.UTC = at.UTC(snap.OffsetAt(at)).Format(time.RFC3339Nano)
	}
	s.out.Summary.Add(x)
	if s.rec != nil {
		s.rec.Add(x)
	}
	c := &s.out.Changes
	if k := len(*c); k < maxChanges && (k == 0 || (*c)[k-1].State != x.State || (*c)[k-1].Reason != x.Reason) {
		*c = append(*c, Change{x.T, x.State, x.Reason})
	}
}

// logger returns the engine's log, whose times are seconds since the beginning.
func (r *Recorded) logger(s *ticker) *slog.Logger {
	if r.Log == nil {
		return nil
	}
	return slog.New(slog.NewTextHandler(r.Log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Float64("t", float64(s.now-s.began)*1e-9)
		}
		return a
	}}))
}

// Print writes the outcome for people.
func (o *Outcome) Print(w io.Writer) error {
	from := "at an unknown time"
	if !o.From.IsZero() {
		from = "from " + o.From.Format(time.DateTime) + " UTC"
	}
	first := "never"
	if at := o.Summary.LockedAfterS; at != nil {
		first = fmt.Sprintf("first after %.0f s", *at)
	}
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "run %d of %d by %s, %s for %v; %.0f times real time\n", o.Run, o.Runs, o.Program, from, o.Length.Round(time.Second), o.Length.Seconds()/o.took.Seconds())
	for _, c := range o.Changes {
		fmt.Fprintf(b, "  %8.0f s  %s (%s)\n", c.T, c.State, c.Reason)
	}
	fmt.Fprintf(b, "  synchronised %d s, %s, at the end %s\n", o.Summary.ServedS, first, o.Summary.FinalState)
	fmt.Fprintf(b, "  %d commands to the clock; %d steps and corrections are other than recorded\n", o.Commands, o.Differ)
	if o.Gaps > 0 || o.Damaged > 0 || o.Cut {
		fmt.Fprintf(b, "  %d gaps, %d octets damaged, ends within a frame: %v; behind a gap a replay is not exact\n", o.Gaps, o.Damaged, o.Cut)
	}
	for _, name := range o.Unheard {
		fmt.Fprintf(b, "  no reading of witness %q was recorded; it counts as silent\n", name)
	}
	return b.Flush()
}
