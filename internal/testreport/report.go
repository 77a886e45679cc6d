package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strings"
)

// event is one line of go test -json (see go doc test2json).
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// report follows the events of a run.
type report struct {
	out    io.Writer
	output map[string]*strings.Builder // of tests still running, by package and test
	passed int
	failed int
	broken map[string]bool // packages in which a test failed
	reason map[string]int  // why tests were skipped
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[string]*strings.Builder{}, broken: map[string]bool{}, reason: map[string]int{}}
}

// read takes events until the stream ends. A line that is no event is printed as it is.
func (r *report) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadString('\n')
		var e event
		if line != "" && json.Unmarshal([]byte(line), &e) == nil {
			r.event(e)
		} else {
			io.WriteString(r.out, line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the output of go test: %w", err)
		}
	}
}

func (r *report) event(e event) {
	key := e.Package + " " + e.Test
	switch {
	case e.Action == "output" && e.Test != "":
		if r.output[key] == nil {
			r.output[key] = new(strings.Builder)
		}
		r.output[key].WriteString(e.Output)
	case e.Action == "output" && e.Output == "PASS\n":
		// go test prints it with -v only, which -json implies.
	case e.Action == "output", e.Action == "build-output":
		io.WriteString(r.out, e.Output)
	case e.Test != "":
		r.ended(e, key)
	case e.Action == "fail" && !r.broken[e.Package]:
		r.failed++ // a package that does not build, or fails outside its tests
	}
}

// ended counts a test that has its result.
func (r *report) ended(e event, key string) {
	var output string
	if b := r.output[key]; b != nil {
		output = b.String()
	}
	switch e.Action {
	case "pass":
		r.passed++
	case "fail":
		r.failed++
		r.broken[e.Package] = true
		io.WriteString(r.out, running.ReplaceAllString(output, ""))
	case "skip":
		r.reason[skipReason(output)]++
	default:
		return
	}
	delete(r.output, key)
}

var (
	running = regexp.MustCompile(`(?m)^=== (RUN|PAUSE|CONT|NAME) .*\n`)
	logged  = regexp.MustCompile(`^\s*\S+\.go:\d+: (.*)`)
)

// skipReason finds the last thing that a skipped test said.
func skipReason(output string) string {
	reason := "no reason given"
	for line := range strings.SplitSeq(output, "\n") {
		if m := logged.FindStringSubmatch(line); m != nil {
			reason = m[1]
		}
	}
	return reason
}

// summary prints the reasons and the totals. It gives the number of tests that were skipped although their data is there.
func (r *report) summary(needShared bool) (lost int) {
	// A test without a result was cut off, by a panic or a time-out.
	for _, key := range sortedKeys(r.output) {
		r.failed++
		io.WriteString(r.out, running.ReplaceAllString(r.output[key].String(), ""))
		fmt.Fprintf(r.out, "--- FAIL: %s: ended without a result\n", key)
	}
	skipped := 0
	fmt.Fprintln(r.out)
	for _, reason := range sortedKeys(r.reason) {
		skipped += r.reason[reason]
		fmt.Fprintf(r.out, "skipped %d: %s\n", r.reason[reason], reason)
		if needShared && strings.Contains(reason, "shared/") {
			lost += r.reason[reason]
		}
	}
	if lost > 0 {
		fmt.Fprintf(r.out, "FAIL: %d tests were skipped for want of shared data, which is there (DPO_ORT_NEED_SHARED=1)\n", lost)
	}
	fmt.Fprintf(r.out, "%d passed, %d failed, %d skipped\n", r.passed, r.failed+lost, skipped-lost)
	return lost
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
