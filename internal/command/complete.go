package command

import (
	"fmt"
	"strings"
)

// Completions read the words before the cursor, find the command that they name,
// and offer its commands, its flags, or the values of the flag before the cursor.

// values says what a shell offers for a placeholder.
type values struct {
	words []string // these
	files bool     // files
	hosts bool     // names of hosts
}

func valuesOf(arg string) values {
	switch {
	case strings.Contains(arg, "HOST"):
		return values{hosts: true}
	case isPath(arg):
		return values{files: true}
	case strings.Contains(arg, "|"):
		return values{words: strings.Split(arg, "|")}
	}
	return values{}
}

// arguments returns what the arguments behind the flags are.
func (n *node) arguments() values {
	text := n.Args
	if n.Usage != nil {
		text = outside(strings.Join(n.Usage, " "))
	}
	if v := valuesOf(text); v.files || v.hosts {
		return v
	}
	return values{}
}

// outside removes bracketed parts and the values of flags from a synopsis.
func outside(form string) string {
	var keep []string
	var flag bool
	for _, w := range bracketed(form) {
		switch {
		case strings.HasPrefix(w, "["):
		case strings.HasPrefix(w, "-"):
			flag = true
			continue
		case !flag:
			keep = append(keep, w)
		}
		flag = false
	}
	return strings.Join(keep, " ")
}

// words returns the names of the commands.
func (n *node) words() []string {
	var list []string
	for _, x := range n.Commands {
		list = append(list, x.Name)
	}
	return list
}

// function makes the name of a shell function.
func function(name string) string { return "_" + strings.ReplaceAll(name, "-", "_") }

// bash returns the completion for bash.
func bash(n *node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s for bash, written by %s -document bash.\n", n.Name, n.Name)
	fmt.Fprintf(&b, "%s() {\n", function(n.Name))
	b.WriteString(`  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} path=` + n.Name + ` i
  COMPREPLY=()
  prev=${prev/#--/-}
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$path ${COMP_WORDS[i]}" in
`)
	all := n.all()
	for _, x := range all[1:] {
		fmt.Fprintf(&b, "      '%s') path='%s' ;;\n", x.path, x.path)
	}
	b.WriteString("    esac\n  done\n  case $path in\n")
	for i := range all {
		bashCase(&all[i], &b)
	}
	b.WriteString("  esac\n}\n")
	fmt.Fprintf(&b, "complete -F %s %s\n", function(n.Name), n.Name)
	return b.String()
}

func bashCase(n *node, b *strings.Builder) {
	fmt.Fprintf(b, "    '%s')\n      case $prev in\n", n.path)
	names := []string{"-h"}
	for _, f := range n.flagsOf() {
		names = append(names, "-"+f.Name)
		if f.Arg != "" && f.Type != "switch" {
			fmt.Fprintf(b, "        -%s) %s; return ;;\n", f.Name, bashReply(valuesOf(f.Arg)))
		}
	}
	fmt.Fprintf(b, "      esac\n      case $cur in\n        -*) mapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\") ;;\n", strings.Join(names, " "))
	fmt.Fprintf(b, "        *) %s ;;\n      esac\n      ;;\n", bashReply(n.offers()))
}

// offers returns what stands behind the flags.
func (n *node) offers() values {
	if n.Commands != nil {
		return values{words: n.words()}
	}
	return n.arguments()
}

func bashReply(v values) string {
	switch {
	case v.files:
		return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$cur")`
	case v.hosts:
		return `mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")`
	case len(v.words) > 0:
		return `mapfile -t COMPREPLY < <(compgen -W '` + strings.Join(v.words, " ") + `' -- "$cur")`
	}
	return ":"
}

// zsh returns the completion for zsh.
func zsh(n *node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# Completion of %s for zsh, written by %s -document zsh.\n\n", n.Name, n.Name, n.Name)
	zshFunction(n, &b)
	fmt.Fprintf(&b, "%s \"$@\"\n", zshName(n.path))
	return b.String()
}

func zshName(path string) string {
	return "_" + strings.NewReplacer(" ", "_", "-", "_").Replace(path)
}

func zshFunction(n *node, b *strings.Builder) {
	for i := range n.Commands {
		sub := n.below(&n.Commands[i])
		zshFunction(&sub, b)
	}
	fmt.Fprintf(b, "%s() {\n", zshName(n.path))
	if n.Commands != nil {
		b.WriteString("  local line state\n")
	}
	b.WriteString("  _arguments -S \\\n    '-h[show the options]'")
	for _, f := range n.flagsOf() {
		text := zshText(f.Text)
		if f.Type == "switch" {
			fmt.Fprintf(b, " \\\n    '-%s[%s]'", f.Name, text)
		} else {
			fmt.Fprintf(b, " \\\n    '*-%s[%s]:%s:%s'", f.Name, text, zshText(f.Arg), zshAction(valuesOf(f.Arg)))
		}
	}
	switch v := n.offers(); {
	case n.Commands != nil:
		b.WriteString(" \\\n    '1: :->command' '*:: :->rest'\n  case $state in\n    command)\n      local -a commands=(")
		for _, x := range n.Commands {
			fmt.Fprintf(b, "\n        '%s:%s'", x.Name, zshText(x.About))
		}
		b.WriteString("\n      )\n      _describe command commands\n      ;;\n    rest)\n      case $line[1] in\n")
		for i := range n.Commands {
			sub := n.below(&n.Commands[i])
			fmt.Fprintf(b, "        %s) %s ;;\n", sub.Name, zshName(sub.path))
		}
		b.WriteString("      esac\n      ;;\n  esac\n")
	case v.files || v.hosts:
		fmt.Fprintf(b, " \\\n    '*:argument:%s'\n", zshAction(v))
	default:
		b.WriteString("\n")
	}
	b.WriteString("}\n\n")
}

// zshText protects a description within single quotes.
func zshText(s string) string {
	return strings.NewReplacer(`\`, `\\`, "'", `'\''`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

func zshAction(v values) string {
	switch {
	case v.files:
		return "_files"
	case v.hosts:
		return "_hosts"
	case len(v.words) > 0:
		return "(" + strings.Join(v.words, " ") + ")"
	}
	return " "
}

// fish returns the completion for fish.
func fish(n *node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Completion of %s for fish, written by %s -document fish.\n", n.Name, n.Name)
	fmt.Fprintf(&b, "complete -c %s -f\n", n.Name)
	for _, x := range n.all() {
		fishLines(&x, &b)
	}
	return b.String()
}

// fishLines writes what is offered behind the command.
func fishLines(n *node, b *strings.Builder) {
	program, name, _ := strings.Cut(n.path, " ")
	when := "true"
	for w := range strings.FieldsSeq(name) {
		when += "; and __fish_seen_subcommand_from " + w
	}
	if n.Commands != nil {
		when += "; and not __fish_seen_subcommand_from " + strings.Join(n.words(), " ")
	}
	add := func(rest string) { fmt.Fprintf(b, "complete -c %s -n '%s' %s\n", program, when, rest) }
	for _, x := range n.Commands {
		add("-a " + x.Name + " -d '" + fishText(x.About) + "'")
	}
	for _, f := range n.flagsOf() {
		flag := "-o " + f.Name
		if len(f.Name) == 1 {
			flag = "-s " + f.Name
		}
		if f.Type != "switch" {
			flag += " " + fishValues(valuesOf(f.Arg))
		}
		add(flag + " -d '" + fishText(f.Text) + "'")
	}
	switch v := n.offers(); {
	case v.files:
		add("-F")
	case v.hosts:
		add("-a '(__fish_print_hostnames)'")
	}
}

func fishText(s string) string { return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) }

func fishValues(v values) string {
	switch {
	case v.files:
		return "-r -F"
	case v.hosts:
		return "-x -a '(__fish_print_hostnames)'"
	case len(v.words) > 0:
		return "-x -a '" + strings.Join(v.words, " ") + "'"
	}
	return "-x"
}
