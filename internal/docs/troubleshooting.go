package docs

import (
	"fmt"
	"strings"

	"noonmark/internal/doctor"
	"noonmark/internal/exitcode"
)

// troubleshooting makes docs/troubleshooting.md from doctor's table of findings.
func troubleshooting(string) (string, error) {
	var b strings.Builder
	b.WriteString(notice("the table of findings in `internal/doctor`"))
	b.WriteString(`# Troubleshooting

` + "`sudo refclockctl doctor -listen 30s`" + ` examines the machine and prints its findings, each with a remedy. This page lists
everything that it can find, part by part. Words in braces are values of the machine.

- "fail": it does not work. The exit code of ` + "`doctor`" + ` is that of the first failure.
- "warn": it works, or may stop working.

A state and its reason are explained in [reference-reasons.md](reference-reasons.md), what a failure does in
[fault-table.md](fault-table.md).

`)
	part := ""
	for _, k := range doctor.Kinds() {
		if k.Level == doctor.OK {
			continue
		}
		if k.Part != part {
			part = k.Part
			fmt.Fprintf(&b, "## %s\n\n", part)
		}
		level := string(k.Level)
		if k.Level == doctor.Fail {
			code := k.Code
			if code == 0 {
				code = exitcode.Unavailable
			}
			level = fmt.Sprintf("%s, exit code %d", k.Level, code)
		}
		fmt.Fprintf(&b, "### %s\n\n**%s** (%s)\n\n", k.ID, k.Text, level)
		fmt.Fprintf(&b, "%s\n\nRemedy: %s.\n\n", k.Cause, strings.TrimSuffix(k.Remedy, "."))
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}
