package docs

import (
	"fmt"
	"strings"

	"noonmark/refclock/discipline"
	"noonmark/refclock/export"
	"noonmark/refclock/gnss"
	"noonmark/refclock/oscillator"
	"noonmark/refclock/pps"
	"noonmark/refclock/reason"
	"noonmark/server"
	"noonmark/server/certs"
	"noonmark/server/ntsclient"
	"noonmark/server/ntske"
	"noonmark/server/sysclock"
)

// reasonList is one enumeration of reasons.
type reasonList struct {
	title, intro string
	dir, typ     string           // where the constants and their comments are
	word         func(int) string // the word of the i-th constant
}

func reasonLists() []reasonList {
	return []reasonList{
		{
			"Reference: devices, receiver, alarms",
			"Counted in `noonmark_refclock_events_total{part=\"engine\"}`. A reason with an alarm priority keeps the clock from being disciplined; of several, the one with the highest priority is reported.",
			"refclock/reason", "Code", func(i int) string { return reason.Code(i).String() },
		},
		{
			"Discipline: states, pulses, labels",
			"A state's reason is `reason` in `status -json` and in the log. While an alarm is in force, it is `doubted` followed by the alarm's word. Counted in `noonmark_refclock_events_total{part=\"discipline\"}`.",
			"refclock/discipline", "Reason", func(i int) string { return discipline.Reason(i).String() },
		},
		{
			"Receiver messages",
			"Counted in `noonmark_refclock_events_total{part=\"receiver\"}` and by `refclockctl decode`.",
			"refclock/gnss", "Defect", func(i int) string { return gnss.Defect(i).String() },
		},
		{
			"Pulse timestamps",
			"Counted in `noonmark_refclock_events_total{part=\"pulse\"}`.",
			"refclock/pps", "Discard", func(i int) string { return pps.Discard(i).String() },
		},
		{
			"Temperature sensor",
			"Counted in `noonmark_refclock_events_total{part=\"sensor\"}`.",
			"refclock/oscillator", "SensorReason", func(i int) string { return oscillator.SensorReason(i).String() },
		},
		{
			"Exports to other programs",
			"Counted in `noonmark_refclock_exports_total` (label `result`).",
			"refclock/export", "Result", func(i int) string { return export.Result(i).String() },
		},
		{
			"NTP requests",
			"Counted in `noonmark_ntp_responses_total` and `noonmark_ntp_dropped_total`.",
			"server", "Reason", func(i int) string { return server.Reason(i).String() },
		},
		{
			"Endpoints of ntsserve",
			"The label `state` of `noonmark_ntp_endpoint_state`.",
			"server", "Lack", func(i int) string { return server.Lack(i).String() },
		},
		{
			"NTS-KE connections",
			"Counted in `noonmark_ntske_exchanges_total`.",
			"server/ntske", "Reason", func(i int) string { return ntske.Reason(i).String() },
		},
		{
			"Certificates",
			"Counted in `noonmark_ntske_certificate_refusals_total`.",
			"server/certs", "Reason", func(i int) string { return certs.Reason(i).String() },
		},
		{
			"System clock as the source of ntsserve",
			"Counted in `noonmark_source_readings_total`.",
			"server/sysclock", "Reason", func(i int) string { return sysclock.Reason(i).String() },
		},
		{
			"Client (ntsquery, witnesses)",
			"Printed by `ntsquery`, and logged for witnesses.",
			"server/ntsclient", "Reason", func(i int) string { return ntsclient.Reason(i).String() },
		},
	}
}

// reasonsReference makes docs/reference-reasons.md: each word with the comment of
// its constant.
func reasonsReference(root string) (string, error) {
	var b strings.Builder
	b.WriteString(notice("the comments of the constants"))
	b.WriteString(`# Reasons

Every refusal and every state has a reason: one word, the same in the log, in ` + "`refclockctl status`" + ` and in the metrics.
The words do not change.

`)
	for _, l := range reasonLists() {
		p, err := parsePackage(root, l.dir)
		if err != nil {
			return "", err
		}
		list, err := p.enumeration(l.typ)
		if err != nil {
			return "", err
		}
		grouped := l.dir == "refclock/reason"
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", l.title, l.intro)
		if grouped {
			b.WriteString("| word | meaning | log message | alarm priority |\n|---|---|---|---|\n")
		} else {
			b.WriteString("| word | meaning |\n|---|---|\n")
		}
		for i, c := range list {
			word := l.word(i)
			if word == "none" || word == "good" || i == 0 && c.text == "" {
				continue // no refusal
			}
			if c.text == "" {
				return "", fmt.Errorf("%s: %s has no comment", l.dir, c.name)
			}
			if !grouped {
				fmt.Fprintf(&b, "| `%s` | %s |\n", word, c.text)
				continue
			}
			info, priority := reason.Code(i).Info(), ""
			if info.Group == reason.Alarm {
				priority = fmt.Sprint(info.Priority)
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", word, c.text, info.Message, priority)
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}
