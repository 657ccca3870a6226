//go:build unix

package daemon

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// The task does its work at each signal, and ends with its context.
func TestOnSignal(t *testing.T) {
	keep := make(chan os.Signal, 1) // the signal must not end the tests
	signal.Notify(keep, syscall.SIGUSR2)
	defer signal.Stop(keep)
	did := make(chan struct{}, 8)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	task := OnSignal("x", syscall.SIGUSR2, func() { did <- struct{}{} })
	go func() { ended <- task.Run(ctx) }()
	again := time.NewTicker(10 * time.Millisecond) // until the task listens
	defer again.Stop()
	for seen := 0; seen < 2; {
		select {
		case <-did:
			seen++
		case <-again.C:
			if err := syscall.Kill(os.Getpid(), syscall.SIGUSR2); err != nil {
				t.Fatal(err)
			}
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) || task.String() != "x" {
		t.Errorf("%s ended with %v", task, err)
	}
}
