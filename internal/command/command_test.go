package command

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"noonmark/internal/exitcode"
	"noonmark/internal/version"
)

// tool is a program with all that documents have to cope with.
func tool() Command {
	return Command{
		Name: "tool", About: "do what the tests want",
		Commands: []Command{
			{
				Name: "show", About: "show it; [all] of it: 'now'", Args: "FILE|-",
				Text: "Shows -json or .dots:\n\n    literal  \\n\n    .line",
				Prepare: OneArg("FILE", func(fl *flag.FlagSet, c Console) func(string) error {
					asJSON := fl.Bool("json", false, "print one JSON object")
					fl.Duration("wait", 90*time.Minute, "how long to wait")
					fl.String("kind", "fast", "the `fast|slow` kind")
					fl.String("host", "", "ask this `HOST`")
					return func(name string) error {
						switch name {
						case "gone":
							return fs.ErrNotExist
						case "silent":
							return &ExitError{Code: 9}
						case "own":
							return &ExitError{Code: 9, Err: errors.New("its own")}
						}
						fmt.Fprintln(c.Out, name, *asJSON)
						return nil
					}
				}),
				Manual: Manual{Examples: []Example{{For: "the usual", Line: "tool show -json x"}}},
			},
			{Name: "ca", About: "group", Code: FileCode, Commands: []Command{
				{Name: "init", About: "begin", Args: "DIR", Prepare: func(*flag.FlagSet, Console) func([]string) error {
					return func([]string) error { return fs.ErrExist }
				}},
				{Name: "ask", About: "query", Usage: []string{"HOST [-o FILE]"}, Prepare: NoArgs(func(fl *flag.FlagSet, c Console) func() error {
					fl.String("o", "", "to `FILE`")
					return func() error { c.Warnf("asks %d", 1); return nil }
				}), Manual: Manual{Exits: []Exit{{Code: 0}, {Code: 66, When: "special"}}}},
			}},
		},
		Manual: Manual{Section: 1, Exits: Exits(0, 64), Files: []File{{"/etc/x", "a file"}}, SeeAlso: []string{"other(8)"}},
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args     string
		code     int
		out, err string // substrings
	}{
		{"", 64, "", "usage: tool COMMAND [OPTIONS]\n"},
		{"shwo", 64, "", "tool: unknown command \"shwo\"; did you mean show?\n"},
		{"zzzzzzzz", 64, "", "tool: unknown command \"zzzzzzzz\"\n"},
		{"-nope", 64, "", "tool: unknown flag -nope\n"},
		{"-version=x", 64, "", "invalid boolean value"},
		{"show", 64, "", "tool: show: 0 arguments; want one: FILE\nusage: tool show [-host HOST] [-json] [-kind fast|slow] [-wait D] FILE|-\ntool show -h shows more\n"},
		{"show -jsn x", 64, "", "tool: show: unknown flag -jsn; did you mean -json?\n"},
		{"show -wait x y", 64, "", "invalid value \"x\" for flag -wait"},
		{"show a b", 64, "", "2 arguments"},
		{"show gone", exitcode.Unavailable, "", "tool: show: file does not exist\n"},
		{"show silent", 9, "", ""},
		{"show own", 9, "", "tool: show: its own\n"},
		{"ca", 64, "", "usage: tool ca init DIR\n       tool ca ask HOST [-o FILE]\n"},
		{"ca inti", 64, "", "tool: ca: unknown command \"inti\"; did you mean init?\n"},
		{"ca init d", exitcode.CantCreate, "", "tool: ca init: file already exists\n"},
		{"ca ask x", 64, "", "unexpected argument \"x\""},
		{"ca ask", 0, "", "tool: ca ask: asks 1\n"},
		{"-document odd", 64, "", "want man, markdown, bash, zsh, fish"},
		{"show x -json", 0, "x true\n", ""},
		{"show --json x", 0, "x true\n", ""},
		{"show -- -json", 0, "-json false\n", ""},
		{"show -h", 0, "-wait D\n    \thow long to wait (default 1h30m)\n", ""},
		{"show --help", 0, "Examples:\n  tool show -json x\n", ""},
		{"help show", 0, "usage: tool show ", ""},
		{"help ca ask", 0, "66  special", ""},
		{"help", 0, "  show  show it", ""},
		{"-h", 0, "   64  the command line is wrong\n", ""},
		{"-version", 0, "tool ", ""},
		{"--version", 0, "tool ", ""},
		{"ca ask --version", 0, "tool " + version.Number, ""},
	} {
		var out, errs bytes.Buffer
		p := tool()
		code := p.Main(strings.Fields(c.args), Console{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code != c.code || !strings.Contains(out.String(), c.out) || !strings.Contains(errs.String(), c.err) || (out.Len() > 0) != (c.out != "") || (errs.Len() > 0) != (c.err != "") {
			t.Errorf("%q: exit %d, want %d\n--- out\n%s--- err\n%s", c.args, code, c.code, &out, &errs)
		}
	}
}

func TestFileCodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		code int
	}{
		{errors.New("odd"), exitcode.DataErr},
		{fmt.Errorf("%w: %w", exitcode.ErrUnavailable, fs.ErrNotExist), exitcode.Unavailable},
		{fs.ErrPermission, exitcode.Permission},
		{fs.ErrExist, exitcode.CantCreate},
		{fs.ErrNotExist, exitcode.NoInput},
		{&fs.PathError{Err: errors.New("x")}, exitcode.IO},
	} {
		if got := FileCode(c.err); got != c.code {
			t.Errorf("%v: %d, want %d", c.err, got, c.code)
		}
	}
	if !errors.Is(Written(fs.ErrClosed), ErrOutput) || Written(nil) != nil {
		t.Error("an error of the output is not marked")
	}
}

func TestDocumentsNameEveryCommandAndFlag(t *testing.T) {
	t.Parallel()
	p := tool()
	for _, format := range Formats() {
		text, err := p.Document(format)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := p.Document(format)
		if text != again || text == "" {
			t.Errorf("%s is made differently each time", format)
		}
		for _, word := range []string{"show", "init", "ask", "json", "wait", "kind", "fast", "document"} {
			if !strings.Contains(text, word) {
				t.Errorf("%s does not name %s:\n%s", format, word, text)
			}
		}
	}
}

// run runs a program that the machine may lack, with a file of that text.
func run(t *testing.T, text string, program string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed", program)
	}
	// mandoc takes what follows the last dot of a path, even of a folder, for the section.
	name := filepath.Join(t.TempDir(), "text.1")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "@", name)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", program, err, out)
	}
	return string(out)
}

func TestManualPageIsClean(t *testing.T) {
	t.Parallel()
	p := tool()
	text, err := p.Document("man")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, text, "mandoc", "-Tlint", "-Wstyle", "@"); out != "" {
		t.Errorf("mandoc: %s\n%s", out, text)
	}
	out := run(t, text, "mandoc", "-Tutf8", "-Owidth=90", "@")
	out = strings.NewReplacer("\b", "").Replace(out)
	for _, want := range []string{`literal  \n`, `.line`, "/etc/x", "other(8)"} {
		if !strings.Contains(strings.ReplaceAll(out, "//", "/"), want) && !strings.Contains(text, want) {
			t.Errorf("the page has no %q:\n%s", want, out)
		}
	}
}

// The completion is what bash itself offers for the words.
func TestBashCompletes(t *testing.T) {
	t.Parallel()
	p := tool()
	text, err := p.Document("bash")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, want string }{
		{"tool nope ", "show ca"},
		{"tool ", "show ca"},
		{"tool sh", "show"},
		{"tool -v", "-version"},
		{"tool -document b", "bash"},
		{"tool ca ", "init ask"},
		{"tool ca ask -", "-h -o"},
		{"tool show -k", "-kind"},
		{"tool show -kind ", "fast slow"},
		{"tool show --kind s", "slow"},
		{"tool show /dev/nul", "/dev/null"},
		{"tool show -wait ", ""},
		{"tool ca ask -o /dev/nul", "/dev/null"},
	} {
		words := strings.Split(c.words, " ")
		script := fmt.Sprintf("source @; COMP_WORDS=(%s%s); COMP_CWORD=%d; _tool; echo \"${COMPREPLY[*]}\"", c.words, map[bool]string{true: "''"}[strings.HasSuffix(c.words, " ")], len(words)-1)
		if got := strings.TrimSpace(run(t, text, "bash", "-c", script)); got != c.want {
			t.Errorf("%q completes to %q, want %q", c.words, got, c.want)
		}
	}
}

func TestZshCompletionParses(t *testing.T) {
	t.Parallel()
	p := tool()
	text, err := p.Document("zsh")
	if err != nil {
		t.Fatal(err)
	}
	if out := run(t, text, "zsh", "-f", "-n", "@"); out != "" {
		t.Errorf("zsh: %s\n%s", out, text)
	}
}

func TestFishCompletes(t *testing.T) {
	t.Parallel()
	p := tool()
	text, err := p.Document("fish")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ words, want string }{
		{"tool ", "ca\tgroup\nshow\tshow it; [all] of it: 'now'\n"},
		{"tool ca ", "ask\tquery\ninit\tbegin\n"},
		{"tool show -kind f", "fast\tthe fast|slow kind\n"},
		{"tool show -js", "-json\tprint one JSON object\n"},
	} {
		if got := run(t, text, "fish", "--no-config", "-c", "source @; complete -C '"+c.words+"'"); got != c.want {
			t.Errorf("%q completes to %q, want %q", c.words, got, c.want)
		}
	}
}
