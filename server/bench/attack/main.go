// Command attack loads ntsserve and chronyd as attackers do, one after the other, and
// shows what becomes of honest clients, memory and processor time.
//
//	make bench-attack          (as root; needs ip)
//
// Everything happens on loopback in a network namespace of its own. Each load is
// bounded in number and time. Sources are addresses that only this namespace has.
// Attackers, clients and server share the machine's processors, and so do other
// programs on it: compare the columns of one row, not rows or runs. It ends with exit
// code 1, after the table is written, if something that must hold did not.
package main

import (
	"flag"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"noonmark/internal/machine"
	"noonmark/server/bench/stage"
)

type options struct {
	top, bin, out, rows string
	rounds              int
	dur                 time.Duration
}

func main() {
	var o options
	as := flag.String("as", "", "internal: part of the benchmark that this process is")
	kind := flag.String("kind", "", "internal: kind of load")
	rate := flag.Float64("rate", 0, "internal: rate of load or probe, 1/s")
	to := flag.String("to", "", "internal: address of the server")
	settings := flag.String("config", "", "internal: file of the server in one process")
	flag.StringVar(&o.top, "top", "../..", "root of the project")
	flag.StringVar(&o.bin, "bin", "", "ntsserve to measure (default: built from the tree)")
	flag.StringVar(&o.out, "o", "", "write the table to this file too")
	flag.StringVar(&o.rows, "rows", "", "only rows whose name contains this text, and the last table if its text does")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of what varies: latency and processor time")
	flag.DurationVar(&o.dur, "d", time.Second, "length of a round")
	flag.Parse()
	var err error
	switch *as {
	case "probe":
		err = probe(netip.MustParseAddrPort(*to), *rate, o.dur)
	case "load":
		err = load(*kind, *rate, o.dur)
	case "one-process":
		err = oneProcess(*settings)
	case "inside":
		err = inside(o)
	default:
		err = outside()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-attack:", err)
		os.Exit(1)
	}
}

const heading = `# The server under attack: results

` + "`make bench-attack`" + ` writes this file. Do not edit it. Attackers, clients, server and the rest of the machine share its processors:
compare the columns of one row. The load average shows what else the machine did.

- Honest clients do one NTS-KE exchange each, 150 ms apart, and wait 5 s at most.
- NTP round trips are those of 400 requests a second. Of each round, the table has the 99th percentile.
- A load that is given is what came about: attackers wait for a server, and for a processor.
- Memory is what no file backs, of all processes of the server.

`

// outside runs this program in a new network namespace.
func outside() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("needs root, for a network namespace and chronyd")
	}
	c := exec.Command("/proc/self/exe", append([]string{"-as", "inside"}, os.Args[1:]...)...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return c.Run()
}

func inside(o options) error {
	runtime.LockOSThread() // the processes that it starts end with the thread
	for _, a := range []string{"link set lo up", "-6 route add local " + sources.String() + " dev lo"} {
		if out, err := exec.Command("ip", strings.Fields(a)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", a, err, out)
		}
	}
	dir, err := os.MkdirTemp("", "noonmark-attack")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := contestants(o, dir)
	if err != nil {
		return err
	}
	stop, err := stage.Publish(dir+"/status", time.Second)
	if err != nil {
		return err
	}
	defer stop()
	var b strings.Builder
	fmt.Fprintf(&b, "Rounds: %d of %v where a row varies, medians; %s. Machine: %s.", o.rounds, o.dur, time.Now().UTC().Format(time.DateOnly), machine.Describe())
	for _, c := range list {
		fmt.Fprintf(&b, " %s: %s.", c.name, c.version)
	}
	b.WriteString("\n\n| attack | figure | ntsserve | chronyd | must hold | held |\n|---|---|---|---|---|---|\n")
	missed := 0
	for _, r := range rows() {
		if !strings.Contains(r.name, o.rows) {
			continue
		}
		line, held, err := r.measure(o, list)
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		fmt.Fprint(os.Stderr, line)
		b.WriteString(line)
		if !held {
			missed++
		}
	}
	if strings.Contains(comparedHeading, o.rows) {
		table, err := compare(o, list[0], dir+"/usual.toml")
		if err != nil {
			return err
		}
		b.WriteString(table)
	}
	fmt.Print(b.String())
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(heading+b.String()), 0o644); err != nil {
			return err
		}
	}
	if missed > 0 {
		return fmt.Errorf("rows that did not hold: %d; see NO in the table", missed)
	}
	return nil
}
