package setup

import (
	"fmt"
	"strconv"
	"strings"
)

// document is a TOML file with a reason for each key.
type document struct {
	b    strings.Builder
	next string // the table whose first key is not written yet
}

// newDocument begins a file; head are lines about it.
func newDocument(head ...string) *document {
	d := &document{}
	for _, l := range head {
		fmt.Fprintf(&d.b, "# %s\n", l)
	}
	return d
}

// table begins a table, which is left out if no key follows; an array of tables has
// its brackets in the name.
func (d *document) table(name string) { d.next = name }

// set writes a key whose value is not the default, with the reason.
func (d *document) set(key string, value any, why string) {
	if d.next != "" {
		fmt.Fprintf(&d.b, "\n[%s]\n", d.next)
		d.next = ""
	}
	fmt.Fprintf(&d.b, "# %s\n%s = %s\n", why, key, tomlValue(value))
}

// tomlValue writes a value. Texts are basic strings: TOML has Go's escapes for all
// that device names and addresses contain.
func tomlValue(v any) string {
	switch v := v.(type) {
	case string:
		return strconv.Quote(v)
	case []string:
		quoted := make([]string, len(v))
		for i, s := range v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func (d *document) bytes() []byte { return []byte(d.b.String()) }
