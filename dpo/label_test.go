package dpo

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
)

// labelData is a file of rows of three answers; every tenth lacks its answers, every seventh a vote.
func labelData(t *testing.T, rows int) string {
	t.Helper()
	var b strings.Builder
	for i := range rows {
		switch {
		case i%10 == 9:
			fmt.Fprintf(&b, `{"prompt": "p%d", "completions": [], "votes": [1]}`+"\n", i)
		case i%7 == 6:
			fmt.Fprintf(&b, `{"prompt": "p%d", "completions": ["a", "b", "c"], "votes": [1, 2], "finish_reasons": ["stop", "length", null]}`+"\n", i)
		default:
			fmt.Fprintf(&b, `{"prompt": "p%d", "completions": ["a%d", "b", "c"], "votes": [%d, %d, %d], "finish_reasons": ["stop", "length", null]}`+"\n",
				i, i, i%3, i%4, i%5)
		}
	}
	return writeFile(t, "samples.jsonl", b.String())
}

// labelTo labels by the column votes, until stop events have come (0: to the end).
func labelTo(t *testing.T, c LabelConfig, f LabelFiles, stop int) (last LabelEvent, err error) {
	t.Helper()
	c.Reward = "column:votes"
	n := 0
	for e, err := range Label(context.Background(), c, f) {
		if err != nil {
			return last, err
		}
		last = e
		if n++; n == stop {
			break
		}
	}
	return last, nil
}

// Ranked rows keep their columns and get scores, or the reason why there is none.
func TestLabelRanked(t *testing.T) {
	f := LabelFiles{Data: []string{labelData(t, 20)}, Out: outFile(t)}
	e, err := labelTo(t, LabelConfig{As: "ranked"}, f, 0)
	if err != nil || e.Rows != 20 || e.Answers != 54 || e.Failed != 4 || e.Unjudged != 2 {
		t.Fatalf("%+v (%v)", e, err)
	}
	rows := rowsOf(t, readBytes(t, f.Out))
	for i, want := range map[int]string{0: "<nil>", 1: "<nil>", 6: "answer 2: column votes has 2 entries, and none for this answer",
		9: "column completions holds an empty list: a list of answers is needed"} {
		row := rows[i].(map[string]any)
		if got := fmt.Sprint(row["error"]); got != want || (row["scores"] == nil) != (want != "<nil>") || row["prompt"] != fmt.Sprint("p", i) {
			t.Errorf("row %d: %v", i, row)
		}
	}
	if _, err := labelTo(t, LabelConfig{As: "ranked"}, LabelFiles{Data: f.Data, Out: outFile(t), Strict: true}, 0); err == nil || !strings.Contains(err.Error(), "label row 6 of ") {
		t.Errorf("strict: error %v", err)
	}
}

// Pairs have both scores and why both ended; rows without one are listed, and answers without a score.
func TestLabelPairs(t *testing.T) {
	f := LabelFiles{Data: []string{labelData(t, 20)}, Out: outFile(t)}
	e, err := labelTo(t, LabelConfig{As: "pairs", Margin: true}, f, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows := rowsOf(t, readBytes(t, f.Out))
	if int(e.Pairs) != len(rows) || e.Ties == 0 || e.Dropped == 0 || e.Failed != 4 {
		t.Errorf("%d rows, %+v", len(rows), e)
	}
	for _, r := range rows {
		row := r.(map[string]any)
		if row["chosen_score"].(float64) <= row["rejected_score"].(float64) || row["margin"] != row["chosen_score"].(float64)-row["rejected_score"].(float64) {
			t.Errorf("pair %v", row)
		}
		for _, side := range []string{"chosen", "rejected"} {
			want := map[byte]any{'a': "stop", 'b': "length", 'c': nil}[row[side].(string)[0]]
			if row[side+"_finish_reason"] != want {
				t.Errorf("%s of %v ended by %v, want %v", side, row, row[side+"_finish_reason"], want)
			}
		}
	}
	text := string(readBytes(t, f.Out+DroppedSuffix))
	if got := int64(strings.Count(text, "\n")); got != e.Dropped+e.Failed || !strings.Contains(text, `"row":0,"reason":"no pair: of 3 answers, 3 pairs have equal scores`) {
		t.Errorf("%d rows are listed of %+v:\n%s", got, e, text)
	}
}

// A job that is stopped anywhere goes on to the same bytes, also as pairs; one by another reward is refused.
func TestLabelResumesToTheSameBytes(t *testing.T) {
	data := []string{labelData(t, 100)}
	for _, c := range []LabelConfig{{As: "ranked"}, {As: "pairs", Pairing: Pairing{Pairs: "sampled", Seed: 3}}} {
		whole := LabelFiles{Data: data, Out: outFile(t)}
		if _, err := labelTo(t, c, whole, 0); err != nil {
			t.Fatal(err)
		}
		want := readBytes(t, whole.Out)
		f := LabelFiles{Data: data, Out: outFile(t)}
		for stop := 1; stop <= 3; stop++ {
			if _, err := labelTo(t, LabelConfig{As: "ranked"}, f, 2); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Stat(f.Out + ".parts"); err != nil {
			t.Fatal(err)
		}
		other := LabelConfig{As: "ranked", Reward: "length"}
		for _, err := range Label(context.Background(), other, f) {
			if err == nil || !strings.Contains(err.Error(), "reward was column:votes, is length") {
				t.Errorf("another reward: error %v", err)
			}
		}
		e, err := labelTo(t, c, f, 0)
		if got := readBytes(t, f.Out); err != nil || e.Resumed == 0 || !bytes.Equal(got, want) {
			t.Errorf("%s: %+v (%v): %d bytes, want %d", c.As, e, err, len(got), len(want))
		}
		if left := names(t, strings.TrimSuffix(f.Out, "/out.parquet")); len(left) > 2 {
			t.Errorf("the job leaves %v", left)
		}
	}
}

// Ranks count before scores, so they do not stay beside new ones unasked.
func TestLabelReplacesRanks(t *testing.T) {
	f := LabelFiles{Data: []string{writeFile(t, "in.jsonl", `{"prompt": "p", "completions": ["a", "b"], "ranks": [1, 2], "votes": [1, 2]}`+"\n")}, Out: outFile(t)}
	if _, err := labelTo(t, LabelConfig{As: "ranked"}, f, 0); err == nil || !strings.Contains(err.Error(), "has a column ranks") {
		t.Errorf("error %v", err)
	}
	f.Overwrite = true
	if _, err := labelTo(t, LabelConfig{As: "ranked"}, f, 0); err != nil {
		t.Fatal(err)
	}
	if row := rowsOf(t, readBytes(t, f.Out))[0].(map[string]any); row["ranks"] != nil || row["scores"] == nil {
		t.Errorf("row %v", row)
	}
}
