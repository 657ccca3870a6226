//go:build !purego

package aead

import "golang.org/x/sys/cpu"

// haveHW: the assembly uses AES-NI, PCLMULQDQ and SSSE3 instructions in their
// three-operand form, hence AVX.
var haveHW = cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ && cpu.X86.HasAVX
