package dpo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// A program answers questions: each is a line of JSON on its stdin, and each gets a line of JSON on its stdout, in their order, without
// waiting for the next. It runs as long as its judge is open, and is started again where it ends, hangs, or prints what is no reply, after
// which nobody knows what its next line is a reply to.
//
// The question at which that happens is asked again, alone, so that it is known which one it is. A question that fails as often as
// it may is given up; where one after the other fails, the program is.
type program struct {
	command  string // as the shell takes it
	timeout  time.Duration
	restarts int
	running  *process // nil where none is
	asked    int64    // questions, by whose number a reply may say which it is to
	failures int      // since the last reply
}

const (
	questionsAhead = 32      // without a reply, at most
	replyBytes     = 1 << 20 // of a line, at most
	tailBytes      = 2 << 10 // of what a program wrote to stderr, shown where it fails
	minute         = time.Minute
	endTime        = 2 * time.Second // for a program to end by itself
)

func newProgram(command string, o JudgeOptions) *program {
	p := &program{command: command, timeout: o.Timeout, restarts: o.Restarts}
	if p.timeout <= 0 {
		p.timeout = minute
	}
	return p
}

// refusal is a program's own word that it cannot answer.
type refusal struct{ text string }

func (r *refusal) Error() string { return r.text }

// ask gets the replies to questions, read as numbers. Its errors are as those of Judge; where says what a question is about.
func (p *program) ask(ctx context.Context, questions []map[string]any, where func(int) string, read func(any) (float64, error)) ([]float64, error) {
	lines := make([][]byte, len(questions))
	for i, q := range questions {
		p.asked++
		q["id"] = p.asked
		var err error
		if lines[i], err = json.Marshal(q); err != nil {
			return nil, fmt.Errorf("ask about %s: %w", where(i), err)
		}
	}
	out, failed := make([]float64, len(questions)), map[int]error{}
	at, tries := 0, 0 // the first without a reply, and how often it has failed
	for at < len(lines) {
		batch := lines[at:]
		if p.failures > 0 {
			batch = batch[:1]
		}
		n, err := p.exchange(ctx, batch, func(i int, line []byte) (err error) {
			var no *refusal
			if out[at+i], err = readReply(line, questions[at+i]["id"], read); errors.As(err, &no) {
				failed[at+i] = fmt.Errorf("the judge says: %w", err)
				return nil
			}
			return err
		})
		if at += n; n > 0 {
			p.failures, tries = 0, 0
		}
		switch {
		case errors.Is(err, ErrInterrupted):
			return out[:settled(failed, at)], err
		case err == nil:
			continue
		}
		p.failures++
		if p.failures >= 2*(p.restarts+1) {
			return out[:settled(failed, at)], fmt.Errorf("%q failed %d times since its last reply, now at %s: %w", p.command, p.failures, where(at), err)
		}
		if tries++; tries > p.restarts {
			failed[at], tries = fmt.Errorf("%q failed at it: %w", p.command, err), 0
			at++
		}
	}
	return out, unjudged(failed)
}

// settled is how many of the first n questions come before any that has failed.
func settled(failed map[int]error, n int) int {
	for i := range failed {
		n = min(n, i)
	}
	return n
}

// exchange sends questions and takes the replies in their order; n are taken. After an error the program runs no more.
func (p *program) exchange(ctx context.Context, questions [][]byte, take func(int, []byte) error) (n int, err error) {
	if p.running == nil {
		if p.running, err = startProcess(p.command); err != nil {
			return 0, err
		}
	}
	r := p.running
	select {
	case line, more := <-r.lines:
		p.running, err = nil, errEnded
		if more {
			err = fmt.Errorf("it printed %s before it was asked", excerpt(line))
		}
		return 0, r.failed(err)
	default:
	}
	var sending sync.WaitGroup
	stop, ahead := make(chan struct{}), make(chan struct{}, questionsAhead)
	sending.Go(func() { r.send(questions, ahead, stop) })
	defer func() {
		close(stop)
		if err != nil {
			p.running = nil
			err = r.failed(err)
		}
		sending.Wait()
	}()
	timer := time.NewTimer(p.timeout)
	defer timer.Stop()
	for n < len(questions) {
		select {
		case line, more := <-r.lines:
			if !more {
				return n, errEnded
			}
			if err := take(n, line); err != nil {
				return n, err
			}
			<-ahead
			n++
			timer.Reset(p.timeout)
		case <-timer.C:
			return n, fmt.Errorf("no reply in %v (does it flush its output after each line?)", p.timeout)
		case <-ctx.Done():
			return n, ErrInterrupted
		}
	}
	return n, nil
}

// readReply reads a line as value, or an object with score or winner, by read; of an object with an id, that is the question's.
func readReply(line []byte, id any, read func(any) (float64, error)) (float64, error) {
	var reply any
	if err := json.Unmarshal(line, &reply); err != nil {
		return 0, fmt.Errorf("it printed %s, which is no reply", excerpt(line))
	}
	if o, ok := reply.(map[string]any); ok {
		if said, ok := o["id"]; ok && fmt.Sprint(said) != fmt.Sprint(id) {
			return 0, fmt.Errorf("it replied to question %v where %v is next", said, id)
		}
		if text, ok := o["error"].(string); ok {
			return 0, &refusal{text}
		}
	}
	value, err := read(reply)
	if err != nil {
		return 0, fmt.Errorf("it printed %s: %w", excerpt(line), err)
	}
	return value, nil
}

// excerpt quotes the beginning of a line.
func excerpt(line []byte) string {
	const most = 200
	if len(line) > most {
		return fmt.Sprintf("%q...", line[:most])
	}
	return fmt.Sprintf("%q", line)
}

// close ends the program, which has replied to all that it was asked: how it ends is no matter.
func (p *program) close() {
	if p.running != nil {
		_ = p.running.end(endTime)
		p.running = nil
	}
}

var errEnded = errors.New("it ended")

// process is a running program: its lines come as it prints them.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	lines  chan []byte
	stderr tail
}

func startProcess(command string) (*process, error) {
	r := &process{cmd: shell(command), lines: make(chan []byte)}
	r.cmd.Stderr, r.cmd.WaitDelay = &r.stderr, endTime
	var err1, err2 error
	r.stdin, err1 = r.cmd.StdinPipe()
	r.stdout, err2 = r.cmd.StdoutPipe()
	if err := errors.Join(err1, err2, r.cmd.Start()); err != nil {
		return nil, fmt.Errorf("start %q: %w", command, err)
	}
	go r.read()
	return r, nil
}

// read gives the lines until there are no more, or one is too long; then it closes lines.
func (r *process) read() {
	defer close(r.lines)
	s := bufio.NewScanner(r.stdout)
	s.Buffer(nil, replyBytes)
	for s.Scan() {
		r.lines <- []byte(s.Text())
	}
}

// send writes questions, each as a line, until it is stopped or the program reads no more.
func (r *process) send(questions [][]byte, ahead, stop chan struct{}) {
	for _, q := range questions {
		select {
		case ahead <- struct{}{}:
		case <-stop:
			return
		}
		if _, err := r.stdin.Write(append(q, '\n')); err != nil {
			return
		}
	}
}

// end closes the program's stdin, waits until it has ended, which it is made to where it takes too long, and ends what it started.
func (r *process) end(grace time.Duration) error {
	err := r.stdin.Close()
	kill := time.AfterFunc(grace, func() {
		killGroup(r.cmd)
		r.stdout.Close() // which something beyond the group may hold open
	})
	for range r.lines {
	}
	err = errors.Join(err, r.cmd.Wait())
	kill.Stop()
	killGroup(r.cmd)
	return err
}

// failed ends a program after an error, and tells how it ended and what it wrote to stderr.
func (r *process) failed(err error) error {
	grace := time.Duration(0)
	if errors.Is(err, errEnded) {
		grace = endTime
	}
	ended := r.end(grace)
	switch {
	case errors.Is(err, ErrInterrupted):
		return err
	case errors.Is(err, errEnded) && ended != nil:
		err = fmt.Errorf("%w: %w", err, ended)
	}
	if said := r.stderr.String(); said != "" {
		err = fmt.Errorf("%w; its stderr ends in:\n%s", err, said)
	}
	return err
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
	cut  bool
}

// Write keeps text in place of the oldest.
func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text...)
	if over := len(t.text) - tailBytes; over > 0 {
		t.text, t.cut = append([]byte(nil), t.text[over:]...), true
	}
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.text), ""))
	if t.cut {
		return "..." + text
	}
	return text
}
