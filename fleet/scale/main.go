// Command scale measures what etcd carries for a fleet: many agents, each with the
// connection, the health endpoint and the keeper of the configuration of a node, and one
// etcd in a process of its own, which waits for its disc. It writes a table, and what
// follows for a larger fleet.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"noonmark/internal/durable"
	"noonmark/internal/exitcode"
	"noonmark/internal/machine"
)

// Exit code when an agent does not get all roots.
const exitFailed = 1

// settleLimit is how long all agents may take to hold the first roots.
const settleLimit = 5 * time.Minute

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	fl := flag.NewFlagSet("scale", flag.ContinueOnError)
	fl.SetOutput(stderr)
	sizes := fl.String("agents", "25,50,100,200", "how many agents, one `NUMBER` a run")
	span := fl.Duration("span", 60*time.Second, "how long to count after all hold the first roots")
	out := fl.String("o", "", "`FILE` for the results; standard output unless set")
	dir := fl.String("dir", "", "`DIRECTORY` for the data of etcd; a temporary one unless set")
	serve := fl.String("etcd", "", "internal: be the etcd of a run, with its data in this `DIRECTORY`")
	if err := fl.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitcode.OK
		}
		return exitcode.Usage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if *serve != "" {
		err = serveEtcd(ctx, *serve, stdin, stdout)
	} else {
		err = measureAll(ctx, *sizes, *span, *dir, *out, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "scale:", err)
		return exitFailed
	}
	return exitcode.OK
}

func measureAll(ctx context.Context, sizes string, span time.Duration, dir, out string, stdout, progress io.Writer) error {
	var list []int
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 10_000 {
			return fmt.Errorf("-agents: %q is not a number from 1 to 10000", text)
		}
		list = append(list, n)
	}
	revision := machine.Revision() // the tree may change during the runs
	var runs []*result
	for _, n := range list {
		fmt.Fprintf(progress, "%d agents\n", n)
		r, err := measure(ctx, n, span, dir)
		if err != nil {
			return fmt.Errorf("%d agents: %w", n, err)
		}
		runs = append(runs, r)
	}
	text := report(runs, span, revision, time.Now())
	if out == "" {
		_, err := io.WriteString(stdout, text)
		return err
	}
	return durable.WriteFile(out, []byte(text), 0o644, true)
}
