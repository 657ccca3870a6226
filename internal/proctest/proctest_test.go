package proctest

import (
	"bufio"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

func TestMain(m *testing.M) { os.Exit(Main(m, program)) }

// program is what Self runs in these tests: it echoes its input's lines, ends
// with 3 at the end of the input, and ignores or obeys SIGTERM.
func program() int {
	switch os.Args[1] {
	case "echo":
		fmt.Fprintln(os.Stderr, "ready")
		for in := bufio.NewScanner(os.Stdin); in.Scan(); {
			fmt.Println(in.Text())
		}
		return 3
	case "wait":
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("waiting")
		<-term
		fmt.Println("stopping")
	}
	return 0
}

func TestRunReturnsOutputAndExitCode(t *testing.T) {
	t.Parallel()
	cmd := Self(t, "echo")
	cmd.Stdin = strings.NewReader("a\nb\n")
	if out, errs, code := RunCmd(t, cmd); out != "a\nb\n" || errs != "ready\n" || code != 3 {
		t.Errorf("wrote %q and %q, exit code %d", out, errs, code)
	}
}

func TestStopEndsTheProgramOnce(t *testing.T) {
	t.Parallel()
	p := StartCmd(t, Self(t, "wait"))
	p.WaitFor(t, "waiting\n")
	select {
	case <-p.Ended():
		t.Fatal("it has ended by itself")
	default:
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Errorf("ended with %v", err)
		}
	}
	if out := p.WaitForAfter(t, len("waiting\n"), "stopping"); out != "waiting\nstopping\n" {
		t.Errorf("wrote %q", out)
	}
}

func TestUntilSeesTheCondition(t *testing.T) {
	t.Parallel()
	p := StartCmd(t, Self(t, "wait"))
	n := 0
	Until(t, "it was asked three times", func() bool { n++; return n == 3 }, p)
}
