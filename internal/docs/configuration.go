package docs

import (
	"encoding"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
)

// daemonConfig is the configuration of one daemon: its schema, its defaults and
// which keys a reload applies.
type daemonConfig struct {
	name     string
	defaults reflect.Value             // the schema with its defaults
	restart  func(file, was any) bool  // whether a change needs a restart
	file     func(v reflect.Value) any // the settings made from a schema
}

func daemonConfigs() []daemonConfig {
	return []daemonConfig{
		{
			name: "refclockd", defaults: reflect.ValueOf(refclockd.Default()),
			restart: func(a, b any) bool { return a.(*refclockd.Settings).NeedsRestart(b.(*refclockd.Settings)) },
			file:    func(v reflect.Value) any { return &refclockd.Settings{File: v.Interface().(refclockd.File)} },
		},
		{
			name: "ntsserve", defaults: reflect.ValueOf(ntsserve.Default()),
			restart: func(a, b any) bool { return a.(*ntsserve.Settings).NeedsRestart(b.(*ntsserve.Settings)) },
			file:    func(v reflect.Value) any { return &ntsserve.Settings{File: v.Interface().(ntsserve.File)} },
		},
	}
}

// configurationReference makes docs/reference-configuration.md. The meaning of
// each key is its comment in the reference TOML file; type, default and reload
// come from the schema.
func configurationReference(root string) (string, error) {
	var b strings.Builder
	b.WriteString(notice("`configs/refclockd.toml`, `configs/ntsserve.toml` and the schemas in `internal/config`"))
	b.WriteString(`# Configuration reference

Every key of both files, with type, default and meaning.

- "reload": ` + "`systemctl reload`" + ` (SIGHUP) applies a change. "restart": the daemon has to be restarted.
- A duration is text with a unit: ` + "`\"1m30s\"`, `\"50ms\"`, `\"11.7us\"`" + `.
- An unknown key or a bad value is an error that names file, line and remedy. The daemon does not start (exit code 78), and
  a reload keeps the old configuration.
- ` + "`refclockd -check` and `ntsserve -check`" + ` examine a file without starting anything.

`)
	for _, d := range daemonConfigs() {
		data, err := os.ReadFile(filepath.Join(root, "configs", d.name+".toml"))
		if err != nil {
			return "", err
		}
		tables, err := readTOMLDoc("configs/"+d.name+".toml", string(data))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "## %s.toml\n\n", d.name)
		for _, t := range tables {
			if err := d.table(&b, t); err != nil {
				return "", fmt.Errorf("configs/%s.toml: %w", d.name, err)
			}
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// table writes one table of the file.
func (d *daemonConfig) table(b *strings.Builder, t tomlTable) error {
	switch {
	case t.array:
		fmt.Fprintf(b, "### [[%s]]\n\n", t.name)
	case t.name != "":
		fmt.Fprintf(b, "### [%s]\n\n", t.name)
	default:
		fmt.Fprintf(b, "### Above all tables\n\n")
	}
	if len(t.text) > 0 {
		b.WriteString(markdown(t.text) + "\n\n")
	}
	for _, k := range t.keys {
		path := k.name
		if t.name != "" {
			path = t.name + "." + k.name
		}
		f, err := field(d.defaults.Type(), path)
		if err != nil {
			return fmt.Errorf("line %d: %w", k.line, err)
		}
		if k.text == nil {
			if _, err := field(d.defaults.Type(), "pulse."+k.name); t.name == "pulse.compare" && err == nil {
				continue // documented under [pulse]
			}
			return fmt.Errorf("line %d: %s has no comment", k.line, path)
		}
		text := markdown(k.text)
		def, text := d.defaultOf(path, t, k, text)
		change := "reload"
		if d.needsRestart(path) {
			change = "restart"
		}
		fmt.Fprintf(b, "**`%s`**: %s, default %s, %s\n\n%s\n\n", path, typeName(f), def, change, text)
		if k.example != "" {
			fmt.Fprintf(b, "Example: `%s = %s`\n\n", k.name, k.example)
		}
	}
	return nil
}

// defaultOf returns the default of a key as Markdown, and its text without the
// sentence that states it. The default is, in this order: the sentence "Default:
// X." at the end of the comment; the value in the file; the schema's, or in a
// table that can be repeated the zero value.
func (d *daemonConfig) defaultOf(path string, t tomlTable, k tomlKey, text string) (def, rest string) {
	if m := defaultText.FindStringSubmatch(text); m != nil {
		if m[1] == "none" {
			return "none", strings.TrimSuffix(text, m[0])
		}
		return "`" + m[1] + "`", strings.TrimSuffix(text, m[0])
	}
	if k.value != "" {
		return "`" + k.value + "`", text
	}
	if !t.array {
		v, _ := value(d.defaults, path)
		return "`" + literal(v) + "`", text
	}
	f, _ := field(d.defaults.Type(), path)
	return "`" + literal(reflect.Zero(f)) + "`", text
}

// needsRestart reports whether a change of the key needs a restart: it compares
// two files that differ only there.
func (d *daemonConfig) needsRestart(path string) bool {
	a, b := reflect.New(d.defaults.Type()).Elem(), reflect.New(d.defaults.Type()).Elem()
	a.Set(d.defaults)
	b.Set(d.defaults)
	set(a, path, false)
	set(b, path, true)
	return d.restart(d.file(a), d.file(b))
}

// step returns the field of a struct with that TOML name.
func step(t reflect.Type, name string) (reflect.StructField, bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Anonymous && f.Tag.Get("toml") == "" {
			if g, ok := step(f.Type, name); ok {
				g.Index = append([]int{i}, g.Index...)
				return g, true
			}
			continue
		}
		if n, _, _ := strings.Cut(f.Tag.Get("toml"), ","); n == name {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

// field returns the type of a dotted key; array tables are entered.
func field(t reflect.Type, path string) (reflect.Type, error) {
	for name := range strings.SplitSeq(path, ".") {
		if t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return nil, fmt.Errorf("%s is not a table on the way to %s", t, path)
		}
		f, ok := step(t, name)
		if !ok {
			return nil, fmt.Errorf("%s is not in the schema", path)
		}
		t = f.Type
	}
	return t, nil
}

// value returns the value of a dotted key outside of array tables.
func value(v reflect.Value, path string) (reflect.Value, bool) {
	for name := range strings.SplitSeq(path, ".") {
		f, ok := step(v.Type(), name)
		if !ok {
			return reflect.Value{}, false
		}
		v = v.FieldByIndex(f.Index)
	}
	return v, true
}

// set sets a dotted key to the zero value or to another one; array tables get
// one element.
func set(v reflect.Value, path string, other bool) {
	for name := range strings.SplitSeq(path, ".") {
		if v.Kind() == reflect.Slice {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
			v = v.Index(0)
		}
		f, _ := step(v.Type(), name)
		v = v.FieldByIndex(f.Index)
	}
	v.SetZero()
	if other {
		v.Set(nonZero(v.Type()))
	}
}

// nonZero returns some value of the type that is not its zero value.
func nonZero(t reflect.Type) reflect.Value {
	v := reflect.New(t).Elem()
	switch t {
	case reflect.TypeFor[time.Time]():
		return reflect.ValueOf(time.Unix(1, 0))
	case reflect.TypeFor[netip.AddrPort]():
		return reflect.ValueOf(netip.AddrPortFrom(netip.IPv4Unspecified(), 1))
	case reflect.TypeFor[netip.Prefix]():
		return reflect.ValueOf(netip.PrefixFrom(netip.IPv4Unspecified(), 1))
	}
	switch t.Kind() {
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float32, reflect.Float64:
		v.SetFloat(1)
	case reflect.Interface:
		v.Set(reflect.ValueOf(int64(1)))
	case reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
	case reflect.Slice:
		v.Set(reflect.Append(v, nonZero(t.Elem())))
	case reflect.Struct:
		v.Field(0).Set(nonZero(t.Field(0).Type))
	}
	return v
}

// typeName names a type for users.
func typeName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[config.Duration]():
		return "duration"
	case reflect.TypeFor[config.Date]():
		return "date"
	case reflect.TypeFor[config.AddrPort]():
		return "address and port"
	case reflect.TypeFor[config.Prefix]():
		return "network"
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "text"
	}
	switch k := t.Kind(); {
	case k == reflect.Pointer:
		return typeName(t.Elem())
	case k == reflect.Slice:
		return "list of " + plural(typeName(t.Elem()))
	case k == reflect.Bool:
		return "boolean"
	case k == reflect.String:
		return "text"
	case k == reflect.Float64:
		return "number"
	case k == reflect.Interface:
		return "whole number or text"
	}
	return "whole number"
}

// plural returns the plural of a type's name.
func plural(name string) string {
	if name == "text" {
		return "texts"
	}
	return name + "s"
}

// literal writes a value as in TOML.
func literal(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		if err != nil {
			return `""`
		}
		return fmt.Sprintf("%q", text)
	}
	switch v.Kind() {
	case reflect.String:
		return fmt.Sprintf("%q", v.String())
	case reflect.Slice:
		var items []string
		for i := range v.Len() {
			items = append(items, literal(v.Index(i)))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case reflect.Pointer:
		if v.IsNil() {
			return literal(reflect.Zero(v.Type().Elem()))
		}
		return literal(v.Elem())
	}
	if s, ok := v.Interface().(fmt.Stringer); ok {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprint(v.Interface())
}
