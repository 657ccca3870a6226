package alert

import (
	"path/filepath"
	"reflect"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/printable"
)

// FleetFile is what a fleet may set, in the file that the key fleet names: conditions. The
// targets, which name commands and files with secrets, are the operator's.
type FleetFile struct {
	Conditions Conditions `toml:"conditions"`
}

// Combined are the conditions in force.
type Combined struct {
	Conditions
	Content    string   // of the file of the fleet; empty: there is none
	Overridden []string // keys of it that the operator's file names too
}

// Combine reads the file of the fleet, and returns the conditions that it and the operator's
// file make: what the latter names wins. The error wraps one of config.ErrFragmentRead,
// ErrFragmentOwner and ErrFragmentContent; then the operator's file alone counts.
func (s *Settings) Combine() (Combined, error) {
	own := Combined{Conditions: s.Conditions}
	if s.Fleet == "" {
		return own, nil
	}
	file := FleetFile{Default().Conditions}
	f, content, err := config.LoadFragment(s.Fleet, &file)
	if f == nil {
		return own, err
	}
	c := config.NewChecker(f)
	file.Conditions.check(c)
	file.Conditions.notWeak(c)
	if err := c.Err(); err != nil {
		return own, config.RefuseFragment(err)
	}
	all := own
	all.Content = content
	from, to := reflect.ValueOf(file.Conditions), reflect.ValueOf(&all.Conditions).Elem()
	for i := range from.NumField() {
		key := conditionKey(from.Type(), i)
		switch {
		case !f.Has(key):
		case s.names != nil && s.names(key):
			all.Overridden = append(all.Overridden, key)
		default:
			to.Field(i).Set(from.Field(i))
		}
	}
	return all, nil
}

// conditionKey is the key of a field of Conditions.
func conditionKey(t reflect.Type, field int) string {
	return "conditions." + t.Field(field).Tag.Get("toml")
}

// weaker is by how much a fleet may weaken a condition, against its default.
const weaker = 10

// early are conditions that are the weaker the smaller their value is.
var early = map[string]bool{"conditions." + Certificate: true, "conditions." + LeapTable: true, "conditions." + DiscFree: true}

// notWeak refuses values that switch a condition off, or nearly so: who can write the file of
// the fleet must not become who can silence the alerts of a node.
func (x *Conditions) notWeak(c *config.Checker) {
	is, usual := reflect.ValueOf(*x), reflect.ValueOf(Default().Conditions)
	for i := range is.NumField() {
		key := conditionKey(is.Type(), i)
		if !c.File.Has(key) {
			continue
		}
		v, d := amount(is.Field(i)), amount(usual.Field(i))
		const remedy = "; a fleet may not, set it in the local file of the node"
		switch {
		case v <= 0:
			c.Refuse(key, "switches the condition off"+remedy)
		case d > 0 && early[key]:
			c.Require(v >= d/weaker, key, "%v is less than a tenth of the default"+remedy, is.Field(i))
		case d > 0:
			c.Require(v <= d*weaker, key, "%v is more than ten times the default"+remedy, is.Field(i))
		}
	}
}

// amount is the value of a condition as a number.
func amount(v reflect.Value) float64 {
	switch x := v.Interface().(type) {
	case config.Duration:
		return float64(x.Duration)
	case float64:
		return x
	case bool:
		if x {
			return 1
		}
	}
	return 0
}

// fleet checks the name of the file of a fleet. What the file has keeps nothing from running.
func (s *Settings) fleet(c *config.Checker) {
	c.Require(s.Fleet == "" || filepath.IsAbs(s.Fleet), "fleet", `%q is not an absolute path; want the file that the agent of the fleet writes, or "" for none`, s.Fleet)
	if !filepath.IsAbs(s.Fleet) {
		return
	}
	if _, err := s.Combine(); err != nil {
		s.Warnings = append(s.Warnings, "fleet: what it names is not used: "+printable.Text(err.Error()))
	}
}

// check checks the values.
func (x *Conditions) check(c *config.Checker) {
	for _, d := range []struct {
		key   string
		value config.Duration
	}{
		{NotLocked, x.NotLocked}, {Holdover, x.Holdover}, {ReceiverSilent, x.ReceiverSilent}, {Certificate, x.Certificate}, {LeapTable, x.LeapTable}, {ServerSilent, x.ServerSilent}, {Task, x.Task}, {"clear", x.Clear},
	} {
		c.Within("conditions."+d.key, d.value, 0, 10*365*24*time.Hour)
	}
	c.Within("conditions.bound", x.Bound, 0, time.Second)
	for _, v := range []struct {
		key   string
		value float64
	}{{SoftwareStamps, x.SoftwareStamps}, {DiscFree, x.DiscFree}} {
		c.Require(v.value >= 0 && v.value <= 1, "conditions."+v.key, "%v is not a share; want 0 (off) to 1", v.value)
	}
	c.Require(x.KERefusals >= 0, "conditions.ke_refusals", "%v is negative; want refusals a minute, or 0 (off)", x.KERefusals)
}
