package dpo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/internal/safefile"
)

// LabelConfig says how answers are judged, and what becomes of their scores.
type LabelConfig struct {
	Reward string // as OpenJudge takes it
	Judge  JudgeOptions
	As     string // "ranked": rows with a list of scores, or "pairs"
	Pairing
	Margin bool // adds the difference of a pair's scores as its margin, which training takes into account
}

// LabelFiles says which rows are labelled, and where to.
type LabelFiles struct {
	Data      []string          // files, globs or folders of rows of prompt and completions; all have the same columns
	Columns   map[string]string // the data's names for columns, by ours, as in datasets.Options
	Out       string            // Parquet file
	Overwrite bool              // replaces Out, and scores and ranks that the data has already
	Strict    bool              // the first answer that cannot be judged ends the job
}

// LabelEvent is progress of labelling. The counts of pairs come with the last event.
type LabelEvent struct {
	Rows, Total int64
	Resumed     int64 // of Rows: judged before, in a job that was stopped
	Answers     int64
	Failed      int64 // rows that could not be judged, or not all of whose answers could be
	Unjudged    int64 // answers that could not be judged, in rows that could
	Pairs       int64 // written
	Ties        int64 // pairs of equal scores
	Equal       int64 // pairs of equal answers, which are left out
	Dropped     int64 // rows without a pair, of those that could be judged

	Warnings []datasets.Warning `json:",omitempty"` // about the data, once all rows are written
}

const (
	// labelWindow is how many rows are judged together: few, so that little is lost where a slow program is stopped.
	labelWindow = 16
	// labelKey is where a labelled file says in its metadata what it was made by, as JSON.
	labelKey = "dpo-ort.label"
	// DroppedSuffix is what the name of a file of pairs gets for the list of rows that gave none, or lack answers.
	DroppedSuffix = ".dropped.jsonl"
)

// Label judges answers and writes rows with their scores, or pairs. It reads rows of a prompt and a list of answers.
//
// Ranked rows keep all columns and get scores, a list with an entry for each answer, and error, which says why there is none. Pairs have
// the columns prompt, chosen, rejected, chosen_score, rejected_score, and where the data says why answers ended
// chosen_finish_reason and rejected_finish_reason; answers that could not be judged are left out, and listed with the rows
// that gave no pair in a file beside Out.
//
// The file Out appears whole at the end. Until then the scores lie in the folder Out.parts: a job that was stopped goes on from
// there, to the same bytes, also where other pairs are asked for.
func Label(ctx context.Context, c LabelConfig, f LabelFiles) iter.Seq2[LabelEvent, error] {
	return func(yield func(LabelEvent, error) bool) {
		j := &labelling{LabelConfig: c, LabelFiles: f}
		err := j.run(ctx, func() bool { return yield(j.event, nil) })
		if err != nil && !errors.Is(err, errStopped) {
			yield(LabelEvent{}, err)
		}
	}
}

// Check reports settings that make no sense.
func (c LabelConfig) Check() error {
	if c.Reward == "" {
		return Usage("reward is missing: name what answers are judged by, such as lexicon:FILE or command:PROGRAM")
	}
	if err := OneOf("as", c.As, []string{"ranked", "pairs"}); err != nil {
		return err
	}
	if c.As == "ranked" && (c.Pairing != Pairing{} || c.Margin) {
		return Usage("pairs, ties, sampled-temperature, seed and margin are settings of --as pairs: add it, or leave them out")
	}
	if c.Judge.Timeout < 0 || c.Judge.Restarts < 0 {
		return Usage("judge-timeout and judge-restarts must not be negative")
	}
	return c.check()
}

// labelJob is what scores depend on.
type labelJob struct {
	Reward     string            `json:"reward"`
	Judge      string            `json:"judge"` // digest of what the judge is made of
	Beta       float64           `json:"beta"`
	PerToken   bool              `json:"per-token"`
	Sent       []string          `json:"judge-columns,omitempty"`
	MicroBatch int               `json:"micro-batch"`
	Device     string            `json:"device"`
	Columns    map[string]string `json:"columns,omitempty"`
	Data       string            `json:"data"` // digest of the files
}

// labelled is what a row came to, as its part has it.
type labelled struct {
	Scores []float64      `json:"scores,omitempty"`
	Errors map[int]string `json:"errors,omitempty"` // why an answer has no score, by its place
	Error  string         `json:"error,omitempty"`  // why the row has no answers
}

// problem says what could not be judged; "" where all could.
func (l labelled) problem() string {
	if l.Error != "" {
		return l.Error
	}
	var all []string
	for k := range l.Scores {
		if why, failed := l.Errors[k]; failed {
			all = append(all, fmt.Sprintf("answer %d: %s", k, why))
		}
	}
	return strings.Join(all, "; ")
}

// judged are the places of the answers that have scores.
func (l labelled) judged() (out []int) {
	for k := range l.Scores {
		if _, failed := l.Errors[k]; !failed {
			out = append(out, k)
		}
	}
	return out
}

// labelling is a job of Label.
type labelling struct {
	LabelConfig
	LabelFiles
	rowJob[labelled]
	judge Judge
	made  labelJob
	event LabelEvent
	drops []Drop
}

func (j *labelling) run(ctx context.Context, yield func() bool) (err error) {
	if err := j.Check(); err != nil {
		return err
	}
	if err := unwritten(j.Out, j.Overwrite); err != nil {
		return err
	}
	if j.judge, err = OpenJudge(j.Reward, j.Judge); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.judge.Close()) }()
	defer func() { err = errors.Join(err, j.closeJob()) }()
	if err := j.open(j.Data, datasets.Options{Columns: j.Columns, Unranked: true, Keep: JudgeColumns(j.judge)}); err != nil {
		return err
	}
	j.tell, j.event.Total = j.count, j.last
	if err := writable(func() (*datasets.TableWriter, error) { return j.create(nil) }); err != nil {
		return err
	}
	if err := j.compute(ctx, yield); err != nil {
		return err
	}
	if err := j.assemble(ctx); err != nil {
		return err
	}
	j.event.Warnings = j.noted.Warnings()
	yield()
	return nil
}

// compute brings the parts to the last row. However it ends, what was judged is kept.
func (j *labelling) compute(ctx context.Context, yield func() bool) (err error) {
	if err := j.resume(); err != nil {
		return err
	}
	if j.event.Resumed > 0 && !yield() {
		return errStopped
	}
	err = j.keep(j.windows(ctx), yield)
	switch {
	case err == nil || errors.Is(err, ErrInterrupted) || errors.Is(err, errStopped):
		return err
	case j.event.Rows > 0:
		return fmt.Errorf("label: %w\n%d rows are kept in %s; the same command goes on from there", err, j.event.Rows, j.parts.dir)
	}
	return fmt.Errorf("label: %w", err)
}

// windows judges the rows that are not in the parts.
func (j *labelling) windows(ctx context.Context) iter.Seq2[doneRows[labelled], error] {
	return func(yield func(doneRows[labelled], error) bool) {
		size := func(at int64) int64 { return labelWindow - at%labelWindow }
		for rows, err := range j.cut(j.parts.next, size) {
			if err == nil && ctx.Err() != nil {
				err = ErrInterrupted
			}
			var done doneRows[labelled]
			if err == nil {
				done.rows, done.err = j.label(ctx, rows)
			}
			if !yield(done, err) {
				return
			}
		}
	}
}

// label judges rows. With an error there are results of the first rows, as far as they had come.
func (j *labelling) label(ctx context.Context, rows []datasets.Row) ([]labelled, error) {
	out, ends := make([]labelled, len(rows)), make([]int, len(rows))
	var answers []Answer
	for i, row := range rows {
		if row.Err != nil {
			out[i].Error = reason(row.Err).Error()
		} else {
			answers = append(answers, j.answers(row)...)
		}
		ends[i] = len(answers)
	}
	scores, err := j.judge.Judge(ctx, answers)
	var some *UnjudgedError
	if errors.As(err, &some) {
		err = nil
	}
	if err == nil && len(scores) != len(answers) {
		err = fmt.Errorf("the judge gave %d scores for %d answers", len(scores), len(answers))
	}
	at := 0
	for i, end := range ends {
		if end > len(scores) {
			return out[:i], err
		}
		out[i].Scores = scores[at:end]
		for k := range out[i].Scores {
			var why error
			if some != nil {
				why = some.Answers[at+k]
			}
			out[i].fail(k, why)
		}
		at = end
	}
	return out, err
}

// fail notes why an answer has no score, if it has none.
func (l *labelled) fail(k int, why error) {
	if why == nil {
		if allFinite(l.Scores[k : k+1]) {
			return
		}
		why = fmt.Errorf("its score is %v", l.Scores[k])
	}
	if l.Errors == nil {
		l.Errors = map[int]string{}
	}
	l.Scores[k], l.Errors[k] = 0, reason(why).Error()
}

// answers are those of a row.
func (j *labelling) answers(row datasets.Row) []Answer {
	values := map[string]any{}
	for _, name := range JudgeColumns(j.judge) {
		values[name] = row.Value(name)
	}
	finish := j.finish(row)
	out := make([]Answer, len(row.Group.Completions))
	for k, c := range row.Group.Completions {
		out[k] = Answer{Prompt: row.Group.Prompt, Completion: c, File: row.Group.File, Row: row.Group.Row, K: k, Finish: finish[k], Values: values}
	}
	return out
}

// finishColumns are the data's names for the lists that say why answers ended, of those that it has.
func (j *labelling) finishColumns() (out []string) {
	for _, ours := range []string{"finish_reasons", "finish_reason"} {
		if name := j.tables[0].Column(ours); slices.Contains(j.tables[0].Columns(), name) {
			out = append(out, name)
		}
	}
	return out
}

// finish says why each answer of a row ended; "" where that is not known.
func (j *labelling) finish(row datasets.Row) []string {
	out := make([]string, len(row.Group.Completions))
	for _, name := range j.finishColumns() {
		if list, ok := row.Value(name).([]any); ok {
			for k := range min(len(list), len(out)) {
				out[k], _ = list[k].(string)
			}
			break
		}
	}
	return out
}

// resume finds the parts of a job that was stopped.
func (j *labelling) resume() error {
	o := j.Judge
	j.made = labelJob{Reward: j.Reward, Beta: o.Score.Beta, PerToken: o.PerToken, Sent: o.Columns,
		MicroBatch: o.Score.MicroBatch, Device: o.Score.Device, Columns: j.Columns}
	made, err := judgeIdentity(j.judge)
	if err != nil {
		return err
	}
	text, err := json.Marshal(made)
	if err != nil {
		return fmt.Errorf("describe the judge: %w", err)
	}
	sum := sha256.Sum256(text)
	j.made.Judge = hex.EncodeToString(sum[:])
	if j.made.Data, err = dataDigest(j.tables); err != nil {
		return err
	}
	p, err := openParts[labelled](j.Out, j.made, j.Overwrite)
	if err == nil {
		j.event.Resumed, err = j.resumeFrom(p)
	}
	return err
}

// count adds results of the rows from one on to what is told of the job.
func (j *labelling) count(first int64, rows []labelled) error {
	for i, l := range rows {
		problem := l.problem()
		if problem != "" && j.Strict {
			file, row := j.place(first + int64(i))
			return fmt.Errorf("label row %d of %s: %s (without --strict it is listed, and the others are labelled)", row, file, problem)
		}
		if problem != "" {
			j.event.Failed++
		}
		j.event.Rows++
		j.event.Answers += int64(len(l.Scores))
		j.event.Unjudged += int64(len(l.Errors))
	}
	return nil
}

// assemble writes the file, with what was left out beside it, and removes the parts.
func (j *labelling) assemble(ctx context.Context) error {
	w, err := j.create(&j.made)
	if err != nil {
		return err
	}
	err = j.each(ctx, func(number int64, row datasets.Row, l labelled) error { return j.write(w, number, row, l) })
	if err == nil {
		err = j.writeDrops()
	}
	if err != nil {
		return errors.Join(err, w.Abort())
	}
	if err := w.Close(); err != nil {
		return err
	}
	return j.parts.remove()
}

// writeDrops lists what was left out beside the file, if anything was.
func (j *labelling) writeDrops() error {
	list := j.Out + DroppedSuffix
	if len(j.drops) > 0 {
		return writeDrops(list, j.drops)
	}
	return safefile.Remove(list)
}
