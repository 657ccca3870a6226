//go:build !linux

package main

import "errors"

func become(int, int) error { return errors.ErrUnsupported }

func shed(bool) (string, error) { return "as they were", nil }

func privileged(port uint16) bool { return port < 1024 }
