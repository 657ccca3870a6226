package command

import (
	"fmt"
	"io"
	"strings"
)

// width is where the synopsis is wrapped.
const width = 100

// writeUsage writes the synopsis.
func (n *node) writeUsage(w io.Writer) {
	head := "usage: "
	for _, form := range n.synopsis() {
		fmt.Fprintln(w, strings.TrimRight(wrap(head+n.path+" "+form, len("usage: ")+len(n.path)+1), " "))
		head = "       "
	}
}

// writeHelp writes what -h prints.
func (n *node) writeHelp(w io.Writer) {
	n.writeUsage(w)
	if n.Commands != nil {
		fmt.Fprintln(w)
		longest := 0
		for _, x := range n.Commands {
			longest = max(longest, len(x.Name))
		}
		for _, x := range n.Commands {
			fmt.Fprintf(w, "  %-*s  %s\n", longest, x.Name, x.About)
		}
		if n.root {
			fmt.Fprintf(w, "  %-*s  %s\n", longest, "help", "show the options of a command")
		}
		fmt.Fprintf(w, "\n%s COMMAND -h shows the options of a command.\n", n.path)
	}
	if n.Text != "" {
		fmt.Fprintf(w, "\n%s\n", strings.Trim(n.Text, "\n"))
	}
	if list := n.flagsOf(); len(list) > 0 {
		fmt.Fprintln(w)
		for _, f := range list {
			f.writeHelp(w)
		}
	}
	if len(n.Examples) > 0 {
		fmt.Fprintln(w, "\nExamples:")
		for _, e := range n.Examples {
			fmt.Fprintf(w, "  %s\n    \t%s\n", e.Line, e.For)
		}
	}
	if list := n.exits(); len(list) > 0 && (n.root || n.Exits != nil) {
		fmt.Fprintln(w, "\nExit status:")
		for _, e := range list {
			fmt.Fprintf(w, "  %3d  %s\n", e.Code, e.When)
		}
	}
}

// writeHelp writes a flag in the form of package flag.
func (d *described) writeHelp(w io.Writer) {
	fmt.Fprintf(w, "  -%s", d.Name)
	if d.Arg != "" {
		fmt.Fprintf(w, " %s", d.Arg)
	}
	fmt.Fprintf(w, "\n    \t%s%s\n", d.Text, d.defaultText())
}

// defaultText is the default in brackets, if it is one that readers need to know.
func (d *described) defaultText() string {
	if d.Default == "" || strings.Contains(d.Text, "default") {
		return ""
	}
	return " (default " + d.Default + ")"
}

// wrap breaks a line between its words; what is in brackets stays together. Later
// lines are indented.
func wrap(line string, indent int) string {
	var b strings.Builder
	column := 0
	for i, word := range bracketed(line) {
		switch {
		case i == 0:
		case column+1+len(word) > width && column > indent:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// bracketed splits a line at the spaces outside of brackets. Leading spaces belong
// to the first word.
func bracketed(line string) (words []string) {
	depth, from := 0, 0
	lead := len(line) - len(strings.TrimLeft(line, " "))
	for i, r := range line {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ' ' && depth == 0 && i >= lead:
			if i > from {
				words = append(words, line[from:i])
			}
			from = i + 1
		}
	}
	return append(words, line[from:])
}
