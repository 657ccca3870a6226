package stage

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// tree returns a process and its children.
func tree(pid int) []string {
	pids := []string{strconv.Itoa(pid)}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, f := range stats {
		b, _ := os.ReadFile(f)
		_, rest, _ := strings.Cut(string(b), ") ") // state and parent follow
		if v := strings.Fields(rest); len(v) > 1 && v[1] == pids[0] {
			pids = append(pids, filepath.Base(filepath.Dir(f)))
		}
	}
	return pids
}

// CPU is the CPU time of a process and its children, ns.
func CPU(pid int) (ns int64) {
	for _, p := range tree(pid) {
		tasks, _ := filepath.Glob("/proc/" + p + "/task/*/schedstat")
		for _, t := range tasks {
			if b, err := os.ReadFile(t); err == nil {
				var v int64
				fmt.Sscan(string(b), &v)
				ns += v
			}
		}
	}
	return ns
}

// Memory is the memory of a process and its children that no file backs, octets.
func Memory(pid int) (n int64) {
	for _, p := range tree(pid) {
		b, _ := os.ReadFile("/proc/" + p + "/status")
		_, rest, _ := strings.Cut(string(b), "RssAnon:")
		var kB int64
		fmt.Sscan(rest, &kB)
		n += kB << 10
	}
	return n
}
