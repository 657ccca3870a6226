// Package setup turns a machine into a time server: it looks for receivers, pulses
// and cards, listens to them, asks what it cannot find out, shows what it would write,
// writes it, and starts the daemons. Everything can be undone.
//
// Look and Listen gather what a machine has; Sources, Questions and Plan decide, and
// change nothing; Apply and Undo change files and units. Run does all of that in order,
// for `refclockctl setup`.
package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
	"noonmark/internal/printable"
	"noonmark/server/certs"
)

// Options say what Run does.
type Options struct {
	DryRun    bool // change nothing
	Yes       bool // ask nothing
	Undo      bool
	ApplyBoot bool // write the files of a Raspberry Pi's next boot
	Replace   bool // files that were changed by hand too
	GPIO      int  // the pin of the pulse on a Raspberry Pi

	Answers  Answers       // empty ones are asked, or have their defaults
	Wait     time.Duration // for a lock; 0: do not wait
	Terminal bool          // somebody can answer questions
}

// Report is what setup found and did. Its JSON keys are a contract.
type Report struct {
	Machine  *Machine         `json:"machine"`
	Plan     *Plan            `json:"plan"`
	Changed  bool             `json:"changed"` // something was written, started or stopped
	Undo     *Undone          `json:"undo"`    // nil: nothing was to be undone
	Reboot   bool             `json:"reboot"`  // the machine must be booted, then set up again
	Outcome  *Outcome         `json:"outcome"` // nil: nothing was started
	Findings []doctor.Finding `json:"findings"`
	Clients  []Snippet        `json:"clients"`
	Page     *Page            `json:"page"` // nil: there is none, or setup did not configure it
}

// ErrNotYet means that everything is set up, but clients do not get time yet.
var ErrNotYet = errors.New("clients do not get time yet")

// ErrNeedsAnswer means that there is a question and nobody to answer it.
var ErrNeedsAnswer = fmt.Errorf("%w: standard input is no terminal, so nobody can answer: use -yes for the defaults, or -dry-run to see what would be done", exitcode.ErrUsage)

// Setup has what Run works with.
type Setup struct {
	Host   *doctor.Host
	Ears   Ears
	System *System
	In     io.Reader
	Out    io.Writer // for people; all of it
	Root   bool      // this program may change the machine
}

// OnThisMachine returns the setup of the machine that it runs on, which asks people on in
// and out.
func OnThisMachine(in io.Reader, out io.Writer) (*Setup, error) {
	h := doctor.ThisHost("refclock")
	system, err := ThisSystem(h)
	if err != nil {
		return nil, err
	}
	return &Setup{Host: h, Ears: ThisMachine(h), In: in, Out: printable.Writer{To: out}, Root: os.Geteuid() == 0, System: system}, nil
}

// Run sets the machine up, or undoes that. The report is valid as far as Run came.
func (x *Setup) Run(ctx context.Context, o Options) (*Report, error) {
	r := &Report{Findings: []doctor.Finding{}, Clients: []Snippet{}}
	switch {
	case !o.Yes && !o.DryRun && !o.Terminal:
		return r, ErrNeedsAnswer
	case !x.Root && !o.DryRun:
		return r, fmt.Errorf("%w; run setup as root, or look with -dry-run", os.ErrPermission)
	}
	if err := o.Answers.checkGiven(); err != nil {
		return r, fmt.Errorf("%w: %w", exitcode.ErrUsage, err)
	}
	if !o.DryRun {
		held, err := lock(x.System.path(lockFile))
		if err != nil {
			return r, err
		}
		defer held.Close()
	}
	prompt := NewPrompt(x.In, x.Out)
	if o.Undo {
		return r, x.undo(prompt, r, &o)
	}
	rec, err := x.System.readRecord()
	if err != nil {
		return r, err
	}
	fmt.Fprintln(x.Out, "looking for receivers, pulses and cards; listening takes up to 15 s a port and 3 s a pin")
	r.Machine = Look(os.DirFS(x.System.Root), x.Host)
	Listen(ctx, r.Machine, rec.Machine, x.Ears)
	if err := ctx.Err(); err != nil {
		return r, err
	}
	if err := x.System.adopt(r.Machine, rec); err != nil && o.Answers.Clock == "" {
		return r, err
	}
	r.Machine.print(x.Out)
	a, err := answers(r.Machine, rec, &o)
	if err != nil {
		return r, err
	}
	if !o.Yes && !o.DryRun {
		for _, q := range Questions(r.Machine, &a) {
			if err := prompt.Ask(q); err != nil {
				return r, err
			}
		}
	}
	if r.Plan, err = x.System.Plan(r.Machine, a, o.Replace); err != nil {
		return r, err
	}
	r.Plan.Boot = append(r.Plan.Boot, BootEdits(r.Machine, o.GPIO)...)
	r.Clients, r.Page = append(r.Clients, Snippets(r.Machine, &a)...), r.Plan.page()
	fmt.Fprintln(x.Out)
	r.Plan.Print(x.Out)
	return r, x.carryOut(ctx, prompt, r, &o)
}

// answers are the defaults, those of the last setup where they are still possible, and
// those of the command line.
func answers(m *Machine, rec *Record, o *Options) (Answers, error) {
	a := Defaults(m)
	if last := rec.Answers; last != (Answers{}) && last.Check(m) == nil {
		a = last
	}
	for _, x := range [...]struct {
		given string
		to    *string
	}{{o.Answers.Clock, &a.Clock}, {o.Answers.Clients, &a.Clients}, {o.Answers.NTS, &a.NTS}, {o.Answers.Web, &a.Web}} {
		if x.given != "" {
			*x.to = x.given
		}
	}
	if err := a.Check(m); err != nil {
		return a, fmt.Errorf("%w: %w", exitcode.ErrUsage, err)
	}
	return a, nil
}

// carryOut makes the changes after a yes, and shows what comes of them.
func (x *Setup) carryOut(ctx context.Context, prompt *Prompt, r *Report, o *Options) error {
	boot := o.ApplyBoot && len(r.Plan.Boot) > 0
	if len(r.Plan.Boot) > 0 && !o.ApplyBoot {
		fmt.Fprintln(x.Out, "\nthe pulse or the serial port needs the boot settings above: setup -apply-boot writes them; boot, then run setup again")
	}
	if r.Plan.Empty() && !boot {
		fmt.Fprintln(x.Out, "\nnothing to change: everything is set up as asked")
	}
	if o.DryRun {
		fmt.Fprintln(x.Out, "\n-dry-run: nothing was changed")
		return nil
	}
	if !r.Plan.Empty() || boot {
		if !o.Yes {
			if yes, err := prompt.Yes("Make these changes?"); err != nil || !yes {
				fmt.Fprintln(x.Out, "nothing was changed")
				return err
			}
		}
		r.Changed = true
		if boot {
			r.Reboot = true
			if err := x.System.ApplyBoot(r.Plan); err != nil {
				return err
			}
			fmt.Fprintln(x.Out, "\nthe boot settings are written: boot, then run setup again")
			return nil
		}
		if err := x.System.Apply(r.Plan); err != nil {
			return fmt.Errorf("%w; refclockctl setup -undo restores what was there", err)
		}
	}
	if o.Wait <= 0 || r.Machine.Units.Ntsserve == "" {
		r.printUse(x.Out)
		return nil
	}
	return x.show(ctx, r, o)
}

// show waits for the clock, examines the machine, and prints what clients need.
func (x *Setup) show(ctx context.Context, r *Report, o *Options) (err error) {
	fmt.Fprintln(x.Out)
	w := watch{receiver: r.Plan.Source.Kind.receiver(), reference: reference, ask: ask}
	if w.verify, err = r.Plan.verifier(x.System.path(authorityDir + "/" + certs.AuthorityCert)); err != nil {
		return err
	}
	out := w.live(ctx, x.Out, o.Wait)
	r.Outcome = &out
	x.explainNTS(ctx, r)
	found := doctor.Findings(x.Host.Examine(ctx, doctor.Options{Refclockd: refclockdFile, Ntsserve: ntsserveFile, Listen: pulseTime}))
	r.Findings = append(r.Findings, found...)
	bad := r.Findings[:0:0]
	for _, f := range found {
		if f.Level != doctor.OK {
			bad = append(bad, f)
		}
	}
	fmt.Fprintf(x.Out, "\ndoctor: %d checks are fine\n", len(found)-len(bad))
	if len(bad) > 0 {
		if err := doctor.Print(x.Out, bad, false); err != nil {
			return err
		}
	}
	r.printUse(x.Out)
	if !out.Synchronised {
		why := out.Answer
		if out.State != "" && out.Answer == "" {
			why = fmt.Sprintf("refclockd is %s (%s)", out.State, out.Reason)
		}
		return fmt.Errorf("%w: %s; refclockctl status -watch shows when that changes", ErrNotYet, why)
	}
	if w.verify != nil && !out.Authenticated {
		return fmt.Errorf("%w with NTS: %s; %s", ErrNotYet, out.NTS, out.Remedy)
	}
	return nil
}

// printUse prints what clients need, and where the web page is.
func (r *Report) printUse(w io.Writer) {
	fmt.Fprint(w, snippetText(r.Clients), r.Page.text())
}

// undo undoes after a yes.
func (x *Setup) undo(prompt *Prompt, r *Report, o *Options) error {
	rec, err := x.System.readRecord()
	if err != nil {
		return err
	}
	r.Undo = rec.undo(x.System)
	if o.DryRun {
		r.Undo.print(x.Out)
		return nil
	}
	if !o.Yes {
		r.Undo.print(x.Out)
		if yes, err := prompt.Yes("Restore what was there before the first setup?"); err != nil || !yes {
			fmt.Fprintln(x.Out, "nothing was changed")
			return err
		}
	}
	r.Changed = !r.Undo.empty()
	return x.System.Undo(x.Out)
}
