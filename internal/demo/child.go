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

// startChild starts a program in a process group of its own, so that a Ctrl-C
// reaches it through us, once.
func startChild(path, log string, args ...string) (*child, error) {
	f, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the child has its own
	k := &child{name: filepath.Base(path), log: log, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	k.cmd.Stdout, k.cmd.Stderr = f, f
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; build the programs first (make build)", k.name, err)
	}
	go func() {
		k.err = k.cmd.Wait()
		close(k.ended)
	}()
	return k, nil
}

// stop asks the program to end, and makes it after five seconds.
func (k *child) stop() {
	k.once.Do(func() {
		k.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-k.ended:
		case <-time.After(5 * time.Second):
			k.cmd.Process.Kill()
			<-k.ended
		}
	})
}

// said returns the end of what the program wrote.
func (k *child) said() []byte {
	b, err := os.ReadFile(k.log)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return b[max(0, len(b)-4096):]
}
