package discipline

import "noonmark/refclock/reason"

// remedies says for the reasons of states on which an operator can act what to do.
var remedies = [numReasons]string{
	NoPulse:        "check that the receiver has a fix, the wire from its time pulse to the pin or PPS device, and pulse.edge",
	NoMessages:     "check that the receiver sends RMC or ZDA, or UBX-NAV-PVT, and receiver.device and receiver.baud",
	VoidMessages:   "give the antenna a free view of the sky; a cold start takes up to 15 minutes",
	AmbiguousEdge:  "set pulse.width to the pulse's length, or pulse.edge to the other edge",
	MissingPulses:  "check that the receiver has a fix, and the wire from its time pulse",
	PulseJump:      "compare with an independent clock; refclockctl relock discards the lock if the pulses are right",
	SecondDisputed: "find out by a third clock which second is right; refclockctl relock discards the lock if the messages are right",
	ClockStepped:   "stop the program that steps the clock (ptp4l, phc2sys, ts2phc, chronyd)",
	HoldoverSpent:  "bring pulses and messages back",
	FreqLimit:      "check the pulses; if they are right, the card's oscillator is too far off to be corrected",
}

// Remedy returns what an operator can do about the reason of a state, empty if
// there is nothing but to wait.
func (r Reason) Remedy() string {
	if r < numReasons {
		return remedies[r]
	}
	return ""
}

// Remedy returns what an operator can do about the state: by its cause, else by its
// reason.
func (s *Status) Remedy() string {
	if s.Cause != reason.None {
		if r := s.Cause.Info().Remedy; r != "" {
			return r
		}
	}
	return s.Reason.Remedy()
}
