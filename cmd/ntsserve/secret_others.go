//go:build !linux

package main

// keepSecret does nothing where the daemon is not meant to run.
func keepSecret() error { return nil }
