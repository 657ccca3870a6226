//go:build !linux

package sockets

const hasStamps = false

func refuseAnswer(*Conn, int) {}
