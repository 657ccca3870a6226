// Command demo runs a fleet on this machine: three nodes with an etcd of their own, real
// ntsserve, and a client whose cookies wander over all three while the roots are rotated,
// one node is killed and comes back, and another is drained. The health endpoints say who
// shall be announced.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"noonmark/fleet/roots"
	"noonmark/fleet/site"
	"noonmark/internal/command"
	"noonmark/server/ntsclient"
)

const (
	limit     = 5 * time.Minute // for -once, which takes little more than a minute
	interval  = 250 * time.Millisecond
	killAfter = 15 * time.Second // after the client has begun
	awayFor   = 5 * time.Second
	rotations = 2
)

// params are those of a fleet that rotates its roots every half minute, the shortest that
// is possible.
var params = roots.Params{
	Rotate: time.Minute, Keep: 2, Renew: 30 * time.Second, Horizon: time.Minute,
	Lead: 30 * time.Second, Ack: 20 * time.Second, Tolerance: 5 * time.Second,
}

// exitFailed is the exit code when the demo did not show what it should.
const exitFailed = 1

func main() {
	p := commandLine()
	os.Exit(p.Main(os.Args[1:], command.Standard()))
}

func commandLine() command.Command {
	return command.Command{
		Name: "demo", About: "run a fleet of three nodes on loopback", Code: func(error) int { return exitFailed },
		Prepare: command.NoArgs(func(fl *flag.FlagSet, c command.Console) func() error {
			d := &demo{out: c.Out, started: time.Now()}
			fl.BoolVar(&d.once, "once", false, "stop after two rotations, one node that was killed and came back, and one that was drained; print the result as JSON")
			fl.StringVar(&d.bin, "bin", "bin", "the `DIRECTORY` of the programs")
			return func() error {
				ctx, stop := command.Interruptible()
				defer stop()
				return d.show(ctx)
			}
		}),
	}
}

// show runs until ctx ends, which is no error. With -once the result is the last line, and
// a bad one is an exit code.
func (d *demo) show(ctx context.Context) error {
	err := d.run(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	if d.once {
		d.result.OK = err == nil && d.result.Rotations >= rotations && d.result.NAKs == 0 && d.result.Killed == 1 && d.result.Withdrawn == 2 &&
			d.result.Answered > 0 && d.result.Requests == d.result.Answered
		if err := json.NewEncoder(d.out).Encode(d.result); err != nil || !d.result.OK {
			return &command.ExitError{Code: exitFailed}
		}
	}
	return nil
}

// result is the last line of -once. Its keys are a contract.
type result struct {
	Nodes     int  `json:"nodes"`
	Rotations int  `json:"rotations"`
	Requests  int  `json:"requests"`
	Answered  int  `json:"answered"`
	NAKs      int  `json:"naks"`
	Killed    int  `json:"killed"`
	Withdrawn int  `json:"withdrawn"` // nodes that their health endpoints withdrew: a killed and a drained one
	OK        bool `json:"ok"`
}

type demo struct {
	out     io.Writer
	once    bool
	bin     string
	started time.Time
	result  result

	site   *site.Site
	router *site.Anycast
	first  int // roots that had begun when the client began
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%5.1f s  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

// run starts everything and lets the client ask.
func (d *demo) run(ctx context.Context) (err error) {
	interrupted := ctx.Err
	if d.once {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, limit, fmt.Errorf("it takes longer than %v", limit))
		defer stop()
	}
	dir, err := os.MkdirTemp("", "noonmark-fleet-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if d.router, err = site.NewAnycast(); err != nil {
		return err
	}
	defer d.router.Close()
	if d.site, err = site.New(ctx, dir, site.Options{Bin: d.bin, Params: params, Seed: 1}); err != nil {
		return err
	}
	defer func() {
		d.site.Close()
		if err != nil && interrupted() == nil {
			for _, n := range d.site.Nodes {
				fmt.Fprint(d.out, n.Logs())
			}
		}
	}()
	if err := d.start(ctx); err != nil {
		return err
	}
	return d.ask(ctx)
}

// start makes the fleet.
func (d *demo) start(ctx context.Context) error {
	d.say("refclockd with a simulated receiver; node a makes a fleet, with an etcd of its own")
	a, err := d.site.Found(ctx, "a", d.router.Port())
	if err != nil {
		return err
	}
	for _, name := range [...]string{"b", "c"} {
		if _, err := d.site.Join(ctx, name, d.router.Port()); err != nil {
			return err
		}
		d.say("node %s has joined with a token", name)
	}
	if err := d.site.WaitForClock(ctx); err != nil {
		return err
	}
	d.say("the clock is trusted")
	if err := a.WaitForServing(ctx, len(d.site.Nodes)); err != nil {
		return err
	}
	for _, n := range d.site.Nodes {
		if err := n.StartServer(ctx); err != nil {
			return err
		}
	}
	d.result.Nodes = len(d.site.Nodes)
	d.router.Announce(d.site.Nodes...)
	d.say("%d nodes serve; etcd has as many members", d.result.Nodes)
	return nil
}

// ask lets a client ask all nodes in turn, while things happen.
func (d *demo) ask(ctx context.Context) error {
	a, c := d.site.Nodes[0], d.site.Nodes[2]
	client, err := ntsclient.New(ntsclient.Config{Host: "localhost", Port: a.KE, Network: "udp4", RootCAs: d.site.Trusted(), Timeout: site.AnswerLimit})
	if err != nil {
		return err
	}
	defer client.Close()
	if d.first, err = a.Begun(time.Now()); err != nil {
		return err
	}
	begun := time.Now()
	t := time.NewTicker(interval)
	defer t.Stop()
	events, gone := make(chan event), make(chan struct{})
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { stop(d.happen(ctx, gone, events)) }()
	healthy, killed, over := false, false, false
	for {
		if err := d.request(ctx, client); err != nil {
			return err
		}
		switch since := time.Since(begun); {
		case healthy && !killed && since > killAfter:
			killed = true
			d.router.Announce(d.site.Nodes[:2]...) // before, so that no request is on the way
			c.Kill()
			d.result.Killed++
			d.say("node c is killed, with its member of etcd")
			close(gone)
		}
		select {
		case e := <-events:
			d.router.Announce(e.announced...)
			d.result.Withdrawn += e.withdrawn
			healthy, over = true, e.last
			d.say("%s", e.what)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-t.C:
		}
		n, err := a.Begun(time.Now())
		if err != nil {
			return err
		}
		if n -= d.first; n > d.result.Rotations {
			d.result.Rotations = n
			d.say("rotation %d; %d requests, %d answered, %d NAKs, answers by node %v", n, d.result.Requests, d.result.Answered, d.result.NAKs, d.router.Answers())
		}
		if d.once && over && d.result.Rotations >= rotations && time.Since(begun) > killAfter+awayFor {
			return nil
		}
	}
}

// event is what happened to the fleet, and which nodes are announced from then on.
type event struct {
	what      string
	announced []*site.Node
	withdrawn int
	last      bool
}

// happen starts node c again a while after it is gone, then drains node b and lets it
// serve again. After each step it asks the health endpoints.
func (d *demo) happen(ctx context.Context, gone <-chan struct{}, events chan<- event) error {
	a, b, c := d.site.Nodes[0], d.site.Nodes[1], d.site.Nodes[2]
	tell := func(e event) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	drain := func(command string) func() error {
		return func() error { _, err := a.Repeat(ctx, command, b.Name); return err }
	}
	for _, step := range [...]struct {
		do     func() error
		node   *site.Node
		health int // its answer then; 0: none. Others say 200
		event
	}{
		{func() error { return nil }, c, http.StatusOK, event{"the health endpoints of all nodes say 200", d.site.Nodes, 0, false}},
		{func() error { return wait(ctx, gone) }, c, 0, event{"the health endpoint of c is gone, those of a and b say 200", []*site.Node{a, b}, 1, false}},
		{func() error { return d.revive(ctx) }, c, http.StatusOK, event{"node c is back and serves, its health endpoint says 200", d.site.Nodes, 0, false}},
		{drain("drain"), b, http.StatusServiceUnavailable, event{"node b is drained, its health endpoint says 503", []*site.Node{a, c}, 1, false}},
		{drain("undrain"), b, http.StatusOK, event{"node b is not drained any more, its health endpoint says 200", d.site.Nodes, 0, true}},
	} {
		if err := step.do(); err != nil {
			return err
		}
		if err := step.node.WaitForHealth(ctx, step.health); err != nil {
			return err
		}
		for _, n := range step.announced {
			if err := n.WaitForHealth(ctx, http.StatusOK); err != nil {
				return err
			}
		}
		tell(step.event)
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

// wait waits until c is closed.
func wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// revive starts node c again after a while.
func (d *demo) revive(ctx context.Context) error {
	c := d.site.Nodes[2]
	t := time.NewTimer(awayFor)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
	}
	if err := c.StartAgent(); err != nil {
		return err
	}
	if err := c.StartServer(ctx); err != nil {
		return err
	}
	return d.site.Nodes[0].WaitForServing(ctx, len(d.site.Nodes))
}

// request makes one request. A NAK is an answer too, but none that counts.
func (d *demo) request(ctx context.Context, client *ntsclient.Client) error {
	d.result.Requests++
	_, err := client.Query(ctx)
	switch {
	case err == nil:
		d.result.Answered++
	case errors.Is(err, ntsclient.ErrNAK):
		d.result.NAKs++
		d.say("a node refuses the cookie of another")
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		d.say("no answer: %v", err)
	}
	return nil
}
