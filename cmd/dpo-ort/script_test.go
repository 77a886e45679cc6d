package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// The scripts in testdata drive the program as a user would. In them
//
//	exits N command...   runs a command that must end with exit code N; stdout and stderr then hold what it said
//	$MODEL, $PAIRS, …    are the project's tiny model and preferences
//	$LIBRARY             is ONNX Runtime without CUDA
func TestMain(m *testing.M) {
	testscript.Main(leakless{m}, map[string]func(){"dpo-ort": program, "read-hostile": readHostile})
}

// leakless are tests that no goroutine outlives, but lumberjack's, of which each log file has one for good.
type leakless struct{ tests *testing.M }

// Run gives the tests' exit code.
func (l leakless) Run() int {
	code := l.tests.Run()
	if err := goleak.Find(goleak.IgnoreTopFunction("gopkg.in/natefinch/lumberjack%2ev2.(*Logger).millRun")); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	library := os.Getenv("DPO_ORT_LIB")
	if built, err := filepath.Glob(filepath.Join(root, "build", "lib", "libonnxruntime.*")); err == nil && len(built) > 0 {
		library = built[0]
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("XDG_CACHE_HOME", filepath.Join(env.WorkDir, ".cache"))
			env.Setenv("MODEL", filepath.Join(root, "testdata/models/tiny-llama"))
			env.Setenv("PAIRS", filepath.Join(root, "testdata/pref/tiny.pairs.jsonl"))
			env.Setenv("PARQUET", filepath.Join(root, "testdata/pref/tiny.pairs.parquet"))
			env.Setenv("LIBRARY", library)
			env.Setenv("RANKED", filepath.Join(root, "testdata/pref/tiny.ranked.jsonl"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exits, "cut": cut},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// cut keeps the first half of a file.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: cut FILE")
	}
	text := ts.ReadFile(args[0])
	ts.Check(writeHalf(ts.MkAbs(args[0]), text))
}

func writeHalf(path, text string) error { return os.WriteFile(path, []byte(text[:len(text)/2]), 0o644) }
