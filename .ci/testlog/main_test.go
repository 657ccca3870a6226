package main

import (
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const skip = `{"Action":"output","Package":"noonmark/a","Test":"TestS","Output":"=== RUN   TestS\n"}
{"Action":"output","Package":"noonmark/a","Test":"TestS","Output":"    a_test.go:7: needs root\n"}
{"Action":"output","Package":"noonmark/a","Test":"TestS","Output":"--- SKIP: TestS (0.00s)\n"}
{"Action":"skip","Package":"noonmark/a","Test":"TestS"}
`
	tests := []struct {
		name, in     string
		failed       bool
		out, results string
	}{
		{"nothing", "", true, "0 packages", ""},
		{"no tests", `{"Action":"skip","Package":"noonmark/a"}`, true, "0 packages", ""},
		{"make fails", "make: *** no rule\n", true, "make: *** no rule", ""},
		{"build fails", `{"ImportPath":"a","Action":"build-output","Output":"a.go:1: bad\n"}
{"ImportPath":"a","Action":"build-fail"}
{"Action":"fail","Package":"noonmark/a"}`, true, "a.go:1: bad", ""},
		{"test fails", `{"Action":"output","Package":"noonmark/a","Test":"TestF","Output":"    a_test.go:9: got 1\n"}
{"Action":"fail","Package":"noonmark/a","Test":"TestF"}`, true, "FAIL  a TestF (0.0 s)\n          a_test.go:9: got 1\n", ""},
		{"skipped", skip + `{"Action":"pass","Package":"noonmark/a"}`, false, "1 skipped", "skip a TestS: a_test.go:7: needs root\n"},
		{"skipped silently", `{"Action":"skip","Package":"noonmark/a","Test":"TestS"}
{"Action":"pass","Package":"noonmark/a"}`, false, "1 skipped", "skip a TestS: NO REASON GIVEN\n"},
		{"passed", `{"Action":"pass","Package":"noonmark/a","Test":"TestP"}
{"Action":"pass","Package":"noonmark/a","Elapsed":1.5}`, false, "1.5 s\n1 packages, 1 tests passed, 0 skipped\n", "pass a TestP\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out, skips strings.Builder
			failed := run(strings.NewReader(tt.in), &out, &skips)
			if failed != tt.failed || !strings.Contains(out.String(), tt.out) || skips.String() != tt.results {
				t.Errorf("got %v, %q, %q; want %v, %q, %q", failed, out.String(), skips.String(), tt.failed, tt.out, tt.results)
			}
		})
	}
}
