//go:build !linux

package proctest

import "os/exec"

func dieWithParent(*exec.Cmd) {}

func lockThread() (unlock func()) { return func() {} }
