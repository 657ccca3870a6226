package store

import "fmt"

// Right is what a node may read or write in etcd.
type Right struct {
	Key    string
	Prefix bool // all keys that begin with Key
	Write  bool // and read
}

// Rights returns what a node may do. It reads the whole fleet, but neither tokens nor
// what else only the administrator needs.
func Rights(fleet, node string) ([]Right, error) {
	for _, name := range [...]string{fleet, node} {
		if err := CheckName(name); err != nil {
			return nil, fmt.Errorf("rights: %w", err)
		}
	}
	p := prefix(fleet)
	return []Right{
		{Key: p, Prefix: true},
		{Key: p + "plan", Write: true},
		{Key: p + plannerKey, Write: true},
		{Key: p + "alive/" + node, Write: true},
		{Key: p + "seal/", Prefix: true, Write: true},
		{Key: p + "drain/", Prefix: true, Write: true},
		{Key: p + "audit/" + node + "/", Prefix: true, Write: true},
		{Key: p + "config/rollout", Write: true},
		{Key: p + "config/holder", Write: true},
		{Key: p + "config/at/" + node, Write: true},
		{Key: p + "cert/state", Write: true},
		{Key: p + "cert/holder", Write: true},
		{Key: p + "cert/seal/", Prefix: true, Write: true},
		{Key: p + "cert/token/", Prefix: true, Write: true},
		{Key: p + "cert/want/", Prefix: true, Write: true},
		{Key: p + "cert/at/" + node, Write: true},
		{Key: p + "health/at/" + node, Write: true},
		{Key: p + "health/up/" + node, Write: true},
		{Key: p + "health/target/" + node, Write: true},
	}, nil
}
