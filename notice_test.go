package dporot_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestNotice: each module that go.mod requires is named in NOTICE, with its licence, and nothing that has gone is.
func TestNotice(t *testing.T) {
	required := modules(t, "go.mod", `(?m)^\s+(\S+) v\d`)
	named := modules(t, "NOTICE", `(?m)^  ([a-z.]+\.[a-z]+/\S+) +[A-Z]`)
	for m := range required {
		if !named[m] {
			t.Errorf("NOTICE does not name %s, which go.mod requires", m)
		}
	}
	for m := range named {
		if !required[m] {
			t.Errorf("NOTICE names %s, which go.mod does not require", m)
		}
	}
}

var majorVersion = regexp.MustCompile(`/v\d+$`)

func modules(t *testing.T, file, pattern string) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
		found[strings.TrimSpace(majorVersion.ReplaceAllString(m[1], ""))] = true
	}
	if len(found) == 0 {
		t.Fatalf("%s names no module", file)
	}
	return found
}
