//go:build unix

package dpo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// judgeBy scores answers "1" to "9" by a shell script that gets $DIR, a folder of its own.
func judgeBy(ctx context.Context, t *testing.T, script string, o JudgeOptions, n int) ([]float64, error) {
	t.Helper()
	j, err := OpenJudge("command:DIR="+t.TempDir()+"\n"+script, o)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var texts []string
	for i := range n {
		texts = append(texts, fmt.Sprint(i+1))
	}
	return j.Judge(ctx, answersTo("p", texts...))
}

// Each script replies with the answer itself, and misbehaves at answer 3 or where it says.
const (
	replies = `score() { case "$line" in *'"completion":"3"'*) three;; esac; echo "$line" | sed 's/.*completion":"\([0-9]*\)".*/\1/'; }
while read -r line; do score; done`
	dies       = `three() { [ -e $DIR/once ] || { : > $DIR/once; echo oops >&2; exit 3; }; }` + "\n" + replies
	hangs      = `three() { [ -e $DIR/once ] || { : > $DIR/once; sleep 100; }; }` + "\n" + replies
	alwaysDies = `three() { echo oops >&2; exit 3; }` + "\n" + replies
	chats      = `three() { [ -e $DIR/once ] || { : > $DIR/once; echo loading; }; }` + "\n" + replies
)

// A program that dies, hangs or chats once is started again, and nothing is lost.
func TestProgramIsStartedAgain(t *testing.T) {
	want := []float64{1, 2, 3, 4, 5, 6}
	for name, script := range map[string]string{"dies": dies, "hangs": hangs, "chats": chats} {
		got, err := judgeBy(context.Background(), t, script, JudgeOptions{Timeout: time.Second, Restarts: 1}, 6)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", name, got, err, want)
		}
	}
}

// An answer at which the program always fails is named, with what went to stderr, and the others have their scores.
func TestProgramGivesUpOneAnswer(t *testing.T) {
	got, err := judgeBy(context.Background(), t, alwaysDies, JudgeOptions{Restarts: 2}, 6)
	var some *UnjudgedError
	if !errors.As(err, &some) || len(some.Answers) != 1 || !slices.Equal(got, []float64{1, 2, 0, 4, 5, 6}) {
		t.Fatalf("%v (%v)", got, err)
	}
	for _, want := range []string{"exit status 3", "oops"} {
		if !strings.Contains(some.Answers[2].Error(), want) {
			t.Errorf("error %v, want %q in it", some.Answers[2], want)
		}
	}
}

// A program that never replies is given up, with the row and why; what came before holds.
func TestProgramIsGivenUp(t *testing.T) {
	for name, test := range map[string]struct{ script, want string }{
		"no program":  {"dpo-ort-no-such-program", "exit status 127"},
		"no reply":    {"sleep 100", "no reply in 200ms"},
		"nonsense":    {"while read -r line; do echo many; done", `it printed "many", which is no reply`},
		"no number":   {`while read -r line; do echo '{"points": 1}'; done`, `{"score": number}`},
		"other reply": {`while read -r line; do echo '{"score": 1, "id": 77}'; done`, "it replied to question 77 where "},
		"talks first": {"echo 1; sleep 0.1; exec cat", "it printed"},
	} {
		got, err := judgeBy(context.Background(), t, test.script, JudgeOptions{Timeout: 200 * time.Millisecond, Restarts: 1}, 3)
		if name == "talks first" && err == nil {
			continue // which of its lines is a reply is decided by who is first: cat's is none
		}
		var some *UnjudgedError
		if err == nil || errors.As(err, &some) || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "of row 3 of in.jsonl") {
			t.Errorf("%s: %v (%v), want %q", name, got, err, test.want)
		}
	}
}

// Whoever interrupts a judge that hangs gets the scores so far at once, and nothing of the program is left.
func TestProgramInterrupted(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	script := "three() { sleep 100 & echo $! > " + pid + "; wait; }\n" + replies
	start := time.Now()
	got, err := judgeBy(ctx, t, script, JudgeOptions{}, 6)
	if !errors.Is(err, ErrInterrupted) || !slices.Equal(got, []float64{1, 2}) || time.Since(start) > 10*time.Second {
		t.Errorf("%v (%v) after %v", got, err, time.Since(start))
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	running := func() (string, bool) {
		state, err := os.ReadFile("/proc/" + strings.TrimSpace(string(text)) + "/stat")
		return string(state), err == nil && !strings.Contains(string(state), ") Z ")
	}
	for range 100 { // what is killed takes a moment to go
		if _, runs := running(); !runs {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	state, _ := running()
	t.Errorf("what the program started still runs: %s", state)
}

// Both orders count: a program that prefers what comes first decides nothing, and one that is fair decides.
func TestContest(t *testing.T) {
	a := answersTo("p", "good", "bad", "good")
	matches := []Match{{a[0], a[1]}, {a[1], a[0]}, {a[0], a[2]}}
	for spec, want := range map[string][]float64{
		"length":  {0.5, 0.5, 0.5},
		"lexicon": {1, 0, 0.5},
		`compare:while read -r line; do echo '{"winner": "a"}'; done`: {0.5, 0.5, 0.5},
		`compare:while read -r line; do case "$line" in *'"a":"good","b":"bad"'*) echo '{"winner":"a"}';; *'"a":"bad"'*) echo 0;; *) echo '{"winner":"tie"}';; esac; done`: {1, 0, 0.5},
	} {
		if spec == "lexicon" {
			spec += ":" + writeFile(t, "words.tsv", "good\t1.9\nbad\t-2.5\n")
		}
		c, err := OpenContest(spec, JudgeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Contest(context.Background(), matches)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v (%v), want %v", spec, got, err, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := OpenContest("compare:", JudgeOptions{}); err == nil {
		t.Error("compare without a program is not refused")
	}
}
