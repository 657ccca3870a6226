package proctest

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

// A program that was just written starts, however many other ones start meanwhile.
func TestWrittenProgramStartsBesideOthers(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("needs sh: ", err)
	}
	var others sync.WaitGroup
	over := make(chan struct{})
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					if err := exec.Command(sh, "-c", "exit 0").Run(); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	defer others.Wait()
	defer close(over)
	dir := t.TempDir()
	for i := range 200 {
		path := WriteProgram(t, filepath.Join(dir, strconv.Itoa(i)), []byte("#!"+sh+"\nexit 3\n"))
		if _, _, code := Run(t, path); code != 3 {
			t.Fatalf("program %d: exit code %d", i, code)
		}
	}
}

func TestUntilSeesTheCondition(t *testing.T) {
	t.Parallel()
	p := StartCmd(t, Self(t, "wait"))
	n := 0
	Until(t, "it was asked three times", func() bool { n++; return n == 3 }, p)
}
