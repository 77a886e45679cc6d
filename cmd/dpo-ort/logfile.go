package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/dpo-ort/dpo-ort/dpo"
)

// speech is what the program says beside its results: on stderr, and into the file of --log-file with the time, as the format has it.
// That file is there for --quiet too. Once it has 10 MiB it is put aside under its name and the time, and a new one is begun; five are
// kept beside it.
type speech struct {
	mu          sync.Mutex
	stderr      io.Writer
	quiet, json bool
	file        *lumberjack.Logger // nil where there is none
	broken      bool               // it could not be written
}

const (
	logMiB  = 10
	logOlds = 5
)

// said is the program's.
var said = &speech{}

// begin forgets what was said before.
func (s *speech) begin(stderr io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stderr, s.quiet, s.json, s.file, s.broken = stderr, false, false, nil, false
}

// hear takes a verb's flags, and begins its log file.
func (s *speech) hear(cmd *cobra.Command) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	format, file := "text", ""
	if f := cmd.Flags().Lookup("log-format"); f != nil {
		format, file = f.Value.String(), cmd.Flags().Lookup("log-file").Value.String()
		s.quiet = cmd.Flags().Lookup("quiet").Value.String() == "true"
	}
	if err := dpo.OneOf("log-format", format, []string{"text", "json"}); err != nil {
		return err
	}
	if s.json = format == "json"; file == "" {
		return nil
	}
	s.file = &lumberjack.Logger{Filename: file, MaxSize: logMiB, MaxBackups: logOlds}
	if err := s.write(fmt.Sprintf("begun     %s, version %s", cmd.CommandPath(), version()), map[string]any{"begun": cmd.CommandPath(), "version": version()}); err != nil {
		s.file = nil
		return fmt.Errorf("log-file %s cannot be written: %w", file, err)
	}
	return nil
}

// write adds text, a line or several, or as JSON what it stands for, to the log file.
func (s *speech) write(text string, value any) error {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	var line strings.Builder
	if s.json {
		whole, err := json.Marshal(value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&line, `{"time":%q,%s`+"\n", now, whole[1:]) // an object
	} else {
		for part := range strings.Lines(text) {
			fmt.Fprintf(&line, "%s %s\n", now, strings.TrimRight(part, "\n"))
		}
	}
	_, err := io.WriteString(s.file, line.String())
	return err
}

// log puts what is said into the log file, if there is one. A file that can no longer be written is named once, and what runs goes on.
func (s *speech) log(text string, value any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		return
	}
	if err := s.write(text, value); err != nil && !s.broken {
		s.broken = true
		fmt.Fprintf(s.stderr, "warning: log-file %s cannot be written: %v\n", s.file.Filename, err)
	}
}

// notice says in one line what the program is about to do.
func (s *speech) notice(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	value := map[string]string{"notice": text}
	s.log(text, value)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.quiet:
		return
	case s.json:
		_ = json.NewEncoder(s.stderr).Encode(value)
		return
	case terminal(s.stderr):
		text = "\n" + text // below the bar
	}
	fmt.Fprintln(s.stderr, text)
}

// fail tells of the error that the program ends with.
func (s *speech) fail(err error) {
	fmt.Fprintf(s.stderr, "error: %s\n", printable(err.Error()))
	s.log("error: "+err.Error(), map[string]string{"error": err.Error()})
}

// close closes the log file.
func (s *speech) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_ = s.file.Close() // what was written is written
		s.file = nil
	}
}
