package dpo

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"

	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// parseMemory reads what --memory says: a size such as 8GiB or 4.1GB, or a share of the device's memory such as 60%: of the machine's, or
// of what is free on a GPU.
func parseMemory(text string, d ort.Device) (bytes int64, err error) {
	if share, ok := strings.CutSuffix(text, "%"); ok {
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return 0, fmt.Errorf("%q is no share of memory between 0%% and 100%%", text)
		}
		total, err := deviceMemory(d)
		if err != nil {
			return 0, fmt.Errorf("how much memory there is, of which %s, is not known: %w (give a size, such as 8GiB)", text, err)
		}
		return int64(percent / 100 * float64(total)), nil
	}
	n, err := humanize.ParseBytes(text)
	if err != nil || n == 0 || n > 1<<62 {
		return 0, fmt.Errorf("%q is no amount of memory: write 8GiB, 4.1GB or 60%%", text)
	}
	return int64(n), nil
}

// reach is an error where a GPU is not there.
func reach(d ort.Device) error {
	if d.OnHost() {
		return nil
	}
	_, _, err := d.Memory()
	return err
}

func deviceMemory(d ort.Device) (uint64, error) {
	if d.OnHost() {
		return machineMemory()
	}
	free, _, err := d.Memory()
	return uint64(free), err
}

// machineMemory is what this process may use: the control group's limit, or all that there is.
func machineMemory() (uint64, error) {
	total, err := memlimit.FromSystem()
	if group, groupErr := memlimit.FromCgroup(); groupErr == nil && (err != nil || group < total) {
		return group, nil
	}
	return total, err
}

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

// heldMemory is what the process holds now, in bytes: memory of its own, and pages of files that it has mapped, which the
// system takes back when it needs them. Both are 0 where the system does not say.
func heldMemory() (anonymous, mapped int64) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "RssAnon:":
			anonymous = kilobytes << 10
		case "RssFile:":
			mapped = kilobytes << 10
		}
	}
	return anonymous, mapped
}

// takenOf is how much of a GPU's memory is taken; 0 of the CPU, and where it is not known.
func takenOf(d ort.Device) int64 {
	if d.OnHost() {
		return 0
	}
	free, total, err := d.Memory()
	if err != nil {
		return 0
	}
	return total - free
}
