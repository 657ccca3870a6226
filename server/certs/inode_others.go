//go:build !unix

package certs

import "os"

func inode(os.FileInfo) uint64 { return 0 }

func owner(*os.File, os.FileInfo) error { return nil }
