package docs

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"noonmark/internal/proctest"
)

// propertiesOf lists the dotted keys of a schema, arrays entered.
func propertiesOf(s *schema, prefix string) (keys []string) {
	for name, p := range s.Properties {
		if p.Items != nil && p.Items.Properties != nil {
			p = p.Items
		}
		if p.Properties != nil {
			keys = append(keys, propertiesOf(p, prefix+name+".")...)
		} else {
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

func TestSchemaHasEveryKey(t *testing.T) {
	t.Parallel()
	for name, both := range schemas() {
		var s schema
		if err := json.Unmarshal([]byte(read(t, "configs/schema/"+name+".schema.json")), &s); err != nil {
			t.Fatal(err)
		}
		got, want := propertiesOf(&s, ""), keysOf(both[1].Type(), "")
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %q\nwant %q", name, got, want)
		}
	}
}

// The words of a key are those that the daemon's own check names.
func TestSchemaHasTheWordsThatTheDaemonAccepts(t *testing.T) {
	t.Parallel()
	for _, d := range daemonConfigs() {
		if d.name != "refclockd" {
			continue
		}
		w := schemaWriter{daemon: &d, repeated: map[string]bool{"pulse.compare": true}}
		for path, want := range map[string][]string{
			"clock.source": {"phc", "sim", "system", "none"}, "log.level": {"debug", "info", "warn", "error"},
			"pulse.compare.source": {"kernel", "extts"}, "receiver.device": nil,
		} {
			if got, err := w.words(path); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q, %v; want %q", path, got, err, want)
			}
		}
	}
}

// The limits in a text are those of the daemon's check, widened by single values beside them.
func TestLimitsAreReadFromWhatTheCheckSays(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "nil nil", "ppb, or 0 for the device's own": "0 nil", "52, or with a telecom profile 140, 150 or 160": "nil nil",
		"1 to 256, or 0 for one a processor": "0 256", "0 (off) to 1": "0 1", "0.3 to 1, such as 0.66": "0.3 1", "metres, -5 to 7": "-5 7",
		"0.3 to 1, such as 0.66 (RG-58) or 0.85 (LMR-400)": "0.3 1", "0 or more, or -1 to leave the pins": "-1 nil", "kiss codes per second, at most 10000, or 0 for none": "0 10000",
	} {
		low, high := limitsOf(text)
		show := func(p *float64) string {
			if p == nil {
				return "nil"
			}
			return fmt.Sprint(*p)
		}
		if got := show(low) + " " + show(high); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// Every default is within the limits.
func TestDefaultsAreWithinTheLimitsOfTheSchema(t *testing.T) {
	t.Parallel()
	limits := 0
	var walk func(path string, s *schema)
	walk = func(path string, s *schema) {
		for name, p := range s.Properties {
			walk(path+"."+name, p)
		}
		if s.Items != nil {
			walk(path, s.Items)
		}
		def, ok := s.Default.(float64)
		for _, l := range [...]struct {
			text json.Number
			sign float64
		}{{s.Minimum, 1}, {s.Maximum, -1}} {
			if l.text == "" || !ok {
				continue
			}
			limits++
			if n, err := l.text.Float64(); err != nil || l.sign*(def-n) < 0 {
				t.Errorf("%s: default %v, limit %s", path, def, l.text)
			}
		}
	}
	for name := range schemas() {
		var s schema
		if err := json.Unmarshal([]byte(read(t, "configs/schema/"+name+".schema.json")), &s); err != nil {
			t.Fatal(err)
		}
		walk(name, &s)
	}
	if limits < 40 {
		t.Errorf("only %d limits: the texts of the checks are no longer understood", limits)
	}
}

// Limits that no schema has, since the check does not refuse by a range.
var withoutLimits = map[string]string{
	"refclockd.receiver.configure_baud": "a list of rates", "refclockd.export.ptp4l_holdover_class": "a list of classes", "refclockweb.max_streams": "depends on max_connections", "ntsserve.keys.renew_ahead": "at most the interval of keys.renew",
}

var (
	rangeOf = regexp.MustCompile(`Range: (\S+) to (\S+?)(, or 0s)?\.$`)
	leastOf = regexp.MustCompile(`At least (\S+)\.$`)
)

// The check refuses a number or a duration below and above the limits of the schema, and
// accepts both limits. Where the schema has no limit, the check has none either.
func TestTheCheckHasTheLimitsOfTheSchema(t *testing.T) {
	t.Parallel()
	tried, excused := 0, map[string]bool{}
	for _, d := range daemonConfigs() {
		text, err := d.schema(root)
		if err != nil {
			t.Fatal(err)
		}
		var s schema
		if err := json.Unmarshal([]byte(text), &s); err != nil {
			t.Fatal(err)
		}
		tables, err := d.read(root)
		if err != nil {
			t.Fatal(err)
		}
		w := schemaWriter{daemon: &d, repeated: map[string]bool{}}
		defaults := map[string]string{}
		for _, table := range tables {
			w.repeated[table.name] = table.array
			for _, k := range table.keys {
				defaults[k.path] = k.def
			}
		}
		plain := func(path string) (list []string) { // what is refused with the default
			for _, l := range w.refusals(path, cmp.Or(defaults[path], `""`)) {
				list = append(list, problemOf(l))
			}
			return list
		}
		walkKeys(&s, "", func(path string, p *schema) {
			verdict := func(literal string, good bool) {
				tried++
				said := w.refusal(path, literal)
				if good && said == "" { // an error about another key that this value makes
					said = strings.Join(slices.DeleteFunc(w.refusals(path, literal), func(l string) bool { return slices.Contains(plain(path), problemOf(l)) }), "; ")
				}
				if (said == "") != good {
					if name := d.name + "." + path; withoutLimits[name] != "" {
						excused[name] = true
						return
					}
					t.Errorf("%s: %s = %s: the schema says %v, the check %q", d.name, path, literal, good, said)
				}
			}
			switch {
			case p.Pattern == durationPattern || "^"+strings.TrimPrefix(durationPattern, signPattern) == p.Pattern:
				durationLimits(t, p, verdict)
			case p.Type == "integer" || p.Type == "number":
				numberLimits(t, p, verdict)
			}
		})
	}
	for name := range withoutLimits {
		if !excused[name] {
			t.Errorf("%s needs no exception", name)
		}
	}
	if tried < 200 {
		t.Errorf("only %d values were tried", tried)
	}
}

// problemOf returns an error without the name and the line of its file.
func problemOf(line string) string {
	_, problem, _ := strings.Cut(line, ": ")
	return problem
}

// walkKeys calls do for every key of a schema.
func walkKeys(s *schema, prefix string, do func(path string, p *schema)) {
	for name, p := range s.Properties {
		if p.Items != nil && p.Items.Properties != nil {
			p = p.Items
		}
		if p.Properties != nil {
			walkKeys(p, prefix+name+".", do)
		} else {
			do(prefix+name, p)
		}
	}
}

// numberLimits asks for a verdict on both limits of a number, and on their neighbours.
func numberLimits(t *testing.T, p *schema, verdict func(literal string, good bool)) {
	t.Helper()
	step := 1.
	if p.Type == "number" {
		step = 1e-3
	}
	for _, l := range [...]struct {
		limit          json.Number
		outward, probe float64
	}{{p.Minimum, -step, -1 << 40}, {p.Maximum, step, 1 << 40}} {
		number := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
		switch n, err := l.limit.Float64(); {
		case l.outward < 0 && p.Above != "":
			verdict(p.Above.String(), false)
		case l.limit == "":
			verdict(number(l.probe), true)
		case err != nil:
			t.Error(err)
		default:
			verdict(number(n), true)
			verdict(number(n+l.outward), false)
			if n*l.outward < 0 && l.outward < 0 {
				verdict("0", false) // it does not mean that the key is left out
			}
		}
	}
}

// durationLimits does it for a duration.
func durationLimits(t *testing.T, p *schema, verdict func(literal string, good bool)) {
	t.Helper()
	if !strings.HasPrefix(p.Pattern, signPattern) {
		verdict(`"-1ns"`, false)
	}
	m := rangeOf.FindStringSubmatch(p.Description)
	if least := leastOf.FindStringSubmatch(p.Description); least != nil {
		low, err := time.ParseDuration(least[1])
		if err != nil {
			t.Error(err)
		}
		verdict(strconv.Quote(low.String()), true)
		verdict(strconv.Quote((low - 1).String()), false)
		verdict(`"1000000h"`, true)
		return
	}
	if m == nil {
		verdict(`"0s"`, true)
		verdict(`"1000000h"`, true)
		return
	}
	low, lowErr := time.ParseDuration(m[1])
	high, highErr := time.ParseDuration(m[2])
	if err := errors.Join(lowErr, highErr); err != nil {
		t.Error(err)
	}
	verdict(strconv.Quote(low.String()), true)
	verdict(strconv.Quote(high.String()), true)
	verdict(strconv.Quote((high + 1).String()), false)
	if m[3] == "" || low != 1 {
		verdict(strconv.Quote((low - 1).String()), false)
	}
}

// A limit that depends on another key is not one of the schema: max_streams must be below
// max_connections, which may be 1024.
func TestSchemaHasNoLimitThatDependsOnAnotherKey(t *testing.T) {
	t.Parallel()
	var s schema
	if err := json.Unmarshal([]byte(read(t, "configs/schema/refclockweb.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	if p := s.Properties["max_connections"]; p.Minimum != "4" || p.Maximum != "1024" {
		t.Errorf("max_connections: %q to %q, want 4 to 1024", p.Minimum, p.Maximum)
	}
	if p := s.Properties["max_streams"]; p.Maximum != "" {
		t.Errorf("max_streams: at most %q", p.Maximum)
	}
}

func TestSchemaAcceptsGoodAndRefusesBadConfigurations(t *testing.T) {
	t.Parallel()
	taplo, err := exec.LookPath("taplo")
	if err != nil {
		t.Skip("taplo is not installed (npm: @taplo/cli 0.7.0)")
	}
	lint := func(daemon string, files ...string) (string, int) {
		path, err := filepath.Abs(filepath.Join(root, "configs", "schema", daemon+".schema.json"))
		if err != nil {
			t.Fatal(err)
		}
		out, errs, code := proctest.Run(t, taplo, append([]string{"lint", "--schema", "file://" + path}, files...)...)
		return out + errs, code
	}
	dir := t.TempDir()
	for daemon, texts := range map[string][]string{
		"refclockd": {"[pulse]\nsorce = \"sim\"\n", "[pulse]\nsource = \"gps\"\n", "[pulse]\nwidth = \"1 second\"\n", "[receiver]\nbaud = 1.5\n", "[clock]\nstratum = 0\n", "[pulse]\nwidth = \"-1ms\"\n", "[receiver]\ndevice = \"ttyAMA0\"\n", "[[pulse.compare]]\nsource = \"kernel\"\npin = 64\n", "[receiver]\nsurvey_accuracy = 0.0\n"},
		"ntsserve":  {"[[endpoint]]\nadress = \"127.0.0.1:123\"\n", "[access]\nallow = \"10.0.0.0/8\"\n", "[access]\nrate_burst = 1000001\n", "[[endpoint]]\nworkers = 257\n", "[ke]\nport = 65536\n", "[ke]\nrate = -1\n"},
	} {
		var bad []string
		for i, text := range texts {
			bad = append(bad, proctest.Write(t, filepath.Join(dir, fmt.Sprintf("%s-%d.toml", daemon, i)), text))
		}
		out, code := lint(daemon, bad...)
		for i, name := range bad {
			if code == 0 || !strings.Contains(out, "path=\""+name+"\"") {
				t.Errorf("%s: %q is accepted\n%s", daemon, texts[i], out)
			}
		}
	}
	good := map[string][]string{}
	for _, f := range files(t, "configs", ".toml") {
		daemon, _, _ := strings.Cut(strings.TrimSuffix(filepath.Base(f), ".toml"), "-")
		good[daemon] = append(good[daemon], filepath.Join(root, filepath.FromSlash(f)))
	}
	for daemon, list := range good {
		if out, code := lint(daemon, list...); code != 0 {
			t.Errorf("%q: one is refused:\n%s", list, out)
		}
	}
}
