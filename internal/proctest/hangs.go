package proctest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// Hanging is a task that hangs after an hour, for Hangs.
type Hanging struct {
	Run     func(context.Context) error
	Hanging func() error // the task's own: why it hangs
	Begin   func()       // lets it hang from its next work on; nil: the time does
	After   time.Duration
	Release func() // lets it go on
}

// Hangs runs a task in the time of a synctest bubble. It must show that it hangs After
// the hour, and neither before nor once it goes on.
func Hangs(t *testing.T, h Hanging) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { h.Run(ctx); close(ended) }()
	time.Sleep(time.Hour)
	if err := h.Hanging(); err != nil {
		t.Errorf("after an hour: %v", err)
	}
	if h.Begin != nil {
		h.Begin()
	}
	time.Sleep(h.After)
	if err := h.Hanging(); err == nil {
		t.Error("it hangs and does not show it")
	}
	h.Release()
	synctest.Wait()
	if err := h.Hanging(); err != nil {
		t.Errorf("after it went on: %v", err)
	}
	cancel()
	<-ended
}
