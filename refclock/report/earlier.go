package report

import "noonmark/refclock/status"

// Earlier is what an earlier run of the daemon published in this boot.
type Earlier struct {
	Last *status.Snapshot // nil: nothing that can be used
	Lock LockDetails      // what it stood on
}

// ReadEarlier reads what was published at a path.
func ReadEarlier(path string) (e Earlier) {
	r, err := status.Open(path)
	if err != nil {
		return e
	}
	defer r.Close()
	var s status.Snapshot
	if r.LoadAll(&s) != nil {
		return e
	}
	e.Last = &s
	if d := ReadDetails(path, s.PID, s.Mono); d != nil {
		e.Lock = d.Lock
	}
	return e
}

// Locked reports whether the earlier run was locked. What the system clock shows comes
// from that lock then.
func (e *Earlier) Locked() bool { return e.Last != nil && e.Last.RefTime != 0 }
