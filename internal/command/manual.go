package command

import (
	"fmt"
	"regexp"
	"strings"

	"noonmark/internal/version"
)

// Page is a manual page that is being written, in the macros of man(7).
type Page struct{ b strings.Builder }

// NewPage begins a manual page. Its date is that of the version, so that a version
// has the same pages wherever they are made.
func NewPage(name string, section int, about string) *Page {
	p := &Page{}
	fmt.Fprintf(&p.b, ".TH %s %d %s \"noonmark %s\" \"Noonmark\"\n", strings.ToUpper(name), section, version.Date, version.Number)
	p.Section("NAME")
	p.fill(escape(name) + ` \- ` + escape(about))
	return p
}

// Section begins a section.
func (p *Page) Section(title string) { fmt.Fprintf(&p.b, ".SH %s\n", escape(title)) }

// Subsection begins a part of a section.
func (p *Page) Subsection(title string) { fmt.Fprintf(&p.b, ".SS %s\n", escape(title)) }

// Text writes paragraphs; what is indented stays as it is.
func (p *Page) Text(text string) {
	for i, x := range blocks(text) {
		if x.verbatim {
			fmt.Fprintf(&p.b, ".PP\n.RS 4\n.nf\n")
			for _, l := range unindent(x.lines) {
				p.b.WriteString(line(escape(l)) + "\n")
			}
			p.b.WriteString(".fi\n.RE\n")
			continue
		}
		if i > 0 {
			p.b.WriteString(".PP\n")
		}
		p.fill(inline(strings.Join(x.lines, " ")))
	}
}

// Item writes a term, in bold, with its placeholder, and what it means.
func (p *Page) Item(term, arg, text string) {
	fmt.Fprintf(&p.b, ".TP\n\\fB%s\\fR", escape(term))
	if arg != "" {
		fmt.Fprintf(&p.b, " \\fI%s\\fR", escape(arg))
	}
	p.b.WriteString("\n")
	for i, x := range blocks(text) {
		if i > 0 {
			p.b.WriteString(".IP\n")
		}
		p.fill(inline(strings.Join(x.lines, " ")))
	}
}

// longest is the longest line of a page's source, which mandoc recommends.
const longest = 80

// fill writes words in lines of a limited length.
func (p *Page) fill(text string) {
	column := 0
	for w := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
		case column+1+len(w) > longest:
			p.b.WriteString("\n")
			column = 0
		default:
			p.b.WriteString(" ")
			column++
		}
		if column == 0 {
			w = line(w)
		}
		p.b.WriteString(w)
		column += len(w)
	}
	if column > 0 {
		p.b.WriteString("\n")
	}
}

// String returns the page.
func (p *Page) String() string { return p.b.String() }

// manual returns the manual page of a program.
func manual(n *node) string {
	p := NewPage(n.Name, max(n.Section, 1), n.About)
	p.Section("SYNOPSIS")
	all := n.all()
	for i := range all {
		if x := &all[i]; x.Commands == nil {
			p.synopsis(x)
		}
	}
	if n.Text != "" {
		p.Section("DESCRIPTION")
		p.Text(n.Text)
	}
	if n.Commands != nil {
		p.Section("COMMANDS")
		for i := range all[1:] {
			x := &all[i+1]
			p.Subsection(x.name())
			p.Text(sentence(x.About) + ".")
			if x.Text != "" {
				p.b.WriteString(".PP\n")
				p.Text(x.Text)
			}
			p.flags(x)
			p.examples(x)
			if x.Exits != nil {
				p.b.WriteString(".PP\nExit status:\n")
				p.exits(x)
			}
		}
	}
	p.Section("OPTIONS")
	if n.Commands != nil {
		p.Text("Every command has the flag -h. All flags may begin with one or two hyphens.")
	}
	p.flags(n)
	if n.Examples != nil {
		p.Section("EXAMPLES")
		p.examples(n)
	}
	if len(n.Exits) > 0 {
		p.Section("EXIT STATUS")
		p.exits(n)
	}
	if len(n.Files) > 0 {
		p.Section("FILES")
		for _, f := range n.Files {
			p.Item(f.Path, "", f.Text)
		}
	}
	if len(n.SeeAlso) > 0 {
		p.Section("SEE ALSO")
		p.Text(strings.Join(n.SeeAlso, ",\n"))
	}
	return p.String()
}

// synopsis writes the forms of a command.
func (p *Page) synopsis(n *node) {
	for _, form := range n.synopsis() {
		p.b.WriteString(".HP\n")
		p.fill(`\fB` + escape(n.path) + `\fR ` + placeholders(inline(form)))
	}
}

func (p *Page) flags(n *node) {
	for _, f := range n.flagsOf() {
		p.Item("-"+f.Name, f.Arg, sentence(f.Text)+f.defaultText()+".")
	}
}

func (p *Page) exits(n *node) {
	for _, e := range n.exits() {
		p.Item(e.code(), "", sentence(e.When)+".")
	}
}

func (p *Page) examples(n *node) {
	for i, e := range n.Examples {
		if i > 0 || !n.root { // a paragraph directly below a heading is none
			p.b.WriteString(".PP\n")
		}
		p.fill(inline(sentence(e.For)) + ":")
		fmt.Fprintf(&p.b, ".PP\n.RS 4\n.nf\n%s\n.fi\n.RE\n", line(escape(e.Line)))
	}
}

// escape protects what has a meaning in roff. A hyphen is one that can be copied.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "^", `\(ha`, "~", `\(ti`, "`", `\(ga`).Replace(s)
}

// line protects a first character that would be a request.
func line(s string) string {
	if strings.HasPrefix(s, ".") {
		return `\&` + s
	}
	return s
}

var (
	flagWord = regexp.MustCompile(`(^|[\s(\["])(\\-[a-z0-9][a-z0-9]*(?:\\-[a-z0-9]+)*)\b`)
	argument = regexp.MustCompile(`(^|[\s\[|])([A-Z][A-Z0-9.:\\-]*[A-Z0-9]|[A-Z])\b`)
)

// inline escapes a line of text and sets its flags in bold.
func inline(s string) string { return flagWord.ReplaceAllString(escape(s), `$1\fB$2\fR`) }

// placeholders sets the placeholders of a synopsis in italics.
func placeholders(s string) string { return argument.ReplaceAllString(s, `$1\fI$2\fR`) }
