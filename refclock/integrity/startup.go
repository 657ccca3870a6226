package integrity

import (
	"time"

	"noonmark/phc/tai"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reading"
	"noonmark/refclock/reason"
)

const (
	// edgeMargin is how far from the second of a disciplined system clock an edge
	// must be to be taken for the other edge of the pulse. A clock that is
	// disciplined over a network is nearer; pulses are 100 ms wide and more, or so
	// narrow that nobody confuses their edges.
	edgeMargin = tai.Second / 20
	// startupSeconds is how many seconds must speak against something.
	startupSeconds = 3
	// announceAge is how long before its pulse TIM-TP may have come: the message
	// period of 1 s and some latency.
	announceAge = 1_100_000_000
)

// Label says which second began or was named, and when.
type Label struct {
	Time tai.Time // the second; 0: none yet
	Mono int64    // CLOCK_MONOTONIC_RAW, ns: arrival of the message, or the pulse that began the second
}

// startup checks the receiver's second and the pulse's edge before the first lock
// against other evidence:
//
//   - a system clock that another program disciplines: its second, and where its
//     seconds begin;
//   - UBX-TIM-TP, which labels each pulse beforehand: messages that come a second
//     late label the pulses otherwise;
//
// When messages come shows nothing about the edge: they begin 17 ms after the pulse
// on some receivers and 0.9 s after it on others, and a message about a second
// cannot begin before it, which is true of either edge.
//
// A receiver that is constantly one second late shows in none of these: a witness
// is needed.
type startup struct {
	seconds seconds
	timTP   timTP
	edges   edges
	begun   Label    // the latest second that a message named and a pulse began
	pulses  [3]int64 // CLOCK_MONOTONIC_RAW of the latest pulses, the latest first; 0: none
	alarms  []Alarm
}

// seconds compares the receiver's second with a disciplined system clock's.
type seconds struct {
	last    tai.Time // the second of the label before
	against int      // how strongly the system clock contradicts
	opposed bool     // the alarm is raised
}

// timTP compares the labels of UBX-TIM-TP with those of the messages that follow.
type timTP struct {
	next     tai.Time // label of the next pulse
	nextMono int64    // when it came
	pulse    tai.Time // label of the latest pulse, 0: none
	against  int
	differs  bool // the alarm is raised
}

// edges finds out which of a pulse's edges begins the second.
type edges struct {
	elsewhere bool // a disciplined system clock begins its seconds elsewhere
	here      bool // it begins them here
	twins     bool // after each edge another comes, and the pulse source cannot tell them apart
}

// announce takes the label that UBX-TIM-TP gives to the next pulse.
func (s *startup) announce(m *gnss.Message) { s.timTP.next, s.timTP.nextMono = m.PulseTime, m.Mono }

// edge takes an edge. other: so long after it another one comes that nothing else
// tells apart; 0: none. Disciplined is the system clock at the edge, 0: there is
// none that is disciplined.
func (s *startup) edge(mono int64, other time.Duration, disciplined tai.Time) {
	n := &s.timTP
	n.pulse = 0
	if age := mono - n.nextMono; n.next != 0 && age > 0 && age < announceAge {
		n.pulse = n.next
	}
	n.next = 0
	s.pulses[2], s.pulses[1], s.pulses[0] = s.pulses[1], s.pulses[0], mono
	far := func(t tai.Time) bool { return max(t-t.Round(), t.Round()-t) > edgeMargin }
	// A clock that is right to edgeMargin cannot tell edges apart that are nearer.
	shows := other == 0 || far(disciplined+tai.Time(other))
	s.edges = edges{elsewhere: disciplined != 0 && far(disciplined), here: disciplined != 0 && !far(disciplined) && shows, twins: other != 0}
}

// pulseBefore returns when the latest pulse until mono came, 0 if none of the last
// did.
func (s *startup) pulseBefore(mono int64) int64 {
	for _, p := range s.pulses {
		if p <= mono {
			return p
		}
	}
	return 0
}

// second takes the instant that a valid message names.
func (s *startup) second(label tai.Time, in *reading.Clocks) {
	c := &s.seconds
	if label.Floor() == c.last {
		return // of the same burst, or a further label of the same second
	}
	c.last = label.Floor()
	if disciplined := in.Startup(); disciplined == 0 {
		c.against = 0
	} else {
		latency := disciplined - label // a message comes less than a second after its instant
		switch in := latency - latency.Floor(); {
		case in > edgeMargin && in < tai.Second-edgeMargin:
			c.against = tally(c.against, latency.Floor() != 0)
		case latency.Round() == 0:
			// Either it comes at once or it is a second ahead. What spoke against the
			// receiver is not seen any more.
			c.against = max(0, c.against-1)
		}
	}
	pulse := s.pulseBefore(in.Mono)
	after := time.Duration(in.Mono - pulse)
	if pulse == 0 || after <= 0 || after >= time.Second {
		return
	}
	second := reading.SecondOf(label, after)
	s.begun = Label{second, pulse}
	// A label that is one too low is TIM-TP's own lateness.
	if n := &s.timTP; n.pulse != 0 && pulse == s.pulses[0] {
		n.against = tally(n.against, n.pulse != second && n.pulse != second-tai.Second)
	}
}

// tally counts what speaks against, up to twice what raises an alarm. What speaks
// for it counts double.
func tally(n int, against bool) int {
	if against {
		return min(n+1, 2*startupSeconds)
	}
	return max(0, n-2)
}

// update draws the conclusions; after the first lock there are none.
func (s *startup) update(unlocked bool) {
	s.alarms = s.alarms[:0]
	if !unlocked {
		s.seconds.opposed, s.timTP.differs = false, false
		return
	}
	raised := func(against int, was bool) bool { return against >= startupSeconds || against > 0 && was }
	s.seconds.opposed = raised(s.seconds.against, s.seconds.opposed)
	s.timTP.differs = raised(s.timTP.against, s.timTP.differs)
	add := func(is bool, code reason.Code, remedy string) {
		if is {
			s.alarms = append(s.alarms, Alarm{Code: code, Remedy: remedy})
		}
	}
	add(s.seconds.opposed, reason.SecondOpposed, "the system clock is disciplined to 50 ms and shows another second than the receiver: find out by a third clock which is right")
	add(s.timTP.differs, reason.SecondNamed, "its messages come a second late: raise receiver.baud, or let it send fewer")
	if s.edges.elsewhere {
		add(true, reason.PulseAmbiguous, "the system clock's second is elsewhere: set pulse.width to what the receiver has, or pulse.edge to the other edge")
	} else {
		add(s.edges.twins && !s.edges.here, reason.PulseAmbiguous, "the card stamps both edges: set pulse.width to what the receiver has")
	}
}
