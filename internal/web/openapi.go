package web

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"noonmark/internal/version"
)

// object is a JSON object of the description.
type object = map[string]any

// description is the OpenAPI description of the interface, made from its routes and
// the types of their answers. The format is that of OpenAPI 3.1.
func (s *Server) description() []byte {
	types := schemas{object{}}
	paths := object{}
	wrong := object{"description": "refused, or nothing is published", "content": object{"application/json": object{"schema": types.of(reflect.TypeFor[problem]())}}}
	for i := range s.routes {
		r := &s.routes[i]
		content := object{r.kind: object{}}
		if r.answer != nil {
			content = object{r.kind: object{"schema": types.of(reflect.TypeOf(r.answer))}}
		}
		op := object{"summary": r.about, "responses": object{"200": object{"description": r.about, "content": content}, "default": wrong}}
		if r.failure != nil {
			op["responses"].(object)["503"] = object{"description": "not usable", "content": object{"application/json": object{"schema": types.of(reflect.TypeOf(r.failure))}}}
		}
		if len(r.query) > 0 {
			list := []object{}
			for _, q := range r.query {
				list = append(list, object{"name": q.name, "in": "query", "required": q.required, "description": q.about, "schema": object{"type": q.kind}})
			}
			op["parameters"] = list
		}
		if r.open {
			op["security"] = []object{}
		}
		paths[r.path] = object{"get": op}
	}
	b, err := json.MarshalIndent(object{
		"openapi":    "3.1.0",
		"info":       object{"title": "Noonmark", "version": version.Number, "description": "What a reference clock and its server publish, read-only. JSON keys are only added."},
		"paths":      paths,
		"components": object{"schemas": types.named, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}}},
		"security":   []object{{"token": []string{}}, {}},
	}, "", " ")
	if err != nil {
		return nil // maps of texts have a form
	}
	return append(b, '\n')
}

// schemas makes JSON schemas of Go types.
type schemas struct{ named object }

// of returns the schema of a type, as encoding/json writes it.
func (s schemas) of(t reflect.Type) object {
	if t == reflect.TypeFor[time.Time]() {
		return object{"type": "string", "format": "date-time"}
	}
	if t == reflect.TypeFor[values]() {
		t = reflect.TypeFor[[]*float64]()
	}
	switch t.Kind() {
	case reflect.Pointer:
		return object{"anyOf": []object{s.of(t.Elem()), {"type": "null"}}}
	case reflect.Struct:
		name := t.Name()
		if _, ok := s.named[name]; !ok && name != "" {
			s.named[name] = nil // it may contain itself
			s.named[name] = s.structure(t)
		}
		if name == "" {
			return s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	case reflect.Slice:
		return object{"anyOf": []object{{"type": "array", "items": s.of(t.Elem())}, {"type": "null"}}}
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.String:
		return object{"type": "string"}
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Interface:
		return object{}
	}
	return object{"type": "integer"}
}

func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || f.Anonymous || name == "" || name == "-" {
			continue
		}
		properties[name] = s.of(f.Type)
		if !strings.Contains(options, "omit") {
			required = append(required, name)
		}
	}
	return object{"type": "object", "properties": properties, "required": required}
}
