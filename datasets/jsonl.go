package datasets

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
)

func init() { register(jsonLines{}, ".jsonl", ".ndjson") }

// jsonLines reads a file with one JSON object a line. Blank lines are skipped and are no rows.
type jsonLines struct{}

func (jsonLines) records(path string, want func(columns []string) map[string]bool) iter.Seq2[record, error] {
	return recordsOf(lineObjects(path), path, want)
}

func (jsonLines) table(path string) (tableFile, error) { return newJSONTable(path, lineObjects) }

// maxLine bounds a row, so that a file that is no JSON Lines does not fill the memory.
const maxLine = 256 << 20

var errLongLine = fmt.Errorf("a line is longer than %d MiB: is the file JSON Lines?", maxLine>>20)

// lineObjects streams the objects of a file of lines.
func lineObjects(path string) iter.Seq2[object, error] {
	return func(yield func(object, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(object{}, fmt.Errorf("reading data: %w", err))
			return
		}
		defer f.Close()
		r := bufio.NewReaderSize(f, 1<<20)
		if mark, _ := r.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
			r.Discard(3)
		}
		scanLines(path, r, yield)
	}
}

// scanLines yields an object, or a *RowError, for each line that is not blank.
func scanLines(path string, r *bufio.Reader, yield func(object, error) bool) {
	row := int64(0)
	for line := int64(1); ; line++ {
		data, err := readLine(r)
		if err != nil && err != io.EOF {
			yield(object{}, fmt.Errorf("reading %s:%d: %w", path, line, err))
			return
		}
		if data = bytes.TrimSpace(data); len(data) > 0 {
			o, bad := parseObject(data)
			o.row, o.line = row, line
			if bad != nil {
				bad = &RowError{File: path, Row: row, Line: line, Err: bad}
			}
			row++
			if !yield(o, bad) {
				return
			}
		}
		if err == io.EOF {
			return
		}
	}
}

// readLine returns a line of at most maxLine bytes; the slice is good until the next call.
func readLine(r *bufio.Reader) ([]byte, error) {
	part, err := r.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return part, err
	}
	var line []byte
	for {
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errLongLine
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		part, err = r.ReadSlice('\n')
	}
}
