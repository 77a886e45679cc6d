package dpo

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// peakMemory is the most memory the process has held at once, in bytes; 0 where the system does not say.
func peakMemory() int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss << 10
}
