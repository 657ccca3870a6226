package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/internal/proctest"
)

func TestMain(m *testing.M) { os.Exit(proctest.Main(m, nil)) }

func TestBillNamesEveryLinkedModule(t *testing.T) {
	program := proctest.Program(t, "refclockd")
	b := bill{name: "noonmark", version: "1.2.3", root: filepath.Dir(program)}
	var out bytes.Buffer
	if err := b.write(&out, []string{program}); err == nil {
		t.Error("written without a time of the sources")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1796000000")
	out.Reset()
	if err := b.write(&out, []string{program}); err != nil {
		t.Fatal(err)
	}
	first := out.String()
	var d document
	if err := json.Unmarshal(out.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{d.ID: true}
	names := map[string]bool{}
	for _, p := range d.Packages {
		ids[p.ID], names[p.Name] = true, true
	}
	for _, f := range d.Files {
		ids[f.ID] = true
	}
	for _, want := range []string{"noonmark", "stdlib", "github.com/pelletier/go-toml/v2", "golang.org/x/sys"} {
		if !names[want] {
			t.Errorf("the bill lacks %s", want)
		}
	}
	for _, r := range d.Relationships {
		if !ids[r.From] || !ids[r.To] {
			t.Errorf("%v names what is not there", r)
		}
	}
	if d.Creation.Created != "2026-11-30T00:53:20Z" || len(d.Files) != 1 || d.Files[0].Name != "./refclockd" || !strings.HasPrefix(d.Namespace, "https://") {
		t.Errorf("%+v, %+v", d.Creation, d.Files)
	}
	out.Reset()
	if err := b.write(&out, []string{program}); err != nil || out.String() != first {
		t.Errorf("%v: a second bill differs", err)
	}
}

func TestWhatIsNoProgramIsRefused(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1")
	for _, bad := range [][]string{nil, {"main.go"}, {"nonesuch"}} {
		b := bill{name: "n", version: "1"}
		if err := b.write(&bytes.Buffer{}, bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
