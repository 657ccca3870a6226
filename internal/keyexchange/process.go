package keyexchange

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"noonmark/internal/liveness"
	"noonmark/server/ntske"
)

// Config describes a Process.
type Config struct {
	Settings Settings
	// State returns the present state. It is called every second.
	State func() (State, error)
	// Listen opens the address, or returns the listener that is open already. The
	// process serves a copy of it.
	Listen func(ctx context.Context) (*net.TCPListener, error)
	Stderr io.Writer // of the process; nil: that of this one
	Log    *slog.Logger
}

// Process is the task that keeps an NTS-KE process running. Its methods may be called
// from any goroutine.
type Process struct {
	cfg     Config
	hangs   time.Duration
	looking liveness.Work
	kick    chan chan error // of Update

	mu     sync.Mutex
	ready  chan struct{}     // of this run
	over   chan struct{}     // of this run: closed at its end; nil: none runs
	before map[string]uint64 // exchanges of processes that have ended
	last   report
}

// New returns a Process. The error is about the settings.
func New(cfg Config) (*Process, error) {
	if err := cfg.Settings.Check(); err != nil {
		return nil, err
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	return &Process{cfg: cfg, hangs: hangs, kick: make(chan chan error), before: map[string]uint64{}}, nil
}

// Ready returns a channel that is closed when the process that Run starts serves.
func (p *Process) Ready() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ready = make(chan struct{})
	return p.ready
}

// Exchanges returns the number of connections by the word for how they ended.
func (p *Process) Exchanges() map[string]uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := (&ntske.Counters{}).Snapshot() // each reason, with 0
	for word := range all {
		all[word] = p.before[word] + p.last.Exchanges[word]
	}
	return all
}

// Open returns the number of open connections.
func (p *Process) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last.Open
}

// Stuck returns an error if this side hangs. It ends a process that does.
func (p *Process) Stuck() error { return p.looking.Stuck(time.Minute) }

// Update hands the present state to the process and waits until it is in force. The
// error says why it is not. If no process runs, the next one begins with the state.
func (p *Process) Update(ctx context.Context) error {
	p.mu.Lock()
	over := p.over
	p.mu.Unlock()
	if over == nil {
		return nil
	}
	done := make(chan error, 1)
	select {
	case p.kick <- done:
	case <-over:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// String names the task in logs.
func (p *Process) String() string { return "nts-ke" }

// Run starts a process and returns when it has ended: nil if ctx has, otherwise why.
func (p *Process) Run(ctx context.Context) error {
	r, err := p.start(ctx)
	if err != nil {
		return fmt.Errorf("start the nts-ke process: %w", err)
	}
	p.mu.Lock()
	p.over = make(chan struct{})
	p.mu.Unlock()
	defer p.ended()
	p.cfg.Log.Info("nts-ke process started", "pid", r.cmd.Process.Pid)
	return r.untilEnd(ctx)
}

// ended adds up what the process has counted.
func (p *Process) ended() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for word := range (&ntske.Counters{}).Snapshot() {
		p.before[word] += p.last.Exchanges[word]
	}
	p.last = report{}
	close(p.over)
	p.over = nil
}

// run is one process.
type run struct {
	p       *Process
	cmd     *exec.Cmd
	in      *os.File
	reports chan report // closed when there are no more

	sent    []byte // the last state
	number  uint64 // of it
	waiting []chan error
}

func (p *Process) start(ctx context.Context) (*run, error) {
	l, err := p.cfg.Listen(ctx)
	if err != nil {
		return nil, err
	}
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	exe := "/proc/self/exe" // the same program, also after an update has replaced its file
	if runtime.GOOS != "linux" {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	r := &run{p: p, reports: make(chan report)}
	r.cmd = &exec.Cmd{Path: exe, Args: []string{os.Args[0], Argument}, Env: environment(), Dir: "/", Stderr: p.cfg.Stderr, ExtraFiles: []*os.File{f}}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	out, theirOut, err := os.Pipe()
	if err != nil {
		in.Close()
		return nil, err
	}
	defer theirOut.Close()
	r.in, r.cmd.Stdin, r.cmd.Stdout = in, theirIn, theirOut
	if err := r.cmd.Start(); err != nil {
		in.Close()
		out.Close()
		return nil, err
	}
	go r.receive(out)
	return r, nil
}

// environment is that of this process without what the service manager says to it
// alone.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "NOTIFY_SOCKET=") || strings.HasPrefix(v, "WATCHDOG_") || strings.HasPrefix(v, "LISTEN_")
	})
}

// receive reads the reports until the process ends.
func (r *run) receive(out *os.File) {
	defer close(r.reports)
	defer out.Close()
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxReport)
	for lines.Scan() {
		var x report
		if json.Unmarshal(lines.Bytes(), &x) != nil {
			return // then there are no more reports, and it is ended
		}
		r.reports <- x
	}
}

// untilEnd attends to the process until it has ended: nil if ctx has, otherwise why.
func (r *run) untilEnd(ctx context.Context) error {
	p, err := r.p, r.attend(ctx)
	if errors.Is(err, syscall.EPIPE) {
		err = nil // it has ended, and how it did is the reason
	}
	r.in.Close() // it ends by itself
	wait := p.hangs
	if err != nil {
		wait = 0
	}
	kill := time.AfterFunc(wait, func() { r.cmd.Process.Kill() })
	defer kill.Stop()
	for range r.reports {
		continue
	}
	werr := r.cmd.Wait()
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return nil
	case werr != nil:
		return fmt.Errorf("the nts-ke process has ended: %w", werr)
	}
	return errors.New("the nts-ke process has ended")
}

// attend keeps the process up to date until it ends, hangs, or ctx ends.
func (r *run) attend(ctx context.Context) error {
	p := r.p
	if err := r.send(order{Settings: &p.cfg.Settings}); err != nil {
		return err
	}
	if err := r.update(); err != nil {
		return err
	}
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	silent := time.NewTimer(p.hangs)
	defer silent.Stop()
	stop := ctx.Done()
	defer func() {
		for _, done := range r.waiting {
			done <- nil // the next process begins with the state
		}
	}()
	for {
		p.looking.End()
		select {
		case x, ok := <-r.reports:
			p.looking.Begin()
			switch {
			case !ok:
				return nil
			case x.Stuck != "":
				return fmt.Errorf("the nts-ke process hangs: %.200q", x.Stuck)
			}
			silent.Reset(p.hangs)
			r.take(x)
		case <-tick.C:
			p.looking.Begin()
			if err := r.update(); err != nil {
				return err
			}
		case done := <-p.kick:
			p.looking.Begin()
			r.waiting = append(r.waiting, done)
			r.sent = nil // answered even if nothing has changed
			if err := r.update(); err != nil {
				return err
			}
		case <-stop:
			p.looking.Begin()
			stop = nil
			if err := r.send(order{Stop: true}); err != nil {
				return err
			}
			silent.Reset(p.hangs + p.cfg.Settings.Timeout)
		case <-silent.C:
			p.looking.Begin()
			return errors.New("the nts-ke process does not answer")
		}
	}
}

// update sends the state if it has changed.
func (r *run) update() error {
	s, err := r.p.cfg.State()
	if err != nil {
		return err
	}
	b, err := json.Marshal(&s)
	if err != nil || bytes.Equal(b, r.sent) {
		return err
	}
	r.sent = b
	r.number++
	return r.send(order{State: &s, Number: r.number})
}

func (r *run) send(o order) error {
	r.in.SetWriteDeadline(time.Now().Add(r.p.hangs))
	if err := json.NewEncoder(r.in).Encode(&o); err != nil {
		return fmt.Errorf("tell the nts-ke process: %w", err)
	}
	return nil
}

// take takes a report.
func (r *run) take(x report) {
	p := r.p
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = x
	if x.Number != r.number {
		return
	}
	if p.ready != nil {
		close(p.ready)
		p.ready = nil
	}
	for _, done := range r.waiting {
		var err error
		if x.Refused != "" {
			err = fmt.Errorf("nts-ke: %.200q", x.Refused)
		}
		done <- err
	}
	r.waiting = nil
}
