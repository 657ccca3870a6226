package web

import (
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"noonmark/phc"
)

// described is the served description.
type described struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name     string
			Required bool
			Schema   map[string]any
		}
		Responses map[string]struct {
			Content map[string]struct{ Schema map[string]any }
		}
	}
	Components struct{ Schemas map[string]map[string]any }
}

// conforms reports where a value differs from a schema.
func (d *described) conforms(at string, schema map[string]any, v any) (wrong []string) {
	if ref, ok := schema["$ref"].(string); ok {
		return d.conforms(at, d.Components.Schemas[strings.TrimPrefix(ref, "#/components/schemas/")], v)
	}
	if several, ok := schema["anyOf"].([]any); ok {
		for _, s := range several {
			w := d.conforms(at, s.(map[string]any), v)
			if len(w) == 0 {
				return nil
			}
			wrong = append(wrong, w...)
		}
		return wrong
	}
	bad := func() []string { return []string{fmt.Sprintf("%s: %v is no %v", at, v, schema["type"])} }
	switch schema["type"] {
	case "object":
		m, ok := v.(map[string]any)
		if !ok {
			return bad()
		}
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, r := range required {
			if _, ok := m[r.(string)]; !ok {
				wrong = append(wrong, fmt.Sprintf("%s: %v is missing", at, r))
			}
		}
		for k, x := range m {
			s, ok := properties[k].(map[string]any)
			if !ok {
				if s, ok = schema["additionalProperties"].(map[string]any); !ok {
					wrong = append(wrong, fmt.Sprintf("%s: %s is not described", at, k))
					continue
				}
			}
			wrong = append(wrong, d.conforms(at+"."+k, s, x)...)
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return bad()
		}
		for i, x := range list {
			wrong = append(wrong, d.conforms(fmt.Sprintf("%s[%d]", at, i), schema["items"].(map[string]any), x)...)
		}
	case "string":
		if _, ok := v.(string); !ok {
			return bad()
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return bad()
		}
	case "null":
		if v != nil {
			return bad()
		}
	case "integer", "number":
		if x, ok := v.(float64); !ok || schema["type"] == "integer" && x != math.Trunc(x) {
			return bad()
		}
	}
	return wrong
}

// Every path answers as it is described, with a clock and without one.
func TestEveryPathAnswersAsDescribed(t *testing.T) {
	t.Parallel()
	path, dir, nodes := publish(t, snapshot(phc.MonoRaw())), keep(t, 1790000000, 600), filepath.Join(t.TempDir(), "fleet.json")
	fleetFile(t, nodes, phc.MonoRaw())
	for _, s := range []*Server{newServer(t, nil), newServer(t, func(c *Config) { c.Snapshot, c.History, c.Fleet = path, dir, nodes })} {
		s.live.look()
		var d described
		if err := json.Unmarshal(ask(s, at(descriptionPath)).Body.Bytes(), &d); err != nil {
			t.Fatal(err)
		}
		if len(d.Paths) != len(s.routes) {
			t.Errorf("%d of %d paths are described", len(d.Paths), len(s.routes))
		}
		for path, methods := range d.Paths {
			if path == "/api/v1/stream" {
				continue // it never ends; its events are of the type update
			}
			w := ask(s, at(path+example(path)))
			responses := methods["get"].Responses
			r, ok := responses[fmt.Sprint(w.Code)]
			if !ok {
				r = responses["default"]
			}
			kind, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
			content, ok := r.Content[kind]
			if !ok {
				t.Errorf("%s answers %d with %s, which is not described", path, w.Code, kind)
				continue
			}
			if kind != jsonType {
				continue
			}
			var v any
			if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
				t.Errorf("%s: %v", path, err)
			}
			for _, wrong := range d.conforms(path, content.Schema, v) {
				t.Error(wrong)
			}
		}
		_, data, _ := strings.Cut(string(<-s.live.watch()), "data: ")
		var v any
		if err := json.Unmarshal([]byte(data), &v); err != nil {
			t.Fatal(err)
		}
		for _, wrong := range d.conforms("event", d.Components.Schemas["update"], v) {
			t.Error(wrong)
		}
	}
}

// example are parameters of a path that needs some.
func example(path string) string {
	switch path {
	case "/api/v1/history":
		return "?from=1790000000&to=2026-09-21T18:13:20Z&points=100"
	case "/api/v1/stability", "/api/v1/phase":
		return "?from=1790000000&to=1790000300"
	}
	return ""
}

// The validator of this test finds what is wrong.
func TestDescriptionCanBeViolated(t *testing.T) {
	t.Parallel()
	var d described
	s := newServer(t, nil)
	if err := json.Unmarshal(ask(s, at(descriptionPath)).Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"publishes":true,"state":"x"}`:                                 "synchronised is missing",
		`{"publishes":1,"state":"x","synchronised":true}`:                "1 is no boolean",
		`{"publishes":true,"state":null,"synchronised":true}`:            "is no string",
		`{"publishes":true,"state":"x","synchronised":true,"extra":"x"}`: "extra is not described",
		`[]`: "is no object",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(d.conforms("x", d.Components.Schemas["health"], v), "; "); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}
