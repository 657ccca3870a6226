package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documents lists the documents that people write or the command generates.
func documents(t *testing.T) (list []string) {
	t.Helper()
	for _, f := range files(t, ".", ".md") {
		if !strings.HasPrefix(f, "server/bench/") {
			list = append(list, f)
		}
	}
	return list
}

// sources lists the Go files whose messages users read.
func sources(t *testing.T) (list []string) {
	t.Helper()
	for _, top := range [...]string{"cmd", "internal", "phc", "refclock", "server", "fleet"} {
		for _, f := range files(t, top, ".go") {
			if !strings.HasSuffix(f, "_test.go") && !strings.HasPrefix(f, "server/bench/") {
				list = append(list, f)
			}
		}
	}
	return list
}

// consoles returns the "$ " lines of a document's console blocks.
func consoles(doc string) (commands []string) {
	for _, block := range regexp.MustCompile("(?ms)^```console\n(.*?)^```").FindAllStringSubmatch(doc, -1) {
		for line := range strings.Lines(block[1]) {
			if c, ok := strings.CutPrefix(strings.TrimRight(line, "\n"), "$ "); ok {
				commands = append(commands, c)
			}
		}
	}
	return commands
}

// everyMachine has these commands.
var everyMachine = []string{"apt", "bash", "cd", "chmod", "chown", "cp", "git", "install", "journalctl", "rm", "systemctl", "timedatectl"}

// Every command in a console block exists: make targets and variables, our
// programs with their commands and flags.
func TestCommandsInDocumentsExist(t *testing.T) {
	makefile, ours := read(t, "Makefile"), programs(t)
	for _, doc := range documents(t) {
		for _, c := range consoles(read(t, doc)) {
			c = strings.TrimPrefix(c, "sudo ")
			words := strings.Fields(c)
			for len(words) > 1 && strings.Contains(words[0], "=") {
				words = words[1:] // NAME=VALUE before a command
			}
			name := path.Base(words[0])
			switch {
			case name == "make":
				for _, w := range words[1:] {
					if target, _, isVar := strings.Cut(w, "="); isVar {
						if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + ` \?=`).MatchString(makefile) {
							t.Errorf("%s: %s: the Makefile has no variable %s", doc, c, target)
						}
					} else if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(w) + `:`).MatchString(makefile) {
						t.Errorf("%s: %s: the Makefile has no target %s", doc, c, w)
					}
				}
			case name == "noonmark-fleet": // of another module: fleet/cmd/noonmark-fleet.TestCommandsInDocumentsExist
			case slices.Contains(ours, name):
				checkCommand(t, doc, name, words[1:])
			case name == "lab", name == "scenario", name == "smoke":
				exists(t, doc, words[0])
			case !slices.Contains(everyMachine, name):
				t.Errorf("%s: %s: %s is neither make, nor ours, nor a command that every machine has", doc, c, name)
			}
		}
	}
}

// checkCommand looks up each flag in the help of the program, or of its command.
func checkCommand(t *testing.T, doc, name string, words []string) {
	t.Helper()
	help := helpOf(t, name)
	for path := []string(nil); len(words) > 0 && strings.Contains(help, " COMMAND -h shows"); words = words[1:] {
		if strings.HasPrefix(words[0], "-") {
			break
		}
		path = append(path, words[0])
		help = helpOf(t, name, path...)
	}
	for _, w := range words {
		if w, _, _ = strings.Cut(w, "="); strings.HasPrefix(w, "-") && len(w) > 1 {
			if !regexp.MustCompile(`(?:^|[\s\[])` + regexp.QuoteMeta(w) + `\b`).MatchString(help) {
				t.Errorf("%s: %s has no flag %s", doc, name, w)
			}
		}
	}
}

// help is what -h prints, by command line.
var help = map[string]string{}

// helpOf returns the help of a program or of one of its commands.
func helpOf(t *testing.T, name string, sub ...string) string {
	t.Helper()
	key := strings.Join(append([]string{name}, sub...), " ")
	if text, ok := help[key]; ok {
		return text
	}
	text, code := run(t, program(t, name), append(sub, "-h")...)
	if code != 0 {
		t.Errorf("%s -h ends with %d:\n%s", key, code, text)
	}
	help[key] = text
	return text
}

// Every command of refclockctl that a document or a message names exists.
func TestCommandsOfRefclockctlExist(t *testing.T) {
	list := helpOf(t, "refclockctl")
	command := regexp.MustCompile(`refclockctl ([a-z]+)\b`)
	for _, name := range append(documents(t), sources(t)...) {
		for i, line := range strings.Split(read(t, name), "\n") {
			if strings.HasSuffix(name, ".go") && !strings.ContainsAny(line, "\"`") {
				continue // no message
			}
			for _, m := range command.FindAllStringSubmatch(line, -1) {
				if !regexp.MustCompile(`(?m)^\s+`+m[1]+`\b`).MatchString(list) && !slices.Contains(prose, m[1]) {
					t.Errorf("%s:%d: refclockctl has no command %s", name, i+1, m[1])
				}
			}
		}
	}
}

// prose are words that follow a program's name in sentences.
var prose = []string{"and", "are", "ends", "has", "is", "of", "or", "that", "which", "would"}

// exists fails the test if a path below the root does not exist.
func exists(t *testing.T, doc, name string) {
	t.Helper()
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(name))); err != nil {
		t.Errorf("%s names %s: %v", doc, name, err)
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	inTree  = regexp.MustCompile("`((?:cmd|configs|docs|firmware-notes|internal|lab|phc|refclock|server|systemd|\\.ci)/[A-Za-z0-9_./-]+)`")
)

// Every link of a document leads to a file and a heading, and every path that a
// document names exists.
func TestFilesNamedInDocumentsExist(t *testing.T) {
	t.Parallel()
	for _, doc := range documents(t) {
		text := read(t, doc)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := doc
			if m[1] != "" {
				target = path.Join(path.Dir(doc), m[1])
				exists(t, doc, target)
			}
			if m[2] != "" && strings.HasSuffix(target, ".md") && !slices.Contains(anchors(read(t, target)), m[2]) {
				t.Errorf("%s links to %s%s, which is no heading", doc, target, m[2])
			}
		}
		for _, m := range inTree.FindAllStringSubmatch(text, -1) {
			if name := strings.TrimSuffix(m[1], "/"); !isTestName(name) && !slices.Contains(elsewhere, name) {
				exists(t, doc, name)
			}
		}
	}
}

// elsewhere are paths of other projects that documents quote.
var elsewhere = []string{"configs/syncsim"}

// anchors returns the anchors of a document's headings.
func anchors(text string) (list []string) {
	drop := regexp.MustCompile(`[^a-z0-9 _-]`)
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		list = append(list, "#"+strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return list
}

// isTestName reports whether a path such as server.TestX names a test or an
// identifier, not a file.
func isTestName(name string) bool {
	dot := strings.LastIndexByte(name, '.')
	return dot > 0 && dot+1 < len(name) && name[dot+1] >= 'A' && name[dot+1] <= 'Z' && !strings.HasSuffix(name, ".md")
}

// Every metric that a document, a script, a message or a collector names exists.
func TestMetricsNamedExist(t *testing.T) {
	t.Parallel()
	metrics, err := allMetrics(root)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, m := range metrics {
		known[m.name] = true
		if m.kind == "histogram" {
			known[m.name+"_sum"], known[m.name+"_count"], known[m.name+"_bucket"] = true, true, true
		}
	}
	name := regexp.MustCompile(`\bnoonmark_[a-z0-9_]+[a-z0-9]`)
	list := append(documents(t), sources(t)...)
	list = append(list, files(t, "lab", ".sh")...)
	list = append(list, files(t, monitoring)...)
	list = append(list, files(t, "internal/observe/testdata", ".prom")...) // served by the collectors
	for _, f := range list {
		for i, line := range strings.Split(read(t, f), "\n") {
			for _, m := range name.FindAllStringIndex(line, -1) {
				word := line[m[0]:m[1]]
				if prefix := m[1] < len(line) && line[m[1]] == '_'; !known[word] && !prefix {
					t.Errorf("%s:%d: there is no metric %s", f, i+1, word)
				}
			}
		}
	}
}

// Every configuration key that a document or a message names exists.
func TestConfigurationKeysNamedExist(t *testing.T) {
	t.Parallel()
	known, tables := map[string]bool{}, map[string]bool{}
	for _, s := range schemas() {
		for _, k := range keysOf(s[1].Type(), "") {
			known[k] = true
			for dir := k; strings.Contains(dir, "."); {
				dir = dir[:strings.LastIndexByte(dir, '.')]
				tables[dir] = true
			}
		}
	}
	dotted := regexp.MustCompile(`(?:^|[^A-Za-z0-9_./-])([a-z_]+(?:\.[a-z0-9_]+)+)`)
	for _, f := range documents(t) {
		for i, line := range strings.Split(read(t, f), "\n") {
			for _, quoted := range regexp.MustCompile("`[^`]+`").FindAllString(line, -1) {
				checkKeys(t, f, i+1, quoted, dotted, known, tables)
			}
		}
	}
	for _, f := range sources(t) {
		if path.Dir(f) == "internal/simulate" {
			continue // its keys are those of scenario files
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, f, read(t, f), parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok {
				if s, ok := text(lit); ok {
					checkKeys(t, f, set.Position(lit.Pos()).Line, s, dotted, known, tables)
				}
			}
			return true
		})
	}
}

// checkKeys looks up each dotted name that begins with a table of the
// configuration.
func checkKeys(t *testing.T, file string, line int, s string, dotted *regexp.Regexp, known, tables map[string]bool) {
	t.Helper()
	for _, m := range dotted.FindAllStringSubmatch(s, -1) {
		table := m[1][:strings.LastIndexByte(m[1], '.')]
		ending := m[1][strings.LastIndexByte(m[1], '.')+1:]
		if tables[table] && !known[m[1]] && !tables[m[1]] && !slices.Contains(endings, ending) {
			t.Errorf("%s:%d: there is no configuration key %s", file, line, m[1])
		}
	}
}

// endings are of file names that look like keys.
var endings = []string{"conf", "go", "json", "list", "log", "md", "pem", "sh", "toml"}

// Each document that says which test shows a statement names tests that exist, and
// every row of its tables names one.
func TestTestsNamedInDocumentsExist(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile("`((?:[a-z0-9]+/)*[a-z0-9]+)\\.((?:Test|Fuzz|Benchmark)[A-Za-z0-9_]+)`")
	everyRow := []string{"server/CONFORMANCE.md", "THREATS.md"}
	tests := map[string]string{} // by folder, the source of its tests
	for _, doc := range documents(t) {
		rows := 0
		for line := range strings.Lines(read(t, doc)) {
			if strings.HasPrefix(line, "| ") && !strings.HasSuffix(line, "| test |\n") {
				if rows++; slices.Contains(everyRow, doc) && !name.MatchString(line) {
					t.Errorf("%s: no test is named in %s", doc, line)
				}
			}
			for _, m := range name.FindAllStringSubmatch(line, -1) {
				dir, fn := m[1], m[2]
				if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(dir))); err != nil {
					t.Errorf("%s: there is no folder %s with %s", doc, dir, fn)
					continue
				}
				if _, ok := tests[dir]; !ok {
					for _, f := range files(t, dir, "_test.go") {
						if path.Dir(f) == dir {
							tests[dir] += read(t, f)
						}
					}
				}
				if !strings.Contains(tests[dir], "\nfunc "+fn+"(") {
					t.Errorf("%s: there is no %s in %s", doc, fn, dir)
				}
			}
		}
		if slices.Contains(everyRow, doc) && rows < 10 {
			t.Errorf("%s has %d rows", doc, rows)
		}
	}
}

// Every reason that the fault table names exists.
func TestReasonsNamedInTheFaultTableExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, l := range reasonLists() {
		p, err := parsePackage(root, l.dir)
		if err != nil {
			t.Fatal(err)
		}
		list, err := p.enumeration(l.typ)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			known[l.word(i)] = true
		}
	}
	for _, doc := range [...]string{"docs/fault-table.md", "docs/leap-seconds.md"} {
		for _, m := range regexp.MustCompile("`([a-z]+(?:_[a-z]+)+)`").FindAllStringSubmatch(read(t, doc), -1) {
			if !known[m[1]] && !strings.HasPrefix(m[1], "noonmark_") {
				t.Errorf("%s: there is no reason %s", doc, m[1])
			}
		}
	}
}
