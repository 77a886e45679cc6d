//go:build !unix

package dpo

import "os/exec"

// shell is a command that the system's interpreter runs.
func shell(command string) *exec.Cmd { return exec.Command("cmd", "/C", command) }

// killGroup ends a command.
func killGroup(cmd *exec.Cmd) { _ = cmd.Process.Kill() }
