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
	remedy       func(int) string // what an operator can do about it; nil: not known
}

func reasonLists() []reasonList {
	return []reasonList{
		{
			"Reference: devices, receiver, alarms",
			"Counted in `noonmark_refclock_events_total{part=\"engine\"}`. A reason with an alarm priority keeps the clock from being disciplined; of several, the one with the highest priority is reported.",
			"refclock/reason", "Code", func(i int) string { return reason.Code(i).String() }, func(i int) string { return reason.Code(i).Info().Remedy },
		},
		{
			"Discipline: states, pulses, labels",
			"A state's reason is `reason` in `status -json` and in the log. While an alarm is in force, it is `doubted` followed by the alarm's word. Counted in `noonmark_refclock_events_total{part=\"discipline\"}`.",
			"refclock/discipline", "Reason", func(i int) string { return discipline.Reason(i).String() }, func(i int) string { return discipline.Reason(i).Remedy() },
		},
		{
			"Receiver messages",
			"Counted in `noonmark_refclock_events_total{part=\"receiver\"}` and by `refclockctl decode`.",
			"refclock/gnss", "Defect", func(i int) string { return gnss.Defect(i).String() }, nil,
		},
		{
			"Pulse timestamps",
			"Counted in `noonmark_refclock_events_total{part=\"pulse\"}`.",
			"refclock/pps", "Discard", func(i int) string { return pps.Discard(i).String() }, nil,
		},
		{
			"Temperature sensor",
			"Counted in `noonmark_refclock_events_total{part=\"sensor\"}`.",
			"refclock/oscillator", "SensorReason", func(i int) string { return oscillator.SensorReason(i).String() }, nil,
		},
		{
			"Exports to other programs",
			"Counted in `noonmark_refclock_exports_total` (label `result`).",
			"refclock/export", "Result", func(i int) string { return export.Result(i).String() }, nil,
		},
		{
			"NTP requests",
			"Counted in `noonmark_ntp_responses_total` and `noonmark_ntp_dropped_total`.",
			"server", "Reason", func(i int) string { return server.Reason(i).String() }, nil,
		},
		{
			"Endpoints of ntsserve",
			"The label `state` of `noonmark_ntp_endpoint_state`.",
			"server", "Lack", func(i int) string { return server.Lack(i).String() }, nil,
		},
		{
			"NTS-KE connections",
			"Counted in `noonmark_ntske_exchanges_total`.",
			"server/ntske", "Reason", func(i int) string { return ntske.Reason(i).String() }, nil,
		},
		{
			"Certificates",
			"Counted in `noonmark_ntske_certificate_refusals_total`.",
			"server/certs", "Reason", func(i int) string { return certs.Reason(i).String() }, nil,
		},
		{
			"System clock as the source of ntsserve",
			"Counted in `noonmark_source_readings_total`.",
			"server/sysclock", "Reason", func(i int) string { return sysclock.Reason(i).String() }, nil,
		},
		{
			"Client (ntsquery, witnesses)",
			"Printed by `ntsquery`, and logged for witnesses.",
			"server/ntsclient", "Reason", func(i int) string { return ntsclient.Reason(i).String() }, nil,
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
		fmt.Fprintf(&b, "## %s\n\n%s\n\n", l.title, l.intro)
		columns := []string{"word", "meaning"}
		grouped := l.dir == "refclock/reason"
		if grouped {
			columns = append(columns, "log message", "alarm priority")
		}
		if l.remedy != nil {
			columns = append(columns, "remedy")
		}
		fmt.Fprintf(&b, "| %s |\n%s|\n", strings.Join(columns, " | "), strings.Repeat("|---", len(columns)))
		for i, c := range list {
			word := l.word(i)
			if word == "none" || word == "good" || i == 0 && c.text == "" {
				continue // no refusal
			}
			if c.text == "" {
				return "", fmt.Errorf("%s: %s has no comment", l.dir, c.name)
			}
			row := []string{"`" + word + "`", c.text}
			if grouped {
				info, priority := reason.Code(i).Info(), ""
				if info.Group == reason.Alarm {
					priority = fmt.Sprint(info.Priority)
				}
				row = append(row, info.Message, priority)
			}
			if l.remedy != nil {
				row = append(row, l.remedy(i))
			}
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		b.WriteString("\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}
