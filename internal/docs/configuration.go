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

	"noonmark/internal/command"
	"noonmark/internal/config"
	"noonmark/internal/config/alert"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
	"noonmark/internal/config/refclockweb"
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
			restart: func(a, b any) bool { return len(a.(*refclockd.Settings).Changes(b.(*refclockd.Settings)).Restart) > 0 },
			file:    func(v reflect.Value) any { return &refclockd.Settings{File: v.Interface().(refclockd.File)} },
		},
		{
			name: "ntsserve", defaults: reflect.ValueOf(ntsserve.Default()),
			restart: func(a, b any) bool { return len(a.(*ntsserve.Settings).Changes(b.(*ntsserve.Settings)).Restart) > 0 },
			file:    func(v reflect.Value) any { return &ntsserve.Settings{File: v.Interface().(ntsserve.File)} },
		},
		{
			name: "alert", defaults: reflect.ValueOf(alert.Default()),
			restart: func(any, any) bool { return true },
			file:    func(v reflect.Value) any { return v.Interface() },
		},
		{
			name: "refclockweb", defaults: reflect.ValueOf(refclockweb.Default()),
			restart: func(a, b any) bool {
				return len(a.(*refclockweb.Settings).Changes(b.(*refclockweb.Settings)).Restart) > 0
			},
			file: func(v reflect.Value) any { return &refclockweb.Settings{File: v.Interface().(refclockweb.File)} },
		},
	}
}

// configurationReference makes docs/reference-configuration.md.
func configurationReference(root string) (string, error) {
	var b strings.Builder
	b.WriteString(notice("`configs/refclockd.toml`, `configs/ntsserve.toml`, `configs/alert.toml`, `configs/refclockweb.toml` and the schemas in `internal/config`"))
	b.WriteString(`# Configuration reference

Every key of the files, with type, default and meaning.

- "reload": ` + "`systemctl reload`" + ` (SIGHUP) applies a change. "restart": the daemon has to be restarted.
- A duration is text with a unit: ` + "`\"1m30s\"`, `\"50ms\"`, `\"11.7us\"`" + `.
- An unknown key or a bad value is an error that names file, line and remedy. The daemon does not start (exit code 78), and
  a reload keeps the old configuration.
- ` + "`refclockd -check`, `ntsserve -check` and `refclockweb -check`" + ` examine a file without starting anything.

`)
	for _, d := range daemonConfigs() {
		tables, err := d.read(root)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "## %s.toml\n\n", d.name)
		for _, t := range tables {
			t.markdown(&b)
		}
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// configTable is one table of a configuration file as documents show it.
type configTable struct {
	tomlTable
	keys []configKey
}

// configKey is one key.
type configKey struct {
	name, path  string
	goType      reflect.Type
	def, change string // the literal, "none" or empty; "reload" or "restart"
	text        string // Markdown, without the default
	example     string // a TOML literal; empty: none
}

// title is the table as it is written in the file.
func (t *configTable) title() string {
	switch {
	case t.array:
		return "[[" + t.name + "]]"
	case t.name != "":
		return "[" + t.name + "]"
	}
	return "Above all tables"
}

// read returns the tables of the file. The meaning of each key is its comment in
// the reference file; type, default and reload come from the schema.
func (d *daemonConfig) read(root string) ([]configTable, error) {
	name := "configs/" + d.name + ".toml"
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	tables, err := readTOMLDoc(name, string(data))
	if err != nil {
		return nil, err
	}
	list := make([]configTable, len(tables))
	for i, t := range tables {
		if list[i], err = d.table(t); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return list, nil
}

func (d *daemonConfig) table(t tomlTable) (configTable, error) {
	out := configTable{tomlTable: t}
	for _, k := range t.keys {
		path := k.name
		if t.name != "" {
			path = t.name + "." + k.name
		}
		f, err := field(d.defaults.Type(), path)
		if err != nil {
			return out, fmt.Errorf("line %d: %w", k.line, err)
		}
		if k.text == nil {
			if _, err := field(d.defaults.Type(), "pulse."+k.name); t.name == "pulse.compare" && err == nil {
				continue // documented under [pulse]
			}
			return out, fmt.Errorf("line %d: %s has no comment", k.line, path)
		}
		x := configKey{name: k.name, path: path, goType: f, change: "reload", example: k.example}
		x.def, x.text = d.defaultOf(path, t, k, markdown(k.text))
		if d.needsRestart(path) {
			x.change = "restart"
		}
		out.keys = append(out.keys, x)
	}
	return out, nil
}

// markdown writes one table of the reference.
func (t *configTable) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "### %s\n\n", t.title())
	if len(t.text) > 0 {
		b.WriteString(markdown(t.text) + "\n\n")
	}
	for _, k := range t.keys {
		def := k.def
		if def != "none" {
			def = "`" + def + "`"
		}
		fmt.Fprintf(b, "**`%s`**: %s, default %s, %s\n\n%s\n\n", k.path, typeName(k.goType), def, k.change, k.text)
		if k.example != "" {
			fmt.Fprintf(b, "Example: `%s = %s`\n\n", k.name, k.example)
		}
	}
}

// configurationManual makes the manual page of a configuration file, section 5.
func configurationManual(root string, d *daemonConfig) (string, error) {
	tables, err := d.read(root)
	if err != nil {
		return "", err
	}
	p := command.NewPage(d.name+".toml", 5, "configuration of "+d.name)
	p.Section("DESCRIPTION")
	p.Text(fmt.Sprintf(`
%s reads its configuration from /etc/noonmark/%s.toml, a TOML file. A key that is left out has its
default. An unknown key or a bad value is an error that names file, line and remedy: the daemon does
not start, and a reload keeps the old configuration. A duration is text with a unit: "1m30s", "50ms",
"11.7us".

"reload" means that a reload of the service (SIGHUP) applies a change of the key; "restart", that the
service has to be restarted. %s -check examines a file without starting anything.
`, d.name, d.name, d.name))
	for _, t := range tables {
		if len(t.keys) == 0 {
			continue
		}
		p.Section(t.title())
		if len(t.text) > 0 {
			p.Text(plainText(markdown(t.text)))
		}
		for _, k := range t.keys {
			text := plainText(k.text) + "\n\n" + fmt.Sprintf("Type: %s. Default: %s. A change needs a %s.", typeName(k.goType), k.def, k.change)
			if k.example != "" {
				text += fmt.Sprintf(" Example: %s = %s", k.name, k.example)
			}
			p.Item(k.name, "", text)
		}
	}
	p.Section("FILES")
	p.Item("/etc/noonmark/"+d.name+".toml", "", "the configuration")
	p.Item("/usr/share/doc/noonmark/examples", "", "configurations for typical machines")
	p.Section("SEE ALSO")
	p.Text(d.name + "(8), refclockctl(1)")
	return p.String(), nil
}

// plainText removes the marks of Markdown; each item of a list becomes a paragraph.
func plainText(md string) string {
	md = strings.ReplaceAll(md, "\n- ", "\n\n- ")
	return strings.ReplaceAll(md, "`", "")
}

// defaultOf returns the default of a key, and its text without the sentence that
// states it. The default is, in this order: the sentence "Default: X." at the end
// of the comment; the value in the file; the schema's, or in a table that can be
// repeated the zero value.
func (d *daemonConfig) defaultOf(path string, t tomlTable, k tomlKey, text string) (def, rest string) {
	if m := defaultText.FindStringSubmatch(text); m != nil {
		return m[1], strings.TrimSuffix(text, m[0])
	}
	if k.value != "" {
		return k.value, text
	}
	if !t.array {
		v, _ := value(d.defaults, path)
		return literal(v), text
	}
	f, _ := field(d.defaults.Type(), path)
	return literal(reflect.Zero(f)), text
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
