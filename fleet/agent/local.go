package agent

import (
	"fmt"

	"noonmark/fleet/roots"
)

// Local is what a node has on its disc, without the secrets.
type Local struct {
	Plan    roots.Plan
	Holds   []roots.ID
	Drained bool
}

// ReadLocal reads the copy of a node. Without a file the plan has no version.
func ReadLocal(path string) (Local, error) {
	k, err := readCopy(path)
	if err != nil {
		return Local{}, fmt.Errorf("read copy: %w", err)
	}
	return Local{Plan: k.plan, Holds: k.holds(), Drained: k.drained}, nil
}
