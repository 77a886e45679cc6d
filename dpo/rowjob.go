package dpo

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/dpo-ort/dpo-ort/datasets"
)

// rowJob makes something of each row of its data, window by window, and keeps it in parts until all of it is written.
type rowJob[Row any] struct {
	span
	parts *parts[Row]
	tell  func(first int64, rows []Row) error // counts what rows from one on came to, or refuses it
	noted *datasets.Survey                    // the notes of the rows that were written
}

// doneRows are rows that were done together, or some of them and why there are no more.
type doneRows[Row any] struct {
	rows []Row
	err  error
}

// unwritten refuses a file that is there already.
func unwritten(out string, overwrite bool) error {
	switch {
	case !there(out) || overwrite:
		return nil
	case there(out + partsSuffix):
		return fmt.Errorf("%s is there already, and so are the parts of a job that was stopped: give --overwrite to go on with those and replace it, or another --out", out)
	default:
		return fmt.Errorf("%s is there already: give --overwrite to replace it, or another --out", out)
	}
}

// open opens the data, all of whose rows are the job's.
func (j *rowJob[Row]) open(data []string, o datasets.Options) (err error) {
	j.tables, j.last, err = datasets.OpenTables(data, o)
	j.noted = datasets.NewSurvey()
	return err
}

// writable sees what stands in the way of writing the file that create begins.
func writable(create func() (*datasets.TableWriter, error)) error {
	probe, err := create()
	if err != nil {
		return err
	}
	return probe.Abort()
}

// closeJob closes the data, and lets another process go on with the parts.
func (j *rowJob[Row]) closeJob() error {
	errs := []error{j.parts.close()}
	for _, t := range j.tables {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// resumeFrom goes on with the parts of a job that was stopped, and says how many rows they hold.
func (j *rowJob[Row]) resumeFrom(p *parts[Row]) (rows int64, err error) {
	j.parts, p.next = p, j.first
	for p.next < j.last {
		part, err := p.read(p.next)
		if err == nil {
			err = j.tell(p.next, part)
		}
		if err != nil {
			return 0, err
		}
		if part == nil {
			break
		}
		p.next += int64(len(part))
	}
	return p.next - j.first, nil
}

// keep keeps windows as they come. However it ends, rows that are done are kept.
func (j *rowJob[Row]) keep(windows iter.Seq2[doneRows[Row], error], yield func() bool) (err error) {
	defer func() { err = errors.Join(err, j.parts.commit()) }()
	for w, err := range windows {
		if err == nil {
			err = w.err
		}
		if bad := j.tell(j.parts.next, w.rows); bad != nil {
			return bad
		}
		if bad := j.parts.add(w.rows); bad != nil {
			return bad
		}
		switch {
		case errors.Is(err, ErrInterrupted):
			return j.interrupted()
		case err != nil:
			return err
		case !yield():
			return errStopped
		}
	}
	return nil
}

// interrupted is the error of a job that goes on where it was interrupted.
func (j *rowJob[Row]) interrupted() error {
	rows := j.parts.next - j.first
	if rows == 0 {
		return fmt.Errorf("%w before the first row", ErrInterrupted)
	}
	return fmt.Errorf("%w after %d of %d rows, kept in %s; the same command goes on from there", ErrInterrupted, rows, j.last-j.first, j.parts.dir)
}

// merge writes the file of all rows with what was made of them.
func (j *rowJob[Row]) merge(ctx context.Context, w *datasets.TableWriter, write func(number int64, row datasets.Row, made Row) error) error {
	if err := j.each(ctx, write); err != nil {
		return errors.Join(err, w.Abort())
	}
	return w.Close()
}

func (j *rowJob[Row]) each(ctx context.Context, write func(number int64, row datasets.Row, made Row) error) error {
	results := &partReader[Row]{parts: j.parts, at: j.first}
	for row, err := range j.rows(j.first) {
		var made Row
		if err == nil {
			made, err = results.next()
		}
		if err == nil {
			j.noted.Note(row.Group.Notes)
			err = write(results.at-1, row, made)
		}
		if err == nil && ctx.Err() != nil {
			err = j.interrupted()
		}
		if err != nil {
			return err
		}
	}
	if results.at != j.last {
		return fmt.Errorf("write rows: the data ends at row %d of %d: was it changed meanwhile?", results.at, j.last)
	}
	return nil
}
