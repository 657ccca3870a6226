package docs

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"noonmark/internal/config"
	"noonmark/internal/config/ntsserve"
	"noonmark/internal/config/refclockd"
)

func TestGeneratedDocumentsAreCurrent(t *testing.T) {
	pages, err := Generate(Tree{Root: root, Program: func(name string) (string, error) { return program(t, name), nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if old, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(p.Path))); err != nil || string(old) != p.Text {
			t.Errorf("%s is not current: run make docs", p.Path)
		}
	}
}

// schemas returns, for each daemon, an empty file of its schema and its defaults.
func schemas() map[string][2]reflect.Value {
	return map[string][2]reflect.Value{
		"refclockd": {reflect.ValueOf(&refclockd.File{}), reflect.ValueOf(refclockd.Default())},
		"ntsserve":  {reflect.ValueOf(&ntsserve.File{}), reflect.ValueOf(ntsserve.Default())},
	}
}

// Every key of the schema is documented in the reference configuration, and the
// values there are the defaults.
func TestReferenceConfigurationHasEveryKeyWithItsDefault(t *testing.T) {
	t.Parallel()
	for name, s := range schemas() {
		text := read(t, "configs/"+name+".toml")
		tables, err := readTOMLDoc("configs/"+name+".toml", text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := config.Parse(name, []byte(text), s[0].Interface()); err != nil {
			t.Fatal(err)
		}
		documented := map[string]bool{}
		for _, tb := range tables {
			for _, k := range tb.keys {
				path := strings.TrimPrefix(tb.name+"."+k.name, ".")
				documented[path] = true
				if k.value == "" || tb.array || strings.HasSuffix(strings.Join(k.text, " "), "Default: none.") {
					continue
				}
				inFile, _ := value(s[0].Elem(), path)
				inCode, _ := value(s[1], path)
				if literal(inFile) != literal(inCode) && path != "ke.listen" { // its default depends on the certificate
					t.Errorf("configs/%s.toml:%d: %s is %v, the default is %v", name, k.line, path, inFile, inCode)
				}
			}
		}
		for _, path := range keysOf(s[1].Type(), "") {
			if base, ok := strings.CutPrefix(path, "pulse.compare."); ok && documented["pulse."+base] {
				continue
			}
			if !documented[path] {
				t.Errorf("configs/%s.toml does not show %s", name, path)
			}
		}
	}
}

// keysOf lists the dotted keys of a schema, array tables entered.
func keysOf(t reflect.Type, prefix string) (keys []string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
		ft := f.Type
		if ft.Kind() == reflect.Slice {
			ft = ft.Elem()
		}
		switch {
		case f.Anonymous && name == "":
			keys = append(keys, keysOf(ft, prefix)...)
		case ft.Kind() == reflect.Struct && hasKeys(ft):
			keys = append(keys, keysOf(ft, prefix+name+".")...)
		default:
			keys = append(keys, prefix+name)
		}
	}
	return keys
}

// Each commented-out example of the reference configuration is a value that the
// schema takes.
func TestExamplesInTheReferenceConfigurationAreAccepted(t *testing.T) {
	t.Parallel()
	for name := range schemas() {
		tables, err := readTOMLDoc("configs/"+name+".toml", read(t, "configs/"+name+".toml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, tb := range tables {
			head := ""
			if tb.name != "" {
				head = "[" + tb.name + "]\n"
			}
			if tb.array {
				head = "[[" + tb.name + "]]\n"
			}
			for _, k := range tb.keys {
				if k.example == "" {
					continue
				}
				if _, err := config.Parse(name+".toml", []byte(head+k.name+" = "+k.example+"\n"), schemas()[name][0].Interface()); err != nil {
					t.Errorf("configs/%s.toml:%d: %v", name, k.line, err)
				}
			}
		}
	}
}

func TestCommentsOfAKeyBecomeMarkdown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"One line", "One line"},
		{"Two\nlines", "Two lines"},
		{`"a", or "b": text`, `"a", or "b": text`},
		{"\"a\":  first\n      more\n\"bb\": second", "- \"a\": first more\n- \"bb\": second"},
		{"Intro.\n\"a\": x\n\"b\": y\nAfter", "Intro.\n\n- \"a\": x\n- \"b\": y\n\nAfter"},
	} {
		if got := markdown(strings.Split(c.in, "\n")); got != c.want {
			t.Errorf("%q becomes %q, want %q", c.in, got, c.want)
		}
	}
}

func TestDamagedReferenceConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"key", "[table", "key=1", "#comment without space", " key = 1"} {
		if _, err := readTOMLDoc("f.toml", bad+"\n"); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
