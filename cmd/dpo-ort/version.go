package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dpo-ort/dpo-ort/runtime/ort"
)

// The template asks only when --version is given: finding out loads ONNX Runtime.
func init() { cobra.AddTemplateFunc("versions", versions) }

// version is the module's, which names the commit where it is no release.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return strings.Trim(info.Main.Version, "()")
	}
	return "unknown"
}

// buildSetting is a setting that the program was built with; "" where it is not known.
func buildSetting(key string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == key {
				return s.Value
			}
		}
	}
	return ""
}

// versions lists what the program is made of.
func versions() string {
	runs, err := ort.Version()
	if err != nil {
		runs = err.Error()
	}
	return fmt.Sprintf("dpo-ort      %s\nonnxruntime  %s\ntokenizers   %s\ngo           %s\n",
		version(), runs, moduleVersion("github.com/daulet/tokenizers"), runtime.Version())
}

// moduleVersion is that of a module that is linked in.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return m.Version
			}
		}
	}
	return "unknown"
}
