package command

import (
	"fmt"
	"io"
	"strings"

	"noonmark/internal/nearest"
)

// Formats are the values of the flag -document.
func Formats() []string { return []string{"man", "markdown", "bash", "zsh", "fish"} }

// document writes the documentation of a program.
func (n *node) document(w io.Writer, format string) error {
	var text string
	switch format {
	case "man":
		text = manual(n)
	case "markdown":
		text = markdown(n)
	case "bash":
		text = bash(n)
	case "zsh":
		text = zsh(n)
	case "fish":
		text = fish(n)
	default:
		near := nearest.Word(format, Formats())
		if near == "" {
			near = strings.Join(Formats(), ", ")
		}
		return Usagef("-document %s is not known; want %s", format, near)
	}
	_, err := io.WriteString(w, text)
	return Written(err)
}

// Document returns the documentation of a program in one of the Formats.
func (x *Command) Document(format string) (string, error) {
	var b strings.Builder
	n := rootOf(x)
	err := n.document(&b, format)
	return b.String(), err
}

// block is a paragraph of a text, or lines that stay as they are.
type block struct {
	verbatim bool
	lines    []string
}

// blocks splits a text into paragraphs and indented parts.
func blocks(text string) (list []block) {
	for part := range strings.SplitSeq(strings.Trim(text, "\n"), "\n\n") {
		if part == "" {
			continue
		}
		lines := strings.Split(part, "\n")
		b := block{verbatim: strings.HasPrefix(lines[0], "  "), lines: lines}
		list = append(list, b)
	}
	return list
}

// markdown returns the reference of a program: a section of the second level.
func markdown(n *node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", n.Name)
	for i, x := range n.all() {
		if i > 0 {
			fmt.Fprintf(&b, "### %s\n\n", x.path)
		}
		markdownBody(&x, &b)
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func markdownBody(n *node, b *strings.Builder) {
	fmt.Fprintf(b, "%s.\n\n```\n", sentence(n.About))
	for _, form := range n.synopsis() {
		b.WriteString(wrap(n.path+" "+form, len(n.path)+1) + "\n")
	}
	b.WriteString("```\n\n")
	for _, x := range blocks(n.Text) {
		if x.verbatim {
			fmt.Fprintf(b, "```\n%s\n```\n\n", strings.Join(unindent(x.lines), "\n"))
		} else {
			b.WriteString(strings.Join(x.lines, "\n") + "\n\n")
		}
	}
	if list := n.flagsOf(); len(list) > 0 {
		b.WriteString("| flag | type | default | meaning |\n|---|---|---|---|\n")
		for _, f := range list {
			name, def := "-"+f.Name, ""
			if f.Arg != "" {
				name += " " + f.Arg
			}
			if f.Default != "" {
				def = "`" + f.Default + "`"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", cell(name), f.Type, def, cell(f.Text))
		}
		b.WriteString("\n")
	}
	for _, e := range n.Examples {
		fmt.Fprintf(b, "%s:\n\n```console\n$ %s\n```\n\n", sentence(e.For), e.Line)
	}
	if n.root || n.Exits != nil {
		b.WriteString("| exit status | meaning |\n|---|---|\n")
		for _, e := range n.exits() {
			fmt.Fprintf(b, "| %d | %s |\n", e.Code, cell(e.When))
		}
		b.WriteString("\n")
	}
	for i, f := range n.Files {
		if i == 0 {
			b.WriteString("| file | content |\n|---|---|\n")
		}
		fmt.Fprintf(b, "| `%s` | %s |\n", f.Path, cell(f.Text))
		if i == len(n.Files)-1 {
			b.WriteString("\n")
		}
	}
}

// cell protects the text of a table's cell.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// sentence begins a phrase with a capital letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// unindent removes the spaces that all lines begin with.
func unindent(lines []string) []string {
	least := -1
	for _, l := range lines {
		if t := strings.TrimLeft(l, " "); t != "" && (least < 0 || len(l)-len(t) < least) {
			least = len(l) - len(t)
		}
	}
	list := make([]string, len(lines))
	for i, l := range lines {
		list[i] = l[min(max(least, 0), len(l)):]
	}
	return list
}
