// Command run plays random sites into the engine: make campaign.
package main

import (
	"flag"
	"fmt"
	"os"

	"noonmark/internal/campaign"
	"noonmark/internal/exitcode"
)

// kinds are those of -only.
var kinds = map[string]func(uint64) *campaign.Site{
	"": nil, "drifts": campaign.DrawDrift, "jumps": campaign.DrawJump, "counts": campaign.DrawCount,
}

func main() { os.Exit(run()) }

func run() int {
	c := campaign.Campaign{Log: os.Stdout}
	results, only := "", ""
	flag.Uint64Var(&c.Seed, "seed", 1, "first seed")
	flag.IntVar(&c.Sites, "sites", 0, "number of sites (default: until -for ends)")
	flag.DurationVar(&c.For, "for", 0, "how long to play (default: until -sites are played)")
	flag.IntVar(&c.Workers, "workers", 0, "sites played at a time (default: one a processor)")
	flag.StringVar(&c.Dir, "dir", "demo-run", "`FOLDER` for the events of failures")
	flag.StringVar(&only, "only", "", "one `KIND`, without other faults: drifts (pulses that drift around restarts), jumps (pulses that jump around restarts), counts (receivers that change their leap count in sight)")
	flag.StringVar(&results, "results", "", "`FILE` to add the result to")
	flag.Parse()
	draw, known := kinds[only]
	if c.Sites <= 0 && c.For <= 0 || flag.NArg() > 0 || !known || only != "" && results != "" {
		fmt.Fprintln(os.Stderr, "campaign: want -sites or -for; -only takes drifts, jumps or counts, and goes without -results")
		return exitcode.Usage
	}
	c.Draw = draw
	t, err := c.Run()
	fmt.Println(t.String())
	if err == nil && results != "" {
		err = t.Record(results)
	}
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "campaign:", err)
		return exitcode.Of(err)
	case t.Failures > 0:
		return exitcode.Software
	}
	return exitcode.OK
}
