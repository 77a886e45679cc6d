package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReport feeds the events of small runs.
func TestReport(t *testing.T) {
	const (
		ok     = `{"Action":"run","Package":"p","Test":"TestA"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestA","Output":"noise\n"}` + "\n" + `{"Action":"pass","Package":"p","Test":"TestA"}` + "\n"
		fail   = `{"Action":"output","Package":"p","Test":"TestB","Output":"=== RUN   TestB\n"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:3: bad\n"}` + "\n" + `{"Action":"fail","Package":"p","Test":"TestB"}` + "\n"
		skip   = `{"Action":"output","Package":"p","Test":"TestC","Output":"    c_test.go:9: needs shared/data/x: not present\n"}` + "\n" + `{"Action":"output","Package":"p","Test":"TestC","Output":"--- SKIP: TestC (0.00s)\n"}` + "\n" + `{"Action":"skip","Package":"p","Test":"TestC"}` + "\n"
		okEnd  = `{"Action":"output","Package":"p","Output":"PASS\n"}` + "\n" + `{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}` + "\n" + `{"Action":"pass","Package":"p"}` + "\n"
		badEnd = `{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}` + "\n" + `{"Action":"fail","Package":"p"}` + "\n"
		hung   = `{"Action":"output","Package":"p","Test":"TestD","Output":"=== RUN   TestD\n"}` + "\n"
	)
	tests := []struct {
		name, events string
		needShared   bool
		want         string
		lost         int
	}{
		{name: "passes", events: ok + okEnd, want: "ok  \tp\t0.1s\n\n1 passed, 0 failed, 0 skipped\n"},
		{name: "fails", events: ok + fail + badEnd, want: "    b_test.go:3: bad\nFAIL\tp\t0.1s\n\n1 passed, 1 failed, 0 skipped\n"},
		{name: "does not build", events: badEnd, want: "FAIL\tp\t0.1s\n\n0 passed, 1 failed, 0 skipped\n"},
		{name: "cut off", events: hung, want: "--- FAIL: p TestD: ended without a result\n\n0 passed, 1 failed, 0 skipped\n"},
		{name: "skips", events: skip + okEnd, want: "ok  \tp\t0.1s\n\nskipped 1: needs shared/data/x: not present\n0 passed, 0 failed, 1 skipped\n"},
		{name: "skips what is there", events: skip + okEnd, needShared: true, lost: 1, want: "ok  \tp\t0.1s\n\nskipped 1: needs shared/data/x: not present\n" +
			"FAIL: 1 tests were skipped for want of shared data, which is there (DPO_ORT_NEED_SHARED=1)\n0 passed, 1 failed, 0 skipped\n"},
		{name: "no event", events: "go: not JSON\n" + ok, want: "go: not JSON\n\n1 passed, 0 failed, 0 skipped\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			r := newReport(&out)
			if err := r.read(strings.NewReader(test.events)); err != nil {
				t.Fatal(err)
			}
			if lost := r.summary(test.needShared); lost != test.lost {
				t.Errorf("%d tests counted as lost, want %d", lost, test.lost)
			}
			if out.String() != test.want {
				t.Errorf("printed\n%s\nwant\n%s", &out, test.want)
			}
		})
	}
}

// TestRun runs go test itself, over a module of one passing, one failing and one skipped test.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.com/m\n\ngo 1.25\n")
	write("m_test.go", `package m

import "testing"

func TestGood(t *testing.T) {}
func TestBad(t *testing.T)  { t.Error("this is bad") }
func TestNot(t *testing.T)  { t.Skip("no reason to run") }
`)
	t.Chdir(dir)
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"."}, 1, "\n\nskipped 1: no reason to run\n1 passed, 1 failed, 1 skipped\n"},
		{[]string{"-run", "Good", "."}, 0, "\n\n1 passed, 0 failed, 0 skipped\n"},
	} {
		var out strings.Builder
		code, err := run(test.args, &out, false)
		if err != nil || code != test.code {
			t.Errorf("run %v: code %d, error %v, want code %d", test.args, code, err, test.code)
		}
		if !strings.HasSuffix(out.String(), test.want) {
			t.Errorf("run %v printed\n%s\nwant it to end in\n%s", test.args, &out, test.want)
		}
		if test.code == 1 && !strings.Contains(out.String(), "this is bad") {
			t.Errorf("run %v does not show why the test failed:\n%s", test.args, &out)
		}
	}
}
