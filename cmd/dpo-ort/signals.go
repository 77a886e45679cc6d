package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// How signals end the program:
//
//	the first Ctrl-C   finishes the step, or the window of rows, and saves
//	the second         ends it now
//	SIGTERM            is as the first, and ends it where that takes longer than --grace
//
// What has shown no progress yet has nothing to finish: it ends at once where it does not by itself. All files are whole
// whenever the program ends, so ending it now is what kill -9 would do, with a word.
type stopper struct {
	grace   atomic.Int64                  // nanoseconds that SIGTERM leaves
	working atomic.Bool                   // progress was shown
	kept    atomic.Pointer[func() string] // what is there already, and how to go on
}

const (
	defaultGrace = 25 * time.Second // those who kill after SIGTERM mostly wait for 30
	idleGrace    = time.Second      // for what has shown no progress
)

// stopping is the program's.
var stopping stopper

// listen gives a context that the first signal cancels; forget ends the listening.
func (s *stopper) listen() (ctx context.Context, forget func()) {
	ctx, cancel := context.WithCancel(context.Background())
	signals, ended := make(chan os.Signal, 2), make(chan struct{})
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	s.grace.Store(int64(defaultGrace))
	s.working.Store(false)
	s.kept.Store(nil)
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.watch(cancel, signals, ended)
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(ended)
		<-left
		cancel()
	}
}

// watch waits for signals until the program has ended by itself.
func (s *stopper) watch(cancel func(), signals <-chan os.Signal, ended <-chan struct{}) {
	var deadline <-chan time.Time
	select {
	case <-ended:
		return
	case first := <-signals:
		cancel()
		latest, grace := "", time.Duration(s.grace.Load())
		if first == syscall.SIGTERM {
			deadline, latest = time.After(grace), fmt.Sprintf(", in %s at most", grace)
		}
		said.notice("stopping  what was begun is finished and saved%s; a second signal ends it now", latest)
	}
	idle := time.After(idleGrace)
	for {
		select {
		case <-ended:
			return
		case <-signals:
			s.end("stopped at once")
		case <-deadline:
			s.end("stopped: what was begun takes longer than the grace of " + time.Duration(s.grace.Load()).String())
		case <-idle:
			if !s.working.Load() {
				s.end("interrupted before the first step")
			}
		}
	}
}

// end ends the program, and says what it leaves.
func (s *stopper) end(why string) {
	kept := "nothing is saved"
	if of := s.kept.Load(); of != nil {
		kept = (*of)()
	}
	said.fail(fmt.Errorf("%s; %s", why, kept))
	said.close()
	os.Exit(exitInterrupted)
}

// keeps says where what the verb has done can be found.
func (s *stopper) keeps(kept func() string) { s.kept.Store(&kept) }

// keptRun says what is saved of a run of training.
func keptRun(out string) func() string {
	return func() string {
		if !exists(filepath.Join(out, "run", "config.yaml")) {
			return "nothing is saved"
		}
		newest := "nothing is saved yet"
		if dirs, _ := dpo.Checkpoints(out); len(dirs) > 0 {
			newest = "saved is " + dirs[len(dirs)-1]
		}
		return fmt.Sprintf("%s; go on with --resume --out %s", newest, out)
	}
}

// keptIn says that what is done lies in a folder, where it is there.
func keptIn(folder string) func() string {
	return func() string {
		if !exists(folder) {
			return "nothing is saved"
		}
		return fmt.Sprintf("what is done is kept in %s; the same command goes on from there", folder)
	}
}

// keptParts says so of a job that goes row by row.
func keptParts(out string) func() string { return keptIn(out + ".parts") }

// grace is the flag of that name.
type grace stopper

func (g *grace) String() string { return time.Duration(g.grace.Load()).String() }
func (g *grace) Type() string   { return "duration" }

// Set reads how long it is.
func (g *grace) Set(text string) error {
	d, err := time.ParseDuration(text)
	if err == nil && d <= 0 {
		err = errors.New("it must be positive, such as 25s")
	}
	if err == nil {
		g.grace.Store(int64(d))
	}
	return err
}
