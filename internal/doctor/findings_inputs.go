package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"noonmark/internal/config/refclockd"
	"noonmark/refclock/gnss"
	"noonmark/refclock/reason"
)

// inputFindings judges pulse and receiver: by what a running refclockd accepts,
// or by what was heard.
func inputFindings(in *InputFacts, d *DaemonFacts, c *refclockd.Settings) (found []Finding) {
	if in.PulseFile != nil {
		f := accessFinding("pulse", in.PulseFile, deviceDenied)
		if found = append(found, f); f.Level == OK {
			found = append(found, holdersFinding("pulse", in.PulseFile, pulseShared))
		}
	}
	r := &in.ReceiverFile
	f := accessFinding("receiver", r, receiverDenied)
	if found = append(found, f); f.Level == OK {
		found = append(found, holdersFinding("receiver", r, receiverHeld))
		if in.Console {
			found = append(found, receiverConsole.with("path", r.Path, "name", filepath.Base(r.Path)))
		}
	}
	if d.Running() {
		found = append(found, conditionFindings(d)...)
		found = append(found, waitFindings(d)...)
		return append(found, progressFindings(d, c.Pulse.Source != "none")...)
	}
	if in.Pulses != nil {
		found = append(found, pulseFinding(in.Pulses, in.Listened))
	}
	m := in.Messages
	switch {
	case m == nil:
		return found
	case errors.Is(m.Err, fs.ErrPermission):
		return append(found, receiverDenied.with("path", r.Path, "mode", fmt.Sprintf("%04o", r.Mode.Perm()), "uid", r.UID, "gid", r.GID, "user", "this user"))
	case m.Err != nil:
		return append(found, receiverError.with("error", m.Err, "path", r.Path))
	}
	found = append(found, messageFindings(m, in.Listened)...)
	if in.Pulses != nil {
		found = append(found, latencyFindings(in.Pulses.Edges, m.Firsts)...)
	}
	return found
}

// conditionKinds are the kinds of finding of the conditions that refclockd reports.
var conditionKinds = map[reason.Code]kind{
	reason.PortMissing: portMissing, reason.PortGone: portGone, reason.PortConsole: portConsole, reason.PortShared: portShared, reason.PortSilent: portSilent,
	reason.PortNoChecksum: portNoChecksum, reason.PortDamaged: portDamaged, reason.PortProtocol: portProtocol, reason.PortRateUnknown: portRateUnknown,
	reason.MessageNoDate: portUndated, reason.ReceiverNoFix: portNoFix, reason.PortSlow: portSlow,
}

// conditionFindings are what a running refclockd says of its receiver.
func conditionFindings(d *DaemonFacts) (found []Finding) {
	if d.Details == nil {
		return nil
	}
	for _, c := range d.Details.Conditions {
		for code, k := range conditionKinds {
			if code.String() == c.Reason {
				found = append(found, k.with("detail", fmt.Sprintf("refclockd reports %s for %v: %s", c.Reason, time.Duration(c.SinceS*1e9).Round(time.Second), c.Detail)))
			}
		}
	}
	return found
}

// waitFindings are what a running refclockd says of labels that it cannot use, or not
// yet.
func waitFindings(d *DaemonFacts) (found []Finding) {
	if d.Err != nil || d.Details == nil {
		return nil
	}
	switch d.Details.Cause {
	case reason.MessageFraction.String():
		found = append(found, labelFraction.with("reason", d.First.Reason))
	case reason.LeapUnconfirmed.String():
		advice := reason.LeapUnconfirmed.Info().Remedy
		if d.Details.Remedy != "" {
			advice = d.Details.Remedy
		}
		found = append(found, labelUnconfirmed.with("reason", d.First.Reason, "advice", advice))
	}
	return found
}

// countTolerance is how many pulses more or less than one a second are no
// finding: those at the start and at the end of the time.
const countTolerance = 1.5

// progressFindings judges what a running refclockd accepted between two of its
// snapshots. pulse: it uses one.
func progressFindings(d *DaemonFacts, pulse bool) (found []Finding) {
	switch {
	case d.LastErr != nil:
		return []Finding{snapshotUnreadable.with("error", d.LastErr)}
	case d.Listened == 0: // interrupted
		return nil
	}
	a, b := &d.First, &d.Last
	if pulse {
		n, refused := b.Pulses-a.Pulses, b.BadPulses-a.BadPulses
		k := edgesTaken
		switch {
		case n == 0 && refused > 0:
			k = edgesAllRefused
		case n == 0:
			k = edgesNone
		case float64(n) < d.Listened.Seconds()-countTolerance:
			k = edgesFew
		}
		found = append(found, k.with("accepted", n, "time", d.Listened, "refused", refused, "missed", b.Missed-a.Missed, "source", b.Pulse))
	}
	n := b.Msgs - a.Msgs
	k := messagesTaken
	if n == 0 {
		k = messagesNone
	}
	found = append(found, k.with("accepted", n, "time", d.Listened, "refused", b.BadMsgs-a.BadMsgs, "source", b.Receiver))
	if n > 0 && pulse && b.Pulses > a.Pulses && b.MsgMono > b.PulseMono {
		latency := time.Duration(b.MsgMono-b.PulseMono) % time.Second
		found = append(found, latencySnapshot.with("latency", latency.Round(time.Millisecond)))
	}
	return found
}

// maxIrregular is how far from one second the pulses of a receiver may be: less
// than the wander of a system clock in a second.
const maxIrregular = time.Millisecond

// pulseFinding judges the pulses of a time of listening.
func pulseFinding(p *PulseFacts, listened time.Duration) Finding {
	n := len(p.Edges)
	if p.Err != nil && n == 0 {
		return edgesError.with("error", p.Err)
	}
	worst := int64(0)
	for i := 1; i < n; i++ {
		gap := (p.Edges[i] - p.Edges[i-1]) % 1e9
		worst = max(worst, min(gap, 1e9-gap))
	}
	k := edgesOK
	switch secs := listened.Seconds(); {
	case n == 0:
		k = edgesSilent
	case float64(n) < secs-countTolerance:
		k = edgesLost
	case float64(n) > secs+countTolerance:
		k = edgesTooMany
	case time.Duration(worst) > maxIrregular:
		k = edgesIrregular
	}
	return k.with("count", n, "time", listened, "worst", time.Duration(worst).Round(100*time.Nanosecond), "note", p.Note)
}

// Limits of damaged input: the rest of a sentence at the start is no damage.
const (
	maxNoise     = 128 // bytes
	maxChecksums = 1
)

// manyBare is the number of sentences without checksum that is no accident.
const manyBare = 3

// maxLoad is the part of the time that a line may be busy: beyond it, bursts of
// messages run into each other.
const maxLoad = 0.8

// messageFindings judges the messages of a time of listening.
func messageFindings(m *MessageFacts, listened time.Duration) (found []Finding) {
	switch {
	case m.Bytes == 0:
		return []Finding{messagesSilent.with("time", listened)}
	case !m.Framed() && m.OtherBaud != 0:
		return []Finding{baudOther.with("found", m.OtherBaud, "baud", m.Baud)}
	case !m.Framed() && m.Counters.Of(gnss.MissingChecksum) >= manyBare:
		return []Finding{portNoChecksum.with("detail", fmt.Sprintf("%d sentences in %v at %d baud have no checksum", m.Counters.Of(gnss.MissingChecksum), listened, m.Baud))}
	case !m.Framed() && (m.Look.Known() != "" || m.Look.Text()):
		return []Finding{portProtocol.with("detail", fmt.Sprintf("%d bytes came at %d baud: %s", m.Bytes, m.Baud, m.Look.Describe(listened)))}
	case !m.Framed():
		return []Finding{baudUnknown.with("bytes", m.Bytes, "baud", m.Baud, "look", m.Look.Describe(listened))}
	}
	var names []string
	for name, n := range m.Sources {
		names = append(names, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(names)
	found = append(found, messagesHeard.with("time", listened, "messages", strings.Join(names, ", ")))
	switch {
	case !m.Dated:
		found = append(found, messagesNoDate.with())
	case m.Valid == 0:
		found = append(found, fixNone.with("fix", m.Fix, "satellites", m.Satellites))
	default:
		found = append(found, fixOK.with("fix", m.Fix, "satellites", m.Satellites, "valid", m.Valid, "labels", m.Labels))
	}
	if m.Rolled {
		found = append(found, fixRollover.with())
	}
	if m.Unresolved {
		found = append(found, fixLeapUnknown.with())
	}
	if m.Counters.Of(gnss.BadChecksum) > maxChecksums || m.Counters.Of(gnss.Noise) > maxNoise {
		var refused []string
		for _, r := range [...]gnss.Defect{gnss.BadChecksum, gnss.Noise} {
			if n := m.Counters.Of(r); n > 0 {
				refused = append(refused, fmt.Sprintf("%v %d", r, n))
			}
		}
		found = append(found, baudDamaged.with("refused", strings.Join(refused, ", ")))
	}
	const bitsPerByte = 10 // start, 8 data, stop
	load := float64(m.Bytes) * bitsPerByte / listened.Seconds() / float64(m.Baud)
	k := baudOK
	if load > maxLoad {
		k = baudBusy
	}
	return append(found, k.with("percent", fmt.Sprintf("%.0f", load*100), "baud", m.Baud))
}

// maxLatency is how late a second's first message may come, in ns: later ones run into
// the next second.
const maxLatency = 900e6

// latencyFindings says how long after its pulse a second's first message comes.
// The first one is left out: it may have begun before anybody listened.
func latencyFindings(edges, firsts []int64) []Finding {
	low, high, n := int64(1e9), int64(0), 0
	for _, m := range firsts[min(1, len(firsts)):] {
		after := int64(-1)
		for _, e := range edges {
			if d := m - e; d >= 0 && (after < 0 || d < after) {
				after = d
			}
		}
		if after >= 0 && after < 1e9 {
			low, high, n = min(low, after), max(high, after), n+1
		}
	}
	if n == 0 {
		return nil
	}
	k := latencyOK
	if high > maxLatency {
		k = latencyLong
	}
	return []Finding{k.with("low", time.Duration(low).Round(time.Millisecond), "high", time.Duration(high).Round(time.Millisecond))}
}
