// Command run plays random sites into the engine: make campaign.
package main

import (
	"flag"
	"fmt"
	"os"

	"noonmark/internal/campaign"
	"noonmark/internal/exitcode"
)

func main() { os.Exit(run()) }

func run() int {
	c := campaign.Campaign{Log: os.Stdout}
	results, drifts, counts := "", false, false
	flag.Uint64Var(&c.Seed, "seed", 1, "first seed")
	flag.IntVar(&c.Sites, "sites", 0, "number of sites (default: until -for ends)")
	flag.DurationVar(&c.For, "for", 0, "how long to play (default: until -sites are played)")
	flag.IntVar(&c.Workers, "workers", 0, "sites played at a time (default: one a processor)")
	flag.StringVar(&c.Dir, "dir", "demo-run", "`FOLDER` for the events of failures")
	flag.BoolVar(&drifts, "drifts", false, "only pulses that drift around restarts, without other faults")
	flag.BoolVar(&counts, "counts", false, "only receivers that change their leap count in sight, without other faults")
	flag.StringVar(&results, "results", "", "`FILE` to add the result to")
	flag.Parse()
	if c.Sites <= 0 && c.For <= 0 || flag.NArg() > 0 || drifts && counts || (drifts || counts) && results != "" {
		fmt.Fprintln(os.Stderr, "campaign: want -sites or -for; -results takes no -drifts or -counts, of which there can be one")
		return exitcode.Usage
	}
	switch {
	case drifts:
		c.Draw = campaign.DrawDrift
	case counts:
		c.Draw = campaign.DrawCount
	}
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
