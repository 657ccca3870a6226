package campaign

import (
	"fmt"
	"os"
	"strings"
	"time"

	"noonmark/internal/durable"
)

const resultsHead = `# The campaign: results

` + "`make campaign`" + ` writes this file: each run adds a row. Do not edit it. A site is a random receiver with its pulses, clocks, faults
and restarts, which follows from its seed and the revision. A failure is a wrong second, more than 5 s outside of the bound in
succession, or a good site that is not served in the end. A coincidence is a site whose system clock, which nobody keeps, is as
wrong as its labels at some time, to 25 ms: see [leap seconds](../leap-seconds.md#why-20-ms-for-a-clock-that-nobody-keeps).

| date | revision | seeds | sites | hours of the sites | sites that were served | coincidences | failures |
|---|---|---|---|---|---|---|---|
`

// Record adds the total as a row to the results at path.
func (t *Total) Record(path string) error {
	old, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	var rows strings.Builder
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, "| 2") {
			rows.WriteString(line)
		}
	}
	fmt.Fprintf(&rows, "| %s | %s | %d-%d | %d | %.0f | %d | %d | %d |\n", time.Now().UTC().Format(time.DateOnly), t.Revision,
		t.First, t.Last, t.Sites, t.Played.Hours(), t.Served, t.Coincidences, t.Failures)
	return durable.WriteFile(path, []byte(resultsHead+rows.String()), 0o644, true)
}
