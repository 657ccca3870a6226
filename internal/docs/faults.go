package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// faultRowsFile holds the rows of the fault table: function faultRows.
const faultRowsFile = "refclock/faultrows_test.go"

// faultReference makes docs/reference-faults.md from the rows of the test, so that
// the document cannot say what the test does not show.
func faultReference(root string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, filepath.FromSlash(faultRowsFile)), nil, parser.SkipObjectResolution)
	if err != nil {
		return "", err
	}
	rows := faultRowsOf(file)
	if len(rows) == 0 {
		return "", fmt.Errorf("%s: no rows in faultRows", faultRowsFile)
	}
	var b strings.Builder
	b.WriteString(notice("the rows of `" + faultRowsFile + "`"))
	b.WriteString(`# Faults of receivers and pulses

Each row is a run of the daemon's engine with a simulated receiver, pulse and oscillator in virtual time. The hardware is a
TimeHAT with a ZED-F9T unless another build is named. Most faults begin at 10 min.

In every row, while clients get "synchronised", the second is right, the error is inside the published bound, and the error is
below the row's limit. The column "served from" is the latest time at which that must begin. Test: ` + "`refclock.TestFaults`" + `.

| fault | build | served from | state and reason at a time after the start |
|---|---|---|---|
`)
	for _, r := range rows {
		line, err := faultLine(r)
		if err != nil {
			return "", fmt.Errorf("%s: %w", faultRowsFile, err)
		}
		b.WriteString(line)
	}
	return b.String(), nil
}

// faultRowsOf returns the elements of the list that function faultRows returns.
func faultRowsOf(file *ast.File) (rows []*ast.CompositeLit) {
	for _, d := range file.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if !ok || fn.Name.Name != "faultRows" {
			continue
		}
		ast.Inspect(fn.Body, func(n ast.Node) bool {
			ret, ok := n.(*ast.ReturnStmt)
			if !ok || len(ret.Results) != 1 {
				return true
			}
			if list, ok := ret.Results[0].(*ast.CompositeLit); ok {
				if _, isSlice := list.Type.(*ast.ArrayType); isSlice {
					for _, e := range list.Elts {
						if row, ok := e.(*ast.CompositeLit); ok {
							rows = append(rows, row)
						}
					}
				}
			}
			return true
		})
	}
	return rows
}

// faultLine writes one row: name, build, edit, looks, limit, first.
func faultLine(row *ast.CompositeLit) (string, error) {
	if len(row.Elts) != 6 {
		return "", fmt.Errorf("a row has %d fields, want 6", len(row.Elts))
	}
	name, okName := text(row.Elts[0])
	build, okBuild := text(row.Elts[1])
	looks, okLooks := row.Elts[3].(*ast.CompositeLit)
	first, okFirst := duration(row.Elts[5])
	if !okName || !okBuild || !okLooks || !okFirst {
		return "", fmt.Errorf("row %q has another form", name)
	}
	var states []string
	for _, e := range looks.Elts {
		s, err := faultLook(e)
		if err != nil {
			return "", fmt.Errorf("row %q: %w", name, err)
		}
		states = append(states, s)
	}
	served := "never"
	if first > 0 {
		served = spell(first)
	}
	return fmt.Sprintf("| %s | %s | %s | %s |\n", name, build, served, strings.Join(states, "; ")), nil
}

// lookStates are the helpers of the rows and the states that they name.
var lookStates = map[string]string{"lock": "locked", "hold": "holdover", "unlocked": "unlocked", "faulty": "faulty"}

// faultLook writes what must be published at one time.
func faultLook(e ast.Expr) (string, error) {
	call, ok := e.(*ast.CallExpr)
	if !ok || len(call.Args) == 0 {
		return "", fmt.Errorf("a look has another form")
	}
	fn, ok := call.Fun.(*ast.Ident)
	if !ok || lookStates[fn.Name] == "" {
		return "", fmt.Errorf("a look has an unknown state")
	}
	at, ok := duration(call.Args[0])
	if !ok {
		return "", fmt.Errorf("a look has no time")
	}
	s := spell(at) + ": " + lookStates[fn.Name]
	if len(call.Args) == 2 {
		reason, ok := text(call.Args[1])
		if !ok {
			return "", fmt.Errorf("a look has no reason")
		}
		s += " (`" + reason + "`)"
	}
	return s, nil
}

// durations are the names that the rows use.
var durations = map[string]time.Duration{
	"minute": time.Minute, "at": 10 * time.Minute,
	"time.Hour": time.Hour, "time.Minute": time.Minute, "time.Second": time.Second, "time.Millisecond": time.Millisecond,
}

// duration evaluates a constant expression.
func duration(e ast.Expr) (time.Duration, bool) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return duration(e.X)
	case *ast.Ident:
		d, ok := durations[e.Name]
		return d, ok
	case *ast.SelectorExpr:
		x, ok := e.X.(*ast.Ident)
		if !ok {
			return 0, false
		}
		d, ok := durations[x.Name+"."+e.Sel.Name]
		return d, ok
	case *ast.BasicLit:
		n, err := strconv.ParseInt(e.Value, 0, 64)
		return time.Duration(n), err == nil
	case *ast.BinaryExpr:
		x, okX := duration(e.X)
		y, okY := duration(e.Y)
		switch e.Op {
		case token.ADD:
			return x + y, okX && okY
		case token.SUB:
			return x - y, okX && okY
		case token.MUL:
			return x * y, okX && okY
		}
	}
	return 0, false
}

// spell writes a duration with spaces, such as "10 min 30 s".
func spell(d time.Duration) string {
	var parts []string
	for _, u := range [...]struct {
		unit time.Duration
		name string
	}{{time.Hour, "h"}, {time.Minute, "min"}} {
		if n := d / u.unit; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
			d -= n * u.unit
		}
	}
	if d > 0 || len(parts) == 0 {
		parts = append(parts, fmt.Sprintf("%g s", d.Seconds()))
	}
	return strings.Join(parts, " ")
}
