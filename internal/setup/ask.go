package setup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ErrNoAnswer means that the input ended before a question was answered.
var ErrNoAnswer = errors.New("the input ended before the question was answered")

// Prompt asks people. Its methods return ErrNoAnswer when the input ends.
type Prompt struct {
	in  *bufio.Reader
	out io.Writer
}

// NewPrompt returns a prompt that reads from in.
func NewPrompt(in io.Reader, out io.Writer) *Prompt { return &Prompt{bufio.NewReader(in), out} }

// Ask asks a question until its answer can be used. An empty answer is the value that
// is there.
func (p *Prompt) Ask(q Question) error {
	fmt.Fprintf(p.out, "\n%s\n", q.Title)
	for i, o := range q.Options {
		fmt.Fprintf(p.out, "  %d  %s\n", i+1, o)
	}
	for {
		fmt.Fprintf(p.out, "[%s] ", *q.Value)
		answer, err := p.line()
		if err != nil {
			return err
		}
		if answer == "" {
			return nil
		}
		if n, err := strconv.Atoi(answer); err == nil && n >= 1 && n <= len(q.Options) {
			answer, _, _ = strings.Cut(q.Options[n-1], "  ")
		}
		if err := q.check(answer); err != nil {
			fmt.Fprintln(p.out, err)
			continue
		}
		*q.Value = answer
		return nil
	}
}

// Yes asks a question whose answer is no unless it is yes.
func (p *Prompt) Yes(question string) (bool, error) {
	fmt.Fprintf(p.out, "\n%s [no] ", question)
	answer, err := p.line()
	return strings.EqualFold(answer, "yes") || strings.EqualFold(answer, "y"), err
}

func (p *Prompt) line() (string, error) {
	s, err := p.in.ReadString('\n')
	if err != nil && s == "" {
		return "", ErrNoAnswer
	}
	return strings.TrimSpace(s), nil
}
