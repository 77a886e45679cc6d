package dpo

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/dpo-ort/dpo-ort/runtime/engine"
	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// Offloads lists what can be left in the host's memory.
func Offloads() []string {
	return []string{string(engine.OffloadStates), string(engine.OffloadParameters)}
}

// checkOffload refuses what is none of these, and what cannot be offloaded from a device.
func checkOffload(offload string, of []string, d ort.Device) error {
	if offload == "" {
		return nil
	}
	if err := OneOf("offload", offload, of); err != nil {
		return err
	}
	if d.OnHost() {
		return Usage("offload %s is for a GPU (--device cuda:0): on the CPU all is in the host's memory", offload)
	}
	return nil
}

// checkHost refuses to offload more than this process may use, beside what it holds.
func checkHost(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	own, _ := heldMemory()
	bytes += own + sessionsMemory
	have, err := machineMemory()
	if err != nil || bytes <= int64(have) {
		return nil // what is not known cannot be held against it
	}
	return fmt.Errorf("what --offload leaves in the host's memory takes %s with the program, and there are %s: take an adapter, or another --optimizer",
		humanize.IBytes(uint64(bytes)), humanize.IBytes(have))
}
