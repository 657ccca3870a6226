package docs

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
)

// privateWords are expressions that this project once used with a meaning of its
// own, or that a reader whose first language is not English has to look up. The
// right column is what to write.
var privateWords = []struct{ expression, instead string }{
	{`\btold\b|\btells? of\b|\bforetold\b|\bforetell\w*`, "published, reported, predicted"},
	{`\bowed\b`, "residual"},
	{`\bhush\w*`, "rate-limited"},
	{`\bdraughts?\b`, "a sudden change of temperature"},
	{`\bcouncil\b|\bvoices\b`, "vote, source"},
	{`\bwont\b`, "usual"},
	{`\bvouch\w*`, "guarantees, is valid for"},
	{`\b(?:has|have|had) (?:no|a) say\b`, "is ignored"},
	{`\bconspire\w*`, "add up"},
	{`\b(?:stands?|stood) for\b`, "represents; contains the true error"},
	{`\bstands? in (?:for|where)\b`, "replaces"},
	{`\bmend(?:s|ed|ing)?\b`, "repair, fix, remedy"},
	{`(?:receiver|kernel|driver|maker|program)s?'s? word\b|\bevery word\b|\bown words?\b|\bno word (?:of|for)\b`, "report, message, statement"},
	{`\bbelieved?\b`, "trusted, accepted"},
	{`\btestimony\b|\bmuster\w*`, "evidence, result"},
	{`\bhunt(?:s|ed|ing)?\b`, "scan"},
	{`\bweather\b`, "temperature"},
	{`\bbefall\w*|\bbefell\b`, "happens to"},
	{`\bminded\b|\bheed\w*`, "respected"},
	{`\bwished\b`, "requested"},
	{`\bmade up for\b`, "corrected, dithered"},
	{`\binnocent\b`, "not caused by"},
	{`\bfrom of old\b|\bin vain\b|\bhereby\b|\bthereof\b|\bwherein\b`, "plain words"},
	{`\bsaid to be\b|\bis said to\b`, "is"},
	{`\bTAI-UTC is another\b`, "TAI-UTC changed"},
	{`\bpatient(?:ly)?\b`, "with a timeout"},
	{`\bliars?\b|\blying\b|\b(?:a|the) lie\b|\blies? by\b`, "wrong"},
	{`\bspite\b|\balbeit\b|\bnigh\b|\bkin\b|\bnought\b|\bnaught\b`, "plain words"},
}

// plainWords are the parts of the tree that are written in plain words, with the
// endings of the files to look at.
var plainWords = []struct {
	top     string
	endings []string
}{
	{"README.md", nil},
	{"ARCHITECTURE.md", nil},
	{"CONTRIBUTING.md", nil},
	{"THREATS.md", nil},
	{"SECURITY.md", nil},
	{"CHANGELOG.md", nil},
	{"Makefile", nil},
	{"docs", []string{".md", "bench-refclockd", "bench-servo"}},
	{"lab", nil},
	{"firmware-notes", nil},
	{"systemd", nil},
	{"configs", nil},
	{".ci", nil},
	{"cmd", []string{".go"}},
	{"internal", []string{".go", ".js", ".html", ".css"}},
	{"phc", []string{".go"}},
	{"refclock", []string{".go", ".md"}},
	{"server", []string{".go", ".md", "results"}},
	{"fleet", []string{".go", ".md"}},
	{"packaging", nil},
}

// notYetPlain are files whose texts come from parts that are still rewritten.
var notYetPlain = []string{
	"docs/reference-metrics.md", "docs/reference-reasons.md",
	"docs/results/lab.md",
}

// contracts are words of the list that scripts rely on: keys, metrics, names of
// scenarios and programs.
var contracts = regexp.MustCompile(`noonmark_[a-z_]+|\.mend\b|\bMend\b|"mend"|\bmend,omitempty|"lie"|-lie\b|\blie\b`)

func TestPlainWords(t *testing.T) {
	t.Parallel()
	list := make([]*regexp.Regexp, len(privateWords))
	all := make([]string, len(privateWords))
	for i, w := range privateWords {
		all[i] = w.expression
		list[i] = regexp.MustCompile(`(?i)` + w.expression)
	}
	anyOf := newWordMatcher(t, all)
	for _, part := range plainWords {
		for _, f := range files(t, part.top, part.endings...) {
			if f == "internal/docs/words_test.go" || slices.Contains(notYetPlain, f) || strings.HasSuffix(f, ".svg") || strings.HasSuffix(f, "LICENSE") {
				continue
			}
			text := read(t, f)
			if !anyOf.matches(text) {
				continue
			}
			for n, line := range strings.Split(text, "\n") {
				line = contracts.ReplaceAllString(line, "")
				for i, re := range list {
					if m := re.FindString(line); m != "" {
						t.Errorf("%s:%d: %q; write: %s", f, n+1, m, privateWords[i].instead)
					}
				}
			}
		}
	}
}

func TestPrivateWordsAreFound(t *testing.T) {
	t.Parallel()
	all := make([]string, len(privateWords))
	for i, w := range privateWords {
		all[i] = w.expression
	}
	m := newWordMatcher(t, all)
	for _, s := range []string{"it is Told", "a lie.", "has no say", "(made up for)", "TAI-UTC is another", "its own words", "stands in for", "the kernel's word", "no word of", "foretelling", "in vain", "said to be"} {
		if !m.matches(s) {
			t.Errorf("not found in %q", s)
		}
	}
	for _, s := range []string{"", "a", "untold", "it holds", "the kernel", "words", "a lier", "saying"} {
		if m.matches(s) {
			t.Errorf("found in %q", s)
		}
	}
}

// wordMatcher matches expressions at the beginning of words: all of the list begin there. To
// search for them everywhere takes many times as long, and so does to try them at each word.
type wordMatcher struct {
	anyOf *regexp.Regexp
	first map[string]bool // two letters with which a match can begin
}

func newWordMatcher(t *testing.T, expressions []string) *wordMatcher {
	t.Helper()
	m := &wordMatcher{regexp.MustCompile(`^(?i:` + strings.Join(expressions, "|") + `)`), map[string]bool{}}
	for _, e := range expressions {
		parsed, err := syntax.Parse(e, syntax.Perl)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range openings(parsed) {
			if len(p) < 2 {
				t.Fatalf("%s: a match can begin with %q and anything behind it; want two letters", e, p)
			}
			m.first[strings.ToLower(p[:2])] = true
		}
	}
	return m
}

// openings returns what a match of an expression can begin with, as far as it is needed and known.
func openings(e *syntax.Regexp) (list []string) {
	switch e.Op {
	case syntax.OpLiteral:
		return []string{string(e.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return openings(e.Sub[0])
	case syntax.OpQuest, syntax.OpStar:
		return append(openings(e.Sub[0]), "")
	case syntax.OpAlternate:
		for _, sub := range e.Sub {
			list = append(list, openings(sub)...)
		}
		return list
	case syntax.OpConcat:
		list = []string{""}
		for _, sub := range e.Sub {
			if !slices.ContainsFunc(list, func(p string) bool { return len(p) < 2 }) {
				break
			}
			var longer []string
			for _, p := range list {
				for _, o := range openings(sub) {
					longer = append(longer, p+o)
				}
			}
			list = longer
		}
		return list
	case syntax.OpCharClass:
		for i := 0; i < len(e.Rune); i += 2 {
			for r := e.Rune[i]; r <= e.Rune[i+1]; r++ {
				list = append(list, string(r))
			}
		}
		return list
	}
	return []string{""}
}

// matches reports whether one of the expressions matches in a text.
func (m *wordMatcher) matches(text string) bool {
	const longest = 40 // octets of the longest match
	word := false
	for i := range len(text) {
		c := text[i] | 0x20
		was := word
		word = c >= 'a' && c <= 'z' || text[i] >= '0' && text[i] <= '9' || text[i] == '_'
		if word && !was && i+1 < len(text) && m.first[strings.ToLower(text[i:i+2])] && m.anyOf.MatchString(text[i:min(i+longest, len(text))]) {
			return true
		}
	}
	return false
}
