package main

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// kernelLeap describes the leap state of the kernel's clock.
func kernelLeap() string {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return err.Error()
	}
	names := [...]string{"no leap second", "will insert", "will delete", "in the leap second", "leap second done", "not synchronised"}
	return fmt.Sprintf("%s (status %#x, TAI %d s)", names[max(0, min(state, len(names)-1))], t.Status, t.Tai)
}
