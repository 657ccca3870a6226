//go:build !linux

package server

const hasStamps = false
