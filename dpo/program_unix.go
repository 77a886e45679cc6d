//go:build unix

package dpo

import (
	"os/exec"
	"syscall"
)

// shell is a command that the shell runs, in a process group of its own: Ctrl-C in a terminal does not reach it.
func shell(command string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", command)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// killGroup ends a command and all that it started.
func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
