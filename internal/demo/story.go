package main

import (
	"errors"
	"fmt"
	"time"

	"noonmark/internal/appliance"
)

// The story: five minutes in which an appliance sees what others see in months. Its
// oscillator is a plain crystal and its holdover limit is short, so that the bound
// grows and reaches the limit within the outage.
const (
	storyLength = 5 * time.Minute
	storyLimit  = "10us" // discipline.holdover_limit
	outageAt    = 80 * time.Second
	outage      = 75 * time.Second
	jammingAt   = 215 * time.Second
	jamming     = 30 * time.Second
)

// errOver: the story is over.
var errOver = errors.New("the story is over")

// chapters are what happens, in the order of time.
var chapters = []struct {
	at   time.Duration
	text string
}{
	{0, "the appliance is switched on: the receiver has a fix, the clock has no time yet"},
	{outageAt, "the antenna is unplugged: the clock runs on what it has learned, and the bound grows"},
	{outageAt + outage, "the antenna is connected again"},
	{jammingAt, "somebody jams the band of the receiver"},
	{jammingAt + jamming, "the jamming ends"},
}

// storyOptions is the appliance of the story.
func storyOptions(seed uint64) appliance.Options {
	faults := appliance.AntennaUnplugged(outageAt, outage)
	for _, kind := range [...]string{"jamming", "void"} {
		faults = append(faults, appliance.Fault{Kind: kind, At: jammingAt, For: jamming})
	}
	return appliance.Options{Seed: seed, Oscillator: "crystal", HoldoverLimit: storyLimit, Faults: faults}
}

// narrate prints the chapters that have begun since the start of the appliance.
func (d *demo) narrate(since time.Duration) error {
	for d.chapter < len(chapters) && since >= chapters[d.chapter].at {
		c := chapters[d.chapter]
		fmt.Fprintf(d.out, "story      %3.0f s: %s\n", c.at.Seconds(), c.text)
		d.chapter++
	}
	if since >= storyLength {
		return errOver
	}
	return nil
}
