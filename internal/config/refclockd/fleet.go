package refclockd

import (
	"fmt"
	"path/filepath"
	"slices"

	"noonmark/internal/config"
	"noonmark/internal/printable"
)

// FleetFile is what a fleet may set, in the file that the key fleet names. No key of it
// reaches the clock: a witness of a fleet is never required, so it only raises an alarm, and
// it names no file.
type FleetFile struct {
	Witness []FleetWitness `toml:"witness"`
}

// FleetWitness is a [[witness]] without the keys that a fleet may not set.
type FleetWitness struct {
	Address   string          `toml:"address"`
	NTS       *bool           `toml:"nts"` // nil: true
	MaxOffset config.Duration `toml:"max_offset"`
	Interval  config.Duration `toml:"interval"`
}

// MaxFleetWitnesses limits how many servers a fleet can let every node ask.
const MaxFleetWitnesses = 8

// LoadFleet reads the file of a fleet. content names what it has; empty without an error:
// there is no file. The error wraps one of config.ErrFragmentRead, ErrFragmentOwner and
// ErrFragmentContent.
func LoadFleet(path string) (servers []WitnessServer, content string, err error) {
	var file FleetFile
	f, content, err := config.LoadFragment(path, &file)
	if f == nil {
		return nil, "", err
	}
	c := config.NewChecker(f)
	c.Require(len(file.Witness) <= MaxFleetWitnesses, "witness", "%d are set; want %d at most", len(file.Witness), MaxFleetWitnesses)
	for i, w := range file.Witness[:min(len(file.Witness), MaxFleetWitnesses)] {
		prefix := fmt.Sprintf("witness[%d].", i)
		s, err := (&Witness{Address: w.Address, NTS: w.NTS, MaxOffset: w.MaxOffset, Interval: w.Interval}).server(f, prefix)
		c.Add(err)
		twice := slices.ContainsFunc(servers, func(v WitnessServer) bool { return v.Name == s.Name })
		c.Require(!twice, prefix+"address", "%q is named twice; want each server once", s.Name)
		servers = append(servers, s)
	}
	if err := c.Err(); err != nil {
		return nil, "", config.RefuseFragment(err)
	}
	return servers, content, nil
}

// fleet checks the name of the file of a fleet. What the file has cannot keep the daemon from
// running.
func (c *check) fleet() {
	c.Require(c.Fleet == "" || filepath.IsAbs(c.Fleet), "fleet", `%q is not an absolute path; want the file that the agent of the fleet writes, or "" for none`, c.Fleet)
	if !filepath.IsAbs(c.Fleet) {
		return
	}
	if _, _, err := LoadFleet(c.Fleet); err != nil {
		c.warn("fleet: what it names is not used: %s", printable.Text(err.Error()))
	}
}
