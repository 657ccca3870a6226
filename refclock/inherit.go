package refclock

import (
	"noonmark/phc/tai"
	"noonmark/refclock/clock"
	"noonmark/refclock/discipline"
	"noonmark/refclock/report"
	"noonmark/refclock/status"
)

// Inherit returns the snapshot that an earlier run of the program published last, if
// it is of this clock; nil if nothing can be taken over. The snapshot has been read
// with a status.Reader, which refuses those of another boot, of another time
// namespace and from before the machine slept.
func Inherit(s *status.Snapshot, cfg *Config) *status.Snapshot {
	if s == nil || s.Kind != cfg.Kind || s.ClockDev != cfg.ClockName || s.Clock == 0 || s.Mono == 0 {
		return nil
	}
	return s
}

// BeforeOf is the model of the clock in the snapshot of an earlier run.
func BeforeOf(s *status.Snapshot) clock.Before {
	if s == nil {
		return clock.Before{}
	}
	return clock.Before{Mono: s.Mono, Clock: s.Clock, RatePPB: s.RatePPB, FreqPPB: s.FreqPPB, Err: s.LineErr, Generation: s.Epoch}
}

// inherited is what the snapshot of an earlier run knew of true time; not ok if that was
// nothing.
func inherited(cfg *Config) (h discipline.Inherited, ok bool) {
	s, l := cfg.Before, &cfg.BeforeLock
	switch {
	case s == nil:
		return h, false
	case l.Earlier != nil && l.Earlier.RefTime != 0:
		h = *l.Earlier // what that run made of it will be found again
		h.Last, h.Recent, h.AwayNS = lastLine(l), lastPulses(l), l.AwayNS
		return h, true
	case s.RefTime == 0 || s.State != status.Locked && s.State != status.Holdover && s.State != status.Faulty:
		return h, false
	}
	return discipline.Inherited{
		Mono: s.Mono, Clock: s.Clock, RatePPB: s.RatePPB, Bound: float64(s.BoundAt(s.Mono)), Err: float64(s.LineErr), BoundRate: s.BoundRate, RefTime: s.RefTime, Unserved: !s.Usable(s.Mono), JumpNS: l.JumpNS, RefusedNS: l.RefusedNS, AwayNS: l.AwayNS, Drifted: l.Drifted, Pulses: l.Pulses, Seconds: l.Seconds, Last: lastLine(l), Recent: lastPulses(l),
	}, true
}

// lastLine is the line that the pulses of an earlier run were on; zero if it gave none
// on.
func lastLine(l *report.LockDetails) discipline.LastLine {
	if l.Last == nil {
		return discipline.LastLine{}
	}
	return *l.Last
}

// lastPulses are the latest pulses of an earlier run.
func lastPulses(l *report.LockDetails) discipline.LastPulses {
	if l.Recent == nil {
		return discipline.LastPulses{}
	}
	return *l.Recent
}

// inheritLeaps fills in the leap seconds that an earlier run knew, which the receiver
// may have announced.
func inheritLeaps(s, old *status.Snapshot) {
	s.TAIOffset, s.LeapAt, s.LeapSign, s.LeapPast, s.PastSign = old.TAIOffset, old.LeapAt, old.LeapSign, old.LeapPast, old.PastSign
	if old.LeapAt != 0 && s.Clock >= old.LeapAt { // it has passed
		s.TAIOffset += int32(old.LeapSign)
		s.LeapAt, s.LeapSign, s.LeapPast, s.PastSign = 0, 0, old.LeapAt, old.LeapSign
	}
}

// leapsBefore returns the leap seconds around the snapshot of an earlier run, in the order
// of time; none if the clock was never measured in that run.
func leapsBefore(s *status.Snapshot) (leaps []tai.Leap) {
	if s == nil || s.RefTime == 0 {
		return nil
	}
	if s.LeapPast != 0 {
		sec, _ := s.LeapPast.Unix(int(s.TAIOffset))
		leaps = append(leaps, tai.Leap{UTC: sec, Offset: int(s.TAIOffset)})
	}
	if s.LeapAt != 0 {
		offset := int(s.TAIOffset) + int(s.LeapSign)
		sec, _ := s.LeapAt.Unix(offset)
		leaps = append(leaps, tai.Leap{UTC: sec, Offset: offset})
	}
	return leaps
}
