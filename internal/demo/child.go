package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// child is a running program whose output goes to a file.
type child struct {
	name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
	once  sync.Once
}

// startChild starts a program in a process group of its own: Ctrl-C reaches demo
// only, which then stops its children.
func startChild(path, log string, args ...string) (*child, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the program has a descriptor of its own
	c := &child{name: filepath.Base(path), log: log, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = f, f
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; build the programs first (make build)", c.name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// stopTimeout is how long a program may take to end when asked.
const stopTimeout = 5 * time.Second

// stop asks the program to end, and kills it after stopTimeout.
func (c *child) stop() {
	c.once.Do(func() {
		c.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-c.ended:
		case <-time.After(stopTimeout):
			c.cmd.Process.Kill()
			<-c.ended
		}
	})
}

// output returns the end of what the program wrote.
func (c *child) output() []byte {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return b[max(0, len(b)-4096):]
}
