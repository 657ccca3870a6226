package doctor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/phc/tai"
)

// leapFinding looks at the tables of leap seconds: the list, the zone file and
// the one built in. Either path may be empty.
func leapFinding(list, zone string, now time.Time) Finding {
	const check, mend = "leap", "update the package tzdata, or fetch https://data.iana.org/time-zones/data/leap-seconds.list"
	table := tai.Builtin()
	tables := []*tai.Table{table}
	note := "the table built in is used"
	if list != "" {
		t, err := readLeaps(list, func(b []byte, name string) (*tai.Table, error) {
			return tai.ParseLeapSeconds(bytes.NewReader(b), name)
		})
		switch {
		case errors.Is(err, fs.ErrNotExist):
			note = list + " is missing, the table built in is used"
		case errors.Is(err, fs.ErrPermission):
			return bad(check, "let refclockd's user read it", "%v", err).as(exitcode.Permission)
		case err != nil:
			return bad(check, mend+`; or set leap.file = ""`, "%v", err)
		case t.Expires.After(table.Expires):
			note, table = list, t
		default:
			note = list + " is older than the table built in"
		}
		tables = append(tables, t)
	}
	if zone != "" {
		t, err := readLeaps(zone, tai.ParseTZif)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return warn(check, "update the package that it is of (tzdata, tzdata-legacy), or set leap.zone = \"\"", "%v: it has no say", err)
		}
		tables = append(tables, t)
	}
	for _, t := range tables {
		if t != nil && now.Before(t.Expires) && now.Before(table.Expires) && t.OffsetUTC(now.Unix()) != table.OffsetUTC(now.Unix()) {
			return bad(check, "see which of them is right (https://hpiers.obspm.fr/iers/bul/bulc/bulletinc.dat), and set leap.file or leap.zone to \"\" for the other",
				"%s says that TAI is %d s ahead of UTC, %s %d s: refclockd serves nothing unless the receiver or a third table settles it",
				table.Source, table.OffsetUTC(now.Unix()), t.Source, t.OffsetUTC(now.Unix()))
		}
	}
	until := table.Expires.Format(time.DateOnly)
	switch left := table.Expires.Sub(now); {
	case left < 0:
		return warn(check, mend, "%s, expired on %s: a leap second since then is known only if the receiver tells it", note, until)
	case left < 28*24*time.Hour:
		return warn(check, mend, "%s, expires on %s", note, until)
	}
	return good(check, "%s, good until %s", note, until)
}

// readLeaps reads a table from a file.
func readLeaps(path string, parse func([]byte, string) (*tai.Table, error)) (*tai.Table, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parse(b, path)
}
