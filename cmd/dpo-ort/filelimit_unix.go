//go:build unix

package main

import (
	"os/signal"
	"syscall"
)

// A write beyond the file size limit (ulimit -f) then gives an error that names the file, instead of ending the program.
func init() { signal.Ignore(syscall.SIGXFSZ) }
