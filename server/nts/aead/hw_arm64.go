//go:build !purego

package aead

import "golang.org/x/sys/cpu"

// haveHW: the assembly uses the AES and PMULL extensions.
var haveHW = cpu.ARM64.HasAES && cpu.ARM64.HasPMULL
