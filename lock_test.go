package dporot_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	pinned = regexp.MustCompile(`^([A-Za-z0-9_.-]+)==(\S+)`)
	digest = regexp.MustCompile(`^ +--hash=sha256:[0-9a-f]{64}( \\)?$`)
)

// pythonLock reads the versions of a lock, and says what in it has no digest.
func pythonLock(name, text string) (versions map[string]string, problems []string) {
	versions = map[string]string{}
	last, digests := "", 0
	end := func() {
		if last != "" && digests == 0 {
			problems = append(problems, name+": "+last+" has no digest")
		}
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch m := pinned.FindStringSubmatch(line); {
		case m != nil:
			end()
			last, digests = m[1], 0
			versions[strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))] = m[2]
		case digest.MatchString(line):
			digests++
		case !strings.HasPrefix(line, "#"):
			problems = append(problems, name+": what is "+line)
		}
	}
	end()
	return versions, problems
}

// TestPythonLocks: what scripts install for Python is locked by digest, in the versions that scripts/golden pins.
func TestPythonLocks(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pins := map[string]string{}
	for line := range strings.Lines(read("scripts/golden/requirements.txt")) {
		if m := pinned.FindStringSubmatch(line); m != nil {
			pins[strings.ToLower(m[1])] = m[2]
		}
	}
	older := []string{"transformers", "tokenizers"} // Optimum asks for
	for lock, all := range map[string]bool{"scripts/golden/requirements.lock": true, "scripts/interop.lock": false, "scripts/interop-onnx.lock": false,
		"scripts/onnx-backend.lock": false} {
		versions, problems := pythonLock(lock, read(lock))
		for _, p := range problems {
			t.Error(p)
		}
		if len(versions) < 4 {
			t.Errorf("%s locks %d packages", lock, len(versions))
		}
		for name, version := range pins {
			if lock == "scripts/interop-onnx.lock" && slices.Contains(older, name) {
				continue
			}
			if has := versions[name]; has != version && (all || has != "") {
				t.Errorf("%s has %s %q, scripts/golden pins %s", lock, name, has, version)
			}
		}
	}
}

func TestPythonLockCatches(t *testing.T) {
	hash := "    --hash=sha256:" + strings.Repeat("a", 64) + "\n"
	for text, want := range map[string]string{"a==1 \\\n" + hash: "", "a==1\nb==2 \\\n" + hash: "lock: a has no digest", "a==1 \\\n" + hash + "b==2\n": "lock: b has no digest", "a>=1\n": "lock: what is a>=1"} {
		_, problems := pythonLock("lock", text)
		if got := strings.Join(problems, "; "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
