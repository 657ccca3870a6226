//go:build !unix

package durable

import "os"

func keepOwner(*os.File, os.FileInfo) error { return nil }

func identityOf(os.FileInfo) identity       { return identity{} }
func openNow(path string) (*os.File, error) { return os.Open(path) }
func openOwn(path string) (*os.File, error) { return os.Open(path) }
