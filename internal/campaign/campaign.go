package campaign

import (
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"noonmark/internal/machine"
)

// Campaign is a run of many sites.
type Campaign struct {
	Seed    uint64                  // the first
	Draw    func(seed uint64) *Site // default: Draw
	Sites   int                     // 0: no limit
	For     time.Duration           // 0: no limit
	Workers int                     // 0: one a processor
	Dir     string                  // for the events of failures
	Log     io.Writer               // a line a failure
}

// Total is the outcome of a Campaign.
type Total struct {
	Revision     string // of the tree
	First, Last  uint64 // seeds
	Sites        int
	Played       time.Duration // in virtual time
	Took         time.Duration
	Served       int // sites that were served at some time
	Coincidences int
	Failures     int
}

// Run plays the sites. An error means that a site could not be played.
func (c *Campaign) Run() (Total, error) {
	var mu sync.Mutex
	t := Total{First: c.Seed, Revision: machine.Revision()}
	began := time.Now()
	var broken error
	if c.Draw == nil {
		c.Draw = Draw
	}
	next := func() (seed uint64, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if broken != nil || c.Sites > 0 && t.Sites == c.Sites || c.For > 0 && time.Since(began) >= c.For {
			return 0, false
		}
		t.Sites++
		t.Last = c.Seed + uint64(t.Sites) - 1
		return t.Last, true
	}
	work := func() {
		for seed, ok := next(); ok; seed, ok = next() {
			o, err := c.Draw(seed).Play()
			mu.Lock()
			if err != nil {
				broken = fmt.Errorf("seed %d: %w", seed, err)
			}
			t.add(&o)
			mu.Unlock()
			if err == nil && o.Failure != "" {
				c.failed(seed, o.Failure, &mu)
			}
		}
	}
	workers := c.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	var all sync.WaitGroup
	for range workers {
		all.Go(work)
	}
	all.Wait()
	t.Took = time.Since(began)
	return t, broken
}

// failed shrinks a failure, writes it and reports it.
func (c *Campaign) failed(seed uint64, failure string, mu *sync.Mutex) {
	small, failure := c.Draw(seed).Shrink(failure)
	path, err := small.Write(c.Dir, failure)
	mu.Lock()
	defer mu.Unlock()
	if err != nil {
		fmt.Fprintf(c.Log, "seed %d: write events: %v\n", seed, err)
	}
	fmt.Fprintf(c.Log, "seed %d: %s\n    %s\n    refclockctl replay%s %s\n", seed, failure, small, joined(small.args()), path)
}

func joined(args []string) (s string) {
	for _, a := range args {
		s += " " + a
	}
	return s
}

// add counts a site.
func (t *Total) add(o *Outcome) {
	t.Played += time.Duration(o.Played) * time.Second
	if o.Served > 0 {
		t.Served++
	}
	if o.Coincident {
		t.Coincidences++
	}
	if o.Failure != "" {
		t.Failures++
	}
}

// String is the total in one line.
func (t *Total) String() string {
	return fmt.Sprintf("seeds %d to %d: %d sites, %.0f hours, %d served, %d coincidences, %d failures; %.0f times real time",
		t.First, t.Last, t.Sites, t.Played.Hours(), t.Served, t.Coincidences, t.Failures, t.Played.Seconds()/max(t.Took.Seconds(), 1e-3))
}
