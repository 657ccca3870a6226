// Testlog reads `go test -json` on standard input. It prints one line a package,
// and the whole output of each failed test. It appends the results to a file, as
// lines "pass PACKAGE TEST" and "skip PACKAGE TEST: REASON":
//
//	go test -json ./... | testlog FILE
//
// The exit code is 1 if a test failed or no package was tested.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

// event is one line of `go test -json` (go doc cmd/test2json).
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

// noise matches the lines that the testing package itself prints.
var noise = regexp.MustCompile(`^\s*(=== (RUN|PAUSE|CONT|NAME)|--- (SKIP|PASS|FAIL))`)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ... | testlog FILE")
		os.Exit(64)
	}
	results, err := os.OpenFile(os.Args[1], os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		os.Exit(1)
	}
	failed := run(os.Stdin, os.Stdout, results)
	if err := results.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "testlog:", err)
		failed = true
	}
	if failed {
		os.Exit(1)
	}
}

func run(in io.Reader, out, results io.Writer) (failed bool) {
	output := map[[2]string][]string{} // by package and test
	var passed, skipped, packages int
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		var e event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			fmt.Fprintln(out, sc.Text()) // make, or a build that failed early
			continue
		}
		key := [2]string{e.Package, e.Test}
		pkg := strings.TrimPrefix(e.Package, "noonmark/")
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "build-fail":
			failed = true
		case "pass":
			if e.Test == "" {
				packages++
				fmt.Fprintf(out, "ok    %-32s %6.1f s\n", pkg, e.Elapsed)
			} else {
				passed++
				fmt.Fprintf(results, "pass %s %s\n", pkg, e.Test)
			}
			delete(output, key)
		case "skip":
			if e.Test == "" {
				break // no test files
			}
			skipped++
			fmt.Fprintf(results, "skip %s %s: %s\n", pkg, e.Test, reason(output[key]))
			delete(output, key)
		case "fail":
			failed = true
			fmt.Fprintf(out, "FAIL  %s %s (%.1f s)\n", pkg, e.Test, e.Elapsed)
			for _, s := range output[key] {
				fmt.Fprint(out, "      ", s)
			}
		}
	}
	if err := sc.Err(); err != nil {
		fmt.Fprintln(out, "testlog:", err)
		failed = true
	}
	fmt.Fprintf(out, "%d packages, %d tests passed, %d skipped\n", packages, passed, skipped)
	return failed || packages == 0
}

// reason returns the output of a skipped test in one line.
func reason(lines []string) string {
	var r []string
	for _, s := range lines {
		if s = strings.TrimSpace(s); s != "" && !noise.MatchString(s) {
			r = append(r, s)
		}
	}
	if len(r) == 0 {
		return "NO REASON GIVEN"
	}
	return strings.Join(r, " ")
}
