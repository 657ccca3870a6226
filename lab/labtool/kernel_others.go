//go:build !linux

package main

func kernelLeap() string { return "unknown" }
