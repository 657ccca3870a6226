// Package cli holds no code, only tests: scripts in testdata/script run the real
// programs and check what they print and their exit codes.
//
// A script is a txtar archive of commands and files, as the package testscript
// describes it. The programs are in PATH. The command
//
//	exit CODE PROGRAM ARGS...
//
// runs a program, which must end with that code; stdout and stderr then match
// what it printed.
package cli
