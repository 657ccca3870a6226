package command

import (
	"flag"
	"strconv"
	"strings"
	"time"
)

// described is a flag as documents show it.
type described struct {
	Name    string
	Arg     string // placeholder of its value; empty: it has none
	Type    string
	Default string // empty: none, or not worth a word
	Text    string
}

// isPath reports whether a placeholder names a file or folder.
func isPath(arg string) bool {
	for _, s := range [...]string{"FILE", "DIR", "PATH", "RECORDING"} {
		if strings.Contains(arg, s) {
			return true
		}
	}
	return false
}

// flagsOf returns the flags of a command in alphabetical order.
func (n *node) flagsOf() []described {
	fl, _, _ := n.flags(discard())
	var list []described
	fl.VisitAll(func(f *flag.Flag) { list = append(list, describe(f)) })
	return list
}

func describe(f *flag.Flag) described {
	d := described{Name: f.Name, Type: "text", Default: f.DefValue}
	d.Arg, d.Text = flag.UnquoteUsage(f)
	if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() {
		d.Type = "switch"
		if d.Default == "false" {
			d.Default = ""
		} else {
			d.Arg = "true|false"
		}
		return d
	}
	if g, ok := f.Value.(flag.Getter); ok {
		switch v := g.Get().(type) {
		case time.Duration:
			d.Type, d.Default = "duration", shortDuration(v)
		case int, int64, uint, uint64:
			d.Type = "whole number"
		case float64:
			d.Type = "number"
		}
	}
	switch d.Arg {
	case "int", "uint", "float":
		d.Arg = "N"
	case "duration":
		d.Arg = "D"
	case "string", "value":
		d.Arg = strings.ToUpper(d.Name)
	}
	if d.Default == "0" || d.Default == "0s" {
		d.Default = ""
	}
	return d
}

// shortDuration writes a duration without parts that are zero: 24h, not 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// synopsis returns the forms of the command without its path.
func (n *node) synopsis() []string {
	switch {
	case n.Usage != nil:
		return n.Usage
	case n.Commands != nil && n.root:
		return []string{"COMMAND [OPTIONS]"}
	case n.Commands != nil:
		var forms []string
		for i := range n.Commands {
			sub := n.below(&n.Commands[i])
			for _, form := range sub.synopsis() {
				forms = append(forms, strings.TrimRight(sub.Name+" "+form, " "))
			}
		}
		return forms
	}
	var words []string
	for _, f := range n.flagsOf() {
		if n.root && (f.Name == "version" || f.Name == "document") {
			continue
		}
		if f.Arg == "" {
			words = append(words, "[-"+f.Name+"]")
		} else {
			words = append(words, "[-"+f.Name+" "+f.Arg+"]")
		}
	}
	if n.Args != "" {
		words = append(words, n.Args)
	}
	return []string{strings.Join(words, " ")}
}

// exits returns the exit codes with their meanings, success included.
func (n *node) exits() []Exit {
	var list []Exit
	for _, e := range n.exit {
		if e.When == "" {
			e = Exits(e.Code)[0]
		}
		list = append(list, e)
	}
	return list
}

// code is an exit code as text.
func (e *Exit) code() string { return strconv.Itoa(e.Code) }
