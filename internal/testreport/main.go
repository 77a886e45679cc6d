// Command testreport runs go test and ends with how many tests ran, failed and were skipped, and why:
//
//	go run ./internal/testreport ./...
//
// Its arguments are those of go test. What it prints is go test's own, without -v: the output of tests that failed, and the
// line of each package. Then come the reasons for which tests were skipped, each with its count, and last the totals, in which
// a subtest counts as a test.
//
// With DPO_ORT_NEED_SHARED=1 a test that was skipped for want of shared data counts as a failure: the data is there, so the
// test should have found it. The exit code is go test's; 1 where only that rule was broken.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	code, err := run(os.Args[1:], os.Stdout, os.Getenv("DPO_ORT_NEED_SHARED") == "1")
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		code = 1
	}
	os.Exit(code)
}

func run(args []string, out io.Writer, needShared bool) (int, error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, fmt.Errorf("run go test: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return 1, fmt.Errorf("run go test: %w", err)
	}
	r := newReport(out)
	readErr := r.read(events)
	err = cmd.Wait()
	out.Write(stderr.Bytes())
	lost := r.summary(needShared)

	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return max(exit.ExitCode(), 1), nil
	case err != nil:
		return 1, fmt.Errorf("run go test: %w", err)
	case readErr != nil:
		return 1, readErr
	case lost > 0:
		return 1, nil
	}
	return 0, nil
}
