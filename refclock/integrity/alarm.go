// Package integrity decides whether the reference may be trusted now. It
// collects the evidence against receiver, pulses and dates, one file a kind of
// evidence, as typed alarms, and picks the one to report. It is pure: it reads no
// clock, logs nothing and starts no goroutine.
package integrity

import "noonmark/refclock/reason"

// Alarm says why the reference may not be trusted. The zero value is no alarm.
type Alarm struct {
	Code   reason.Code
	Detail string // for people, may be empty: the names of witnesses that disagree
	Remedy string // for the log, may be empty
}

// String returns the alarm as the published status shows it: the word of its
// code, and the detail.
func (a Alarm) String() string {
	switch {
	case a.Code == reason.None:
		return ""
	case a.Detail != "":
		return a.Code.String() + " " + a.Detail
	}
	return a.Code.String()
}

// highest returns the alarm whose code has the highest priority, the first of
// equals; the zero value if there is none.
func highest(alarms ...Alarm) (top Alarm) {
	for _, a := range alarms {
		if a.Code != reason.None && a.Code.Info().Priority > top.Code.Info().Priority {
			top = a
		}
	}
	return top
}
