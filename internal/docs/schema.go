package docs

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/alert"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
)

// schema is a JSON Schema, as far as it is used: draft 7, which editors know.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // one name or several
	Default     any                `json:"default,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Minimum     json.Number        `json:"minimum,omitempty"`
	Maximum     json.Number        `json:"maximum,omitempty"`
	Above       json.Number        `json:"exclusiveMinimum,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Additional  *bool              `json:"additionalProperties,omitempty"`
}

// Patterns of the texts that have a form.
const (
	durationPattern = signPattern + `(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$`
	signPattern     = `^[-+]?`
	datePattern     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
)

// configurationSchema makes the JSON Schema of a configuration file. Names and types
// are those of the Go type, descriptions those of the reference configuration. The words
// and the numbers that a key may have are those that the daemon's own check names, and
// each limit was tried with that check.
func configurationSchema(name string) func(Tree) (string, error) {
	return func(t Tree) (string, error) {
		for _, d := range daemonConfigs() {
			if d.name == name {
				return d.schema(t.Root)
			}
		}
		return "", fmt.Errorf("no configuration %s", name)
	}
}

func (d *daemonConfig) schema(root string) (string, error) {
	tables, err := d.read(root)
	if err != nil {
		return "", err
	}
	keys, about, repeated := map[string]configKey{}, map[string]string{}, map[string]bool{}
	for _, t := range tables {
		about[t.name], repeated[t.name] = plainText(markdown(t.text)), t.array
		for _, k := range t.keys {
			keys[k.path] = k
		}
	}
	w := schemaWriter{daemon: d, keys: keys, about: about, repeated: repeated}
	s, err := w.table(d.defaults.Type(), "")
	if err != nil {
		return "", err
	}
	s.Schema, s.Title = "http://json-schema.org/draft-07/schema#", d.name+".toml"
	s.Description = "Written by make docs. Configuration of " + d.name + "; see docs/reference-configuration.md."
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err = enc.Encode(s)
	return b.String(), err
}

// schemaWriter makes a schema from a Go type and what documents say.
type schemaWriter struct {
	daemon   *daemonConfig
	keys     map[string]configKey // by path
	about    map[string]string    // by table
	repeated map[string]bool      // tables
}

// table returns the schema of a struct.
func (w *schemaWriter) table(t reflect.Type, path string) (*schema, error) {
	no := false
	s := &schema{Type: "object", Description: w.about[path], Properties: map[string]*schema{}, Additional: &no}
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case name == "-" || !f.IsExported() && !f.Anonymous:
			continue
		case f.Anonymous && name == "":
			inner, err := w.table(f.Type, path)
			if err != nil {
				return nil, err
			}
			for k, v := range inner.Properties {
				s.Properties[k] = v
			}
			continue
		}
		p, err := w.value(f.Type, prefix+name)
		if err != nil {
			return nil, err
		}
		s.Properties[name] = p
	}
	return s, nil
}

// value returns the schema of a key or of a table.
func (w *schemaWriter) value(t reflect.Type, path string) (*schema, error) {
	elem := t
	if t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
		elem = t.Elem()
	}
	if elem.Kind() == reflect.Struct && hasKeys(elem) {
		s, err := w.table(elem, path)
		if err == nil && reflect.PointerTo(elem).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
			s.Type = []string{"object", "string"} // it has a short form
		}
		if t.Kind() == reflect.Slice && err == nil {
			s = &schema{Type: "array", Items: s}
		}
		return s, err
	}
	k, ok := w.keys[path]
	if base, isCompare := strings.CutPrefix(path, "pulse.compare."); !ok && isCompare {
		k, ok = w.keys["pulse."+base]
	}
	if !ok {
		return nil, fmt.Errorf("%s is not documented in the reference configuration", path)
	}
	s := scalar(t)
	s.Description = plainText(k.text)
	w.limits(s, path)
	if _, several := s.Type.([]string); several || s.Type == "string" && s.Pattern == "" {
		var err error
		if s.Enum, err = w.words(path); err != nil {
			return nil, err
		}
		if s.Enum != nil {
			s.Type = "string" // the other forms are deprecated
		} else if s.Type == "string" {
			w.paths(s, path)
		}
	}
	if s.Default = defaultJSON(s, k.def); s.Minimum != "" && w.refusal(path, k.def) != "" {
		s.Default = nil // it means that the key is missing
	}
	return s, nil
}

// hasKeys reports whether a struct is a table, as opposed to a value such as a
// duration.
func hasKeys(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("toml") != "" || f.Anonymous && f.Type.Kind() == reflect.Struct && hasKeys(f.Type) {
			return true
		}
	}
	return false
}

// scalar returns the schema of a type that is no table.
func scalar(t reflect.Type) *schema {
	switch {
	case t == reflect.TypeFor[config.Duration]():
		return &schema{Type: "string", Pattern: durationPattern}
	case t == reflect.TypeFor[config.Date]():
		return &schema{Type: "string", Pattern: datePattern}
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return &schema{Type: "string"}
	}
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return scalar(t.Elem())
	case k == reflect.Slice:
		return &schema{Type: "array", Items: scalar(t.Elem())}
	case k == reflect.Bool:
		return &schema{Type: "boolean"}
	case k == reflect.String:
		return &schema{Type: "string"}
	case k == reflect.Float32 || k == reflect.Float64:
		return &schema{Type: "number"}
	case k == reflect.Interface:
		return &schema{Type: []string{"integer", "string"}}
	case k >= reflect.Uint && k <= reflect.Uint64:
		return &schema{Type: "integer", Minimum: "0"}
	}
	return &schema{Type: "integer"}
}

// defaultJSON converts a TOML literal of one line; nil where there is none.
func defaultJSON(s *schema, literal string) any {
	if literal == "" || literal == "none" {
		return nil
	}
	var v any
	if json.Unmarshal([]byte(literal), &v) != nil {
		return nil // in words, such as "the hostname"
	}
	if text, ok := v.(string); ok && len(s.Enum) > 0 && text == "" {
		return nil
	}
	return v
}

// noWord is a text that no key means.
const noWord = "%no such word%"

var (
	unknownWord = regexp.MustCompile(`"` + noWord + `" is not known;(?: did you mean "[^"]*"\?)? want (.*)`)
	quoted      = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
)

// words returns the words that a key may have, as the check of the daemon names
// them; none: any text is possible.
func (w *schemaWriter) words(path string) ([]string, error) {
	m := unknownWord.FindStringSubmatch(w.refusal(path, strconv.Quote(noWord)))
	if m == nil {
		return nil, nil
	}
	var list []string
	for _, q := range quoted.FindAllString(m[1], -1) {
		word, err := strconv.Unquote(q)
		if err != nil {
			return nil, err
		}
		list = append(list, word)
	}
	return list, nil
}

// needed are the keys without which a table or a key is not looked at, or its use is refused.
var needed = map[string]string{
	"max_connections": "max_streams = 1\n",
	"ke":              "certificate = \"cert.pem\"\nkey = \"key.pem\"\n",
	"pulse.compare":   "source = \"kernel\"\ndevice = \"/dev/pps9\"\n",
	"source.stratum":  "type = \"kernel\"\n",
	"witness":         "address = \"192.0.2.1\"\n",
}

// refusal returns what the check of the daemon says against a value of a key, a TOML
// literal; empty: nothing.
func (w *schemaWriter) refusal(path, literal string) string {
	_, name := splitPath(path)
	for _, line := range w.refusals(path, literal) {
		if strings.Contains(line, " "+name+": ") || strings.Contains(line, "."+name+": ") {
			return line
		}
	}
	return ""
}

// refusals returns all that the check of the daemon says against a file with a value of a key.
// They may name another key.
func (w *schemaWriter) refusals(path, literal string) []string {
	table, name := splitPath(path)
	file := name + " = " + literal + "\n"
	for line := range strings.Lines(needed[path] + needed[table]) {
		if !strings.HasPrefix(line, name+" = ") {
			file = line + file
		}
	}
	switch {
	case table == "keys": // they are looked at where they are used
		file = "[ke]\n" + needed["ke"] + "[keys]\n" + file
	case w.repeated[table]:
		file = "[[" + table + "]]\n" + file
	case table != "":
		file = "[" + table + "]\n" + file
	}
	err := w.daemon.load(file)
	if err == nil {
		return nil
	}
	return strings.Split(err.Error(), "\n")
}

// splitPath returns the table of a key and its name in it.
func splitPath(path string) (table, name string) {
	if i := strings.LastIndexByte(path, '.'); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

var (
	rangeText  = regexp.MustCompile(`(-?[0-9][0-9.]*)(?: \(off\))? to (-?[0-9][0-9.]*)`)
	aboveText  = regexp.MustCompile(`more than ([0-9]+) to `)
	spanText   = regexp.MustCompile(`want (-?[0-9][0-9a-zµ.]*) to (-?[0-9][0-9a-zµ.]*)`)
	leastText  = regexp.MustCompile(`want at least (-?[0-9][0-9a-zµ.]*)`)
	openText   = regexp.MustCompile(`(-?[0-9]+) or more`)
	mostText   = regexp.MustCompile(`at most ([0-9]+)`)
	singleText = regexp.MustCompile(`\bor (-?[0-9]+(?:\.[0-9]+)?)\b`) // beside the range: "or 0 for one a processor"
)

// limits writes the range of a number, and that a duration is not negative. A range that
// depends on another key, or that the check does not keep as it says, is left out.
func (w *schemaWriter) limits(s *schema, path string) {
	if s.Pattern == durationPattern {
		if w.refusal(path, `"-1ns"`) != "" && w.refusal(path, `"-1h"`) != "" {
			s.Pattern = "^" + strings.TrimPrefix(s.Pattern, signPattern)
		}
		if low, high, ok := w.span(path); ok {
			text := fmt.Sprintf(" Range: %v to %v", low, high)
			if low > 0 && w.refusal(path, `"0s"`) == "" {
				text += ", or 0s"
			}
			s.Description = strings.TrimSpace(s.Description + text + ".")
		} else if least, ok := w.least(path); ok {
			s.Description = strings.TrimSpace(fmt.Sprintf("%s At least %v.", s.Description, least))
		}
		return
	}
	if s.Type != "integer" && s.Type != "number" {
		return
	}
	const least, most = -1 << 40, 1 << 40
	for _, probe := range [...]int64{least, 0, most} {
		_, want, _ := strings.Cut(w.refusal(path, strconv.FormatInt(probe, 10)), "; want ")
		if w.namesKey(want, path) {
			continue
		}
		low, high := limitsOf(want)
		if above := aboveText.FindStringSubmatch(want); above != nil && low != nil && w.refusal(path, above[1]) != "" && w.refusal(path, above[1]+".000001") == "" {
			s.Above, low = json.Number(above[1]), nil
		}
		number := func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) }
		if low != nil && w.refusal(path, number(*low)) == "" && w.refusal(path, number(*low-1)) != "" {
			s.Minimum = json.Number(number(*low))
		}
		if high != nil && w.refusal(path, number(*high)) == "" && w.refusal(path, number(*high+1)) != "" {
			s.Maximum = json.Number(number(*high))
		}
	}
}

// span returns the range of a duration that the check names, and keeps to the nanosecond.
func (w *schemaWriter) span(path string) (low, high time.Duration, ok bool) {
	for _, probe := range [...]string{"-1000000h", "0s", "1000000h"} {
		m := spanText.FindStringSubmatch(w.refusal(path, strconv.Quote(probe)))
		if m == nil {
			continue
		}
		low, lowErr := time.ParseDuration(m[1])
		high, highErr := time.ParseDuration(strings.TrimRight(m[2], "."))
		refused := func(d time.Duration) bool { return w.refusal(path, strconv.Quote(d.String())) != "" }
		if lowErr == nil && highErr == nil && !refused(low) && !refused(high) && refused(high+1) && (refused(low-1) || low == 0) {
			return low, high, true
		}
	}
	return 0, 0, false
}

// least returns the shortest duration of a key whose longest depends on another key.
func (w *schemaWriter) least(path string) (low time.Duration, ok bool) {
	m := leastText.FindStringSubmatch(w.refusal(path, `"0s"`))
	if m == nil {
		return 0, false
	}
	low, err := time.ParseDuration(strings.TrimRight(m[1], "."))
	refused := func(d time.Duration) bool { return w.refusal(path, strconv.Quote(d.String())) != "" }
	return low, err == nil && !refused(low) && refused(low-1)
}

// limitsOf reads the limits in the text of a check, such as "1 to 256, or 0 for one a
// processor"; nil: it names none.
func limitsOf(want string) (low, high *float64) {
	widen := func(text string, isLow, isHigh bool) {
		n, err := strconv.ParseFloat(strings.TrimRight(text, "."), 64)
		if err != nil {
			return
		}
		if isLow && (low == nil || n < *low) {
			low = &n
		}
		if isHigh && (high == nil || n > *high) {
			high = &n
		}
	}
	if m := rangeText.FindStringSubmatch(want); m != nil {
		widen(m[1], true, false)
		widen(m[2], false, true)
	} else if m := openText.FindStringSubmatch(want); m != nil {
		widen(m[1], true, false)
	} else if m := mostText.FindStringSubmatch(want); m != nil {
		widen(m[1], false, true)
	}
	for _, m := range singleText.FindAllStringSubmatch(want, -1) {
		if low != nil || high != nil || m[1] == "0" { // "140, 150 or 160" is no range
			widen(m[1], true, high != nil)
		}
	}
	return low, high
}

// namesKey reports whether a text names another key than that of path.
func (w *schemaWriter) namesKey(text, path string) bool {
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return !(r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9') }) {
		for k := range w.keys {
			if k != path && strings.Contains(word, "_") && (word == k || strings.HasSuffix(k, "."+word)) {
				return true
			}
		}
	}
	return false
}

// paths writes that a text is an absolute path, if the check wants one.
func (w *schemaWriter) paths(s *schema, path string) {
	switch relative := strings.Contains(w.refusal(path, `"relative"`), "is not an absolute path"); {
	case relative && w.refusal(path, `""`) == "":
		s.Pattern = "^(/.*)?$"
	case relative:
		s.Pattern = "^/"
	}
}

// load checks a text as the daemon checks its file.
func (d *daemonConfig) load(text string) error {
	dir, err := os.MkdirTemp("", "noonmark-schema-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, d.name+".toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return err
	}
	switch d.name {
	case "refclockd":
		_, err = refclockd.Load(path)
	case "ntsserve":
		_, err = ntsserve.Load(path)
	case "refclockweb":
		_, err = refclockweb.Load(path)
	case "alert":
		_, err = alert.Load(path)
	default:
		err = errors.New("no daemon " + d.name)
	}
	return err
}
