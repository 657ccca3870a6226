package setup

import (
	"fmt"
	"strings"
)

// diffContext is the number of unchanged lines around a change.
const diffContext = 3

// maxDiff is the number of lines up to which lines are compared: configuration files
// are much shorter.
const maxDiff = 2000

// diff returns the differences of two texts as a unified diff, "" if there are none.
// An empty text is a file that does not exist.
func diff(name, before, after string) string {
	if before == after {
		return ""
	}
	a, b := splitLines(before), splitLines(after)
	if len(a) > maxDiff || len(b) > maxDiff {
		return fmt.Sprintf("--- %s\n+++ %s\n%d lines become %d\n", name, name, len(a), len(b))
	}
	from := name
	if before == "" {
		from = "/dev/null"
	}
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", from, name)
	edits := script(a, b)
	for i := 0; i < len(edits); {
		if edits[i].op == ' ' {
			i++
			continue
		}
		// A hunk reaches from here to the last change that is followed by enough
		// unchanged lines.
		first, last := max(0, i-diffContext), i
		for j := i; j < len(edits) && j <= last+2*diffContext; j++ {
			if edits[j].op != ' ' {
				last = j
			}
		}
		end := min(len(edits), last+diffContext+1)
		hunk(&out, edits[first:end])
		i = end
	}
	return out.String()
}

// edit is a line of a diff; a and b are its numbers in both texts, from 1.
type edit struct {
	op   byte // ' ', '-' or '+'
	a, b int
	line string
}

func hunk(out *strings.Builder, edits []edit) {
	var na, nb int
	for _, e := range edits {
		if e.op != '+' {
			na++
		}
		if e.op != '-' {
			nb++
		}
	}
	a, b := edits[0].a, edits[0].b
	if na == 0 {
		a--
	}
	if nb == 0 {
		b--
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", a, na, b, nb)
	for _, e := range edits {
		fmt.Fprintf(out, "%c%s\n", e.op, e.line)
	}
}

// script returns the shortest way from a to b, by the longest common subsequence.
func script(a, b []string) (edits []edit) {
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			edits = append(edits, edit{' ', i + 1, j + 1, a[i]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			edits = append(edits, edit{'-', i + 1, j + 1, a[i]})
			i++
		default:
			edits = append(edits, edit{'+', i + 1, j + 1, b[j]})
			j++
		}
	}
	return edits
}

// splitLines returns the lines of a text without their ends.
func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}
