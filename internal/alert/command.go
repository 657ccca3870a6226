package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// command runs a program for each notice, without a shell: JSON on standard input,
// the main fields as NOONMARK_STATUS, NOONMARK_CONDITION and so on in the environment.
type command struct{ args []string }

// killAfter is how long a program that was asked to end may take.
const killAfter = 2 * time.Second

func (c *command) send(ctx context.Context, n *Notice) error {
	in, err := json.Marshal(n)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Stdin, cmd.WaitDelay = bytes.NewReader(append(in, '\n')), killAfter
	cmd.Env = append(os.Environ(),
		"NOONMARK_STATUS="+n.Status, "NOONMARK_CONDITION="+n.Condition, "NOONMARK_INSTANCE="+n.Instance, "NOONMARK_HOST="+n.Host,
		"NOONMARK_SINCE="+n.Since.Format(time.RFC3339), "NOONMARK_SUMMARY="+n.Summary, "NOONMARK_REMEDY="+n.Remedy, "NOONMARK_ID="+n.ID)
	out := &limited{left: 300}
	cmd.Stdout, cmd.Stderr = out, out
	// With ErrWaitDelay it ended well: a process that it left has its output, or this machine is busy.
	if err := cmd.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return fmt.Errorf("run %s: %w: %s", c.args[0], err, strings.TrimSpace(out.String()))
	}
	return nil
}

// limited keeps the first octets of an output.
type limited struct {
	bytes.Buffer
	left int
}

// Write implements io.Writer.
func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	l.Buffer.Write(b[:n])
	return len(b), nil
}
