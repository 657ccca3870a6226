package appliance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Child is a running program whose output goes to a file.
type Child struct {
	Name  string
	log   string
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // valid once ended is closed
	once  sync.Once
}

// StartChild starts a program in a process group of its own: Ctrl-C reaches the demo
// only, which then stops its children.
func StartChild(path, log string, env []string, args ...string) (*Child, error) {
	f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close() // the program has a descriptor of its own
	c := &Child{Name: filepath.Base(path), log: log, cmd: exec.Command(path, args...), ended: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = f, f
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w; build the programs first (make build)", c.Name, err)
	}
	go func() {
		c.err = c.cmd.Wait()
		close(c.ended)
	}()
	return c, nil
}

// stopTimeout is how long a program may take to end when asked.
const stopTimeout = 5 * time.Second

// Stop asks the program to end, and kills it after stopTimeout.
func (c *Child) Stop() {
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

// Kill kills the program at once.
func (c *Child) Kill() {
	c.once.Do(func() {
		c.cmd.Process.Kill()
		<-c.ended
	})
}

// Signal sends a signal.
func (c *Child) Signal(s os.Signal) error { return c.cmd.Process.Signal(s) }

// Ended is closed when the program has ended.
func (c *Child) Ended() <-chan struct{} { return c.ended }

// Err is the error of its end, once Ended is closed.
func (c *Child) Err() error { return c.err }

// Output returns the end of what the program wrote.
func (c *Child) Output() []byte {
	b, err := os.ReadFile(c.log)
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	return b[max(0, len(b)-4096):]
}
