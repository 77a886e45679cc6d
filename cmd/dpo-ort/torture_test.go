package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dpo-ort/dpo-ort/internal/golden"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// killVariable has the program kill itself, as by kill -9, at the change of a checkpoint's folder that it counts to.
const killVariable = "DPO_ORT_TEST_KILL"

// program is what the scripts and tests run as dpo-ort.
func program() {
	if n, err := strconv.Atoi(os.Getenv(killVariable)); err == nil {
		safefile.Intercept(&suicide{at: int64(n)})
	}
	main()
}

type suicide struct{ at, seen int64 }

func (s *suicide) Before(c safefile.Call) (int, error) {
	if !strings.Contains(c.Path, "checkpoints") || atomic.AddInt64(&s.seen, 1) != s.at {
		return 0, nil
	}
	if c.Op == safefile.OpWrite && len(c.Data) > 1 { // half of it
		return len(c.Data) / 2, syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return 0, syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func (s *suicide) After(safefile.Call) {}

// A killed verb is what is run again and again, and what it leaves in the end.
type killed struct {
	name    string
	begin   string // "OUT" stands for the output
	resume  string // "" where the same command goes on
	outcome func(t *testing.T, out string) string
	saves   bool // it writes checkpoints
	share   int  // of the kills, in percent
}

func killedVerbs(t *testing.T) []killed {
	model := golden.Testdata(t, "models", "tiny-llama")
	pairs := golden.Testdata(t, "pref", "tiny.pairs.jsonl")
	run := func(t *testing.T, out string) string { return golden.Outcome(t, out) }
	file := func(t *testing.T, out string) string {
		text, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text, err := os.ReadFile(pairs)
	if err != nil {
		t.Fatal(err)
	}
	many := filepath.Join(t.TempDir(), "many.jsonl") // enough for some parts
	if err := os.WriteFile(many, bytes.Repeat(text, 40), 0o644); err != nil {
		t.Fatal(err)
	}
	training := " --data " + pairs + " --eval-data " + pairs + " --batch 8 --steps 24 --warmup 0 --lr 1e-3 --eval-every 5 --save-every 2 --early-stop 99 --quiet --out OUT"
	return []killed{
		{"train", "train --model " + model + training, "train --resume --quiet --out OUT", run, true, 40},
		{"sft", "sft --on chosen --model " + model + training, "sft --resume --quiet --out OUT", run, true, 30},
		{"score", "score --model " + model + " --ref " + golden.Testdata(t, "models", "tiny-llama-rope3") + " --data " + many + " --quiet --out OUT", "", file, false, 15},
		{"generate", "generate --model " + model + " --data " + many + " --samples 2 --max-tokens 8 --quiet --out OUT", "", file, false, 15},
	}
}

// Processes killed at random moments and run again until they end well leave what one that was never killed does, and no checkpoint is lost.
func TestTortureKills(t *testing.T) {
	const seed = 10
	kills := 16
	if golden.Long() {
		kills = 1000
	}
	random := rand.New(rand.NewPCG(seed, 3))
	all, saving := 0, 0
	for _, verb := range killedVerbs(t) {
		t.Run(verb.name, func(t *testing.T) {
			k := &killing{killed: verb, random: random, dir: t.TempDir()}
			k.measure(t)
			for k.kills < max(1, kills*verb.share/100) {
				k.once(t)
			}
			t.Logf("%d kills, %d of them while a checkpoint was written, in %d runs; all ended in the same bytes", k.kills, k.saving, k.runs)
			all, saving = all+k.kills, saving+k.saving
		})
	}
	t.Logf("%d kills (seed %d), %d of them while a checkpoint was written", all, seed, saving)
}

// killing is a verb at work.
type killing struct {
	killed
	random              *rand.Rand
	dir                 string
	want                string
	whole               time.Duration // of a run that nobody kills
	runs, kills, saving int
}

func (k *killing) out(name string) string { return filepath.Join(k.dir, name, "out") }

// command is the verb's, in the state that an output is in.
func (k *killing) command(out string) *exec.Cmd {
	line := k.begin
	if _, err := os.Stat(filepath.Join(out, "run", "config.yaml")); err == nil && k.resume != "" {
		line = k.resume
	}
	return exec.Command("dpo-ort", strings.Fields(strings.ReplaceAll(line, "OUT", out))...)
}

func (k *killing) measure(t *testing.T) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(k.dir, "whole"), 0o755); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if text, err := k.command(k.out("whole")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	k.whole = time.Since(start)
	k.want = k.outcome(t, k.out("whole"))
}

// once kills a run of the verb again and again, until one attempt is faster.
func (k *killing) once(t *testing.T) {
	t.Helper()
	k.runs++
	name := fmt.Sprint("cut", k.runs)
	out := k.out(name)
	if err := os.Mkdir(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	newest := ""
	for attempt := range 50 {
		cmd := k.command(out)
		inside := k.saves && k.random.IntN(4) == 0
		if inside {
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", killVariable, 1+k.random.IntN(60)))
		}
		died, text := k.attempt(t, cmd, inside, attempt)
		if strings.Contains(text, "warning: the checkpoint") {
			t.Fatalf("a checkpoint is damaged: %s", text)
		}
		if !died {
			if got := k.outcome(t, out); got != k.want {
				t.Fatalf("other bytes after %d kills:\n%s", k.kills, golden.Difference(k.want, got))
			}
			if err := os.RemoveAll(filepath.Dir(out)); err != nil {
				t.Fatal(err)
			}
			return
		}
		if k.kills++; inside {
			k.saving++
		}
		if now := newestCheckpoint(out); now < newest {
			t.Fatalf("checkpoint %s is lost: there is %q", newest, now)
		} else {
			newest = now
		}
	}
	t.Fatal("the run never ends")
}

// attempt runs a command, and kills it after a while if it does not kill itself: the later, the more often that was done, so that a run ends
// on a machine that has become slower, too.
func (k *killing) attempt(t *testing.T, cmd *exec.Cmd, inside bool, before int) (died bool, text string) {
	t.Helper()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !inside {
		after := time.AfterFunc(time.Duration(k.random.Float64()*float64(k.whole)*(1+float64(before)/8)), func() { _ = cmd.Process.Kill() })
		defer after.Stop()
	}
	err := cmd.Wait()
	if err == nil {
		return false, said.String()
	}
	if before > 0 && k.resume == "" && strings.Contains(said.String(), "is there already") {
		return false, said.String() // the kill before came after the output was whole
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("%v: %v: %s", cmd.Args, err, said.String())
	}
	return true, said.String()
}

// newestCheckpoint is the name of a run's; "" where there is none.
func newestCheckpoint(out string) string {
	found, _ := filepath.Glob(filepath.Join(out, "run", "checkpoints", "step-??????"))
	if len(found) == 0 {
		return ""
	}
	return filepath.Base(found[len(found)-1])
}
