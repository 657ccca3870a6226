// Package health decides whether a node shall be announced: to BIRD, ExaBGP, keepalived
// and load balancers over HTTP. It asks the daemons of this node, and adds only that the
// last node is not withdrawn. It also makes the list of witnesses from the nodes of the
// fleet, finds the node whose time deviates, and lists targets for Prometheus. Judge,
// Peers, Deviation and Targets are pure; Keeper connects them with etcd.
package health

import (
	"fmt"
	"time"
)

// Reason is why a node is not healthy. Its String is the label of a metric and a JSON
// value, Message is for people.
type Reason uint8

// The reasons.
const (
	NoSnapshot     Reason = iota // refclockd publishes no state that can be used
	NotLocked                    // it is not synchronised
	BoundExceeded                // the error bound is beyond Limits.Bound
	NoAnswer                     // ntsserve does not answer NTP
	Unsynchronised               // it answers that it is not synchronised
	FewAnswers                   // too few requests are answered
	NoKeys                       // ntsserve has no cookie keys
	KeyFile                      // the key file is missing or old
	NotReady                     // the agent does not let it serve
	Deviates                     // its time is not that of the other nodes
	Stale                        // it was not examined for long
	numReasons
)

// words of the reasons. firm: the node is withdrawn even if it is the last one, because
// its answers would be wrong or nobody would get one. An answer that says "not
// synchronised" is honest, and an NTS NAK only makes clients repeat NTS-KE.
var words = [numReasons]struct {
	word, message string
	firm          bool
}{
	NoSnapshot:     {"no-snapshot", "refclockd publishes nothing; run: refclockctl doctor", false},
	NotLocked:      {"not-locked", "the clock is not synchronised; run: refclockctl status", false},
	BoundExceeded:  {"bound", "the error bound of the clock is too large; run: refclockctl status", false},
	NoAnswer:       {"no-answer", "ntsserve does not answer; run: systemctl status ntsserve", true},
	Unsynchronised: {"unsynchronised", "ntsserve answers that it is not synchronised; run: refclockctl doctor", false},
	FewAnswers:     {"few-answers", "ntsserve drops too many requests; see noonmark_ntp_dropped_total", false},
	NoKeys:         {"no-keys", "ntsserve has no cookie keys; run: refclockctl keys show", false},
	KeyFile:        {"key-file", "the key file of ntsserve is missing or old; run: noonmark-fleet status", false},
	NotReady:       {"not-ready", "the agent does not let the node serve; run: noonmark-fleet status", false},
	Deviates:       {"deviates", "the time of this node is not that of the others; find the reason: refclockctl doctor. It returns by itself when its time has agreed for a while", true},
	Stale:          {"stale", "the agent has not examined the node for long; run: systemctl status noonmark-fleet", true},
}

// String is the word of the reason.
func (r Reason) String() string { return words[r].word }

// Message says what is wrong and what to do.
func (r Reason) Message() string { return words[r].message }

// Firm reports whether it withdraws the last node, too.
func (r Reason) Firm() bool { return words[r].firm }

// Reasons returns all reasons.
func Reasons() (all []Reason) {
	for r := range numReasons {
		all = append(all, r)
	}
	return all
}

// Problem is a reason and what was seen.
type Problem struct {
	Reason Reason
	Detail string
}

// String is one line for reports and logs.
func (p Problem) String() string {
	if p.Detail == "" {
		return p.Reason.String()
	}
	return p.Reason.String() + ": " + p.Detail
}

// Facts are what was found on this node. Missing evidence is a problem, never health.
type Facts struct {
	Snapshot error // why there is no state of refclockd; nil: there is
	State    string
	Usable   bool          // locked or in holdover, within its own limit
	Bound    time.Duration // of the error; negative: there is none
	Stratum  int

	Answer error // why ntsserve gave no valid answer; nil: it did
	Synced bool  // by the answer, its clock is synchronised

	Serving error  // why there are no counters of ntsserve
	Asked   uint64 // requests since the last examination, without those that are malformed
	Dropped uint64 // of them, those that the configuration refuses
	NTS     bool   // ntsserve shall open cookies
	Keys    int    // that it has

	KeyAge   time.Duration // since the key file was written; negative: it is missing
	Unready  string        // why the agent does not let it serve; empty: it does
	Drained  bool          // an operator or a planner has drained it
	Deviates string        // from the other nodes, and how, for which it has drained itself; empty: it has not
}

// Limits are the thresholds. Zero values are the defaults.
type Limits struct {
	Bound time.Duration // of the error; 0 = no limit beyond refclockd's own
	// Gate also judges the share of requests that are answered: after a change of the
	// configuration. It does not decide on announcements, for strangers could withdraw
	// one node after the other by requests that are refused.
	Gate     bool
	Answered float64       // least share of requests that are answered; 0 = 0.5
	Sample   uint64        // least number of requests for that; 0 = 100
	KeyAge   time.Duration // of the key file; 0 = 45 days: a new root comes every 8 days
}

// Defaults of Limits.
const (
	defaultAnswered = 0.5
	defaultSample   = 100
	defaultKeyAge   = 45 * 24 * time.Hour
)

func (l Limits) filled() Limits {
	if l.Answered == 0 {
		l.Answered = defaultAnswered
	}
	if l.Sample == 0 {
		l.Sample = defaultSample
	}
	if l.KeyAge == 0 {
		l.KeyAge = defaultKeyAge
	}
	return l
}

// Judge returns the problems of a node, none if it is healthy.
func Judge(f Facts, l Limits) (list []Problem) {
	l = l.filled()
	add := func(r Reason, format string, args ...any) {
		list = append(list, Problem{r, fmt.Sprintf(format, args...)})
	}
	switch {
	case f.Snapshot != nil:
		add(NoSnapshot, "%v", f.Snapshot)
	case !f.Usable:
		add(NotLocked, "%s", f.State)
	case f.Bound < 0, l.Bound > 0 && f.Bound > l.Bound:
		add(BoundExceeded, "%v, limit %v", f.Bound, l.Bound)
	}
	switch {
	case f.Answer != nil:
		add(NoAnswer, "%v", f.Answer)
	case !f.Synced:
		add(Unsynchronised, "")
	}
	if l.Gate && f.Serving == nil && f.Asked >= l.Sample && float64(f.Asked-min(f.Dropped, f.Asked)) < l.Answered*float64(f.Asked) {
		add(FewAnswers, "%d of %d requests were dropped", f.Dropped, f.Asked)
	}
	if f.NTS {
		list = append(list, judgeKeys(f, l)...)
	}
	if f.Unready != "" {
		add(NotReady, "%s", f.Unready)
	}
	if f.Deviates != "" {
		add(Deviates, "%s", f.Deviates)
	}
	return list
}

// judgeKeys examines the cookie keys. ntsserve itself says how many it has; without its
// counters that is not known, and the file alone confirms nothing.
func judgeKeys(f Facts, l Limits) (list []Problem) {
	switch {
	case f.Serving != nil:
		list = append(list, Problem{NoKeys, f.Serving.Error()})
	case f.Keys == 0:
		list = append(list, Problem{NoKeys, ""})
	}
	switch {
	case f.KeyAge < 0:
		list = append(list, Problem{KeyFile, "missing"})
	case f.KeyAge > l.KeyAge:
		list = append(list, Problem{KeyFile, fmt.Sprintf("written %v ago", f.KeyAge.Round(time.Hour))})
	}
	return list
}

// Verdict is whether a node shall be announced.
type Verdict struct {
	Healthy  bool
	Announce bool
	Kept     bool // it is not healthy, and announced because no other node is known to be
	Problems []Problem
}

// Decide adds to the problems of a node that the last one is not withdrawn. others is how
// many other nodes are announced; negative: it is not known, and a node that is
// announced stays so, for the others may be gone. One with a firm reason, or one that was
// drained, is withdrawn.
func Decide(problems []Problem, drained bool, others int, announced bool) Verdict {
	v := Verdict{Healthy: len(problems) == 0, Problems: problems}
	firm := drained
	for _, p := range problems {
		firm = firm || p.Reason.Firm()
	}
	switch {
	case v.Healthy && !drained:
		v.Announce = true
	case !firm && (others == 0 || others < 0 && announced):
		v.Announce, v.Kept = true, true
	}
	return v
}
