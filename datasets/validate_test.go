package datasets

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// byteTokens is a tokenizer with a token for each byte, a BOS, and an EOS that has no text.
type byteTokens struct{}

func (byteTokens) Encode(text string) (ids []int32, ends []int, err error) {
	ids, ends = []int32{256}, []int{-1}
	for i := range len(text) {
		ids, ends = append(ids, int32(text[i])), append(ends, i+1)
	}
	return ids, ends, nil
}

func (b byteTokens) EncodeInert(text string, _ []int) ([]int32, []int, error) { return b.Encode(text) }
func (byteTokens) Specials() []string                                         { return nil }
func (byteTokens) Decode([]int32) (string, error)                             { return "", nil }
func (byteTokens) EOS() (int32, string, bool)                                 { return 257, "", true }
func (byteTokens) VocabSize() int                                             { return 258 }

func validate(t testing.TB, enc *Encoder, patterns ...string) *Validation {
	t.Helper()
	var last *Validation
	for v, err := range Validate(patterns, Options{}, enc) {
		if err != nil {
			t.Fatal(err)
		}
		last = v
	}
	return last
}

// lines tells findings in a line each, without the folders of files.
func (v *Validation) lines() (out []string) {
	for _, f := range v.Findings {
		var places []string
		for _, p := range f.First {
			p.File = filepath.Base(p.File)
			places = append(places, p.String())
		}
		out = append(out, fmt.Sprintf("%s %d: %s (%s)", f.Kind, f.Rows, f.Reason, strings.Join(places, ", ")))
	}
	return out
}

func TestValidateFindsAll(t *testing.T) {
	rows := write(t, "rows.jsonl", strings.Join([]string{
		`{"prompt":"p","chosen":"cc","rejected":"r"}`,
		`{"prompt":"p","chosen":"","rejected":"r"}`,
		`{"prompt":"p","chosen":"same","rejected":"same"}`,
		`{"prompt":"p","chosen":null,"rejected":"r"}`,
		`{"prompt":"p","chosen":"c\u0000","rejected":"r"}`,
		`{"prompt":"p","chosen":"longer\u0000","rejected":"r"}`,
		`{"prompt":"`, // the file is read on
		`{"prompt":"a prompt that is long","chosen":"c","rejected":"r"}`,
		`{"prompt":"p","chosen":"an answer that is long","rejected":"r"}`,
	}, "\n"))
	enc := &Encoder{Tokenizer: byteTokens{}, MaxLength: 12, MaxPromptLength: 6}
	v := validate(t, enc, rows)
	want := []string{
		"broken 1: column chosen: it holds null: a string, or a list of {role, content} messages, is needed (rows.jsonl:4)",
		"broken 2: column chosen: its text has a NUL byte at offset 1, where a tokenizer would cut it: remove it (rows.jsonl:5, rows.jsonl:6)",
		"broken 1: not JSON: it ends in the middle (was the file cut?) (rows.jsonl:7)",
		"dropped 1: empty completion (rows.jsonl:2)",
		"dropped 1: equal answers (rows.jsonl:3)",
		"cut 1: longer than max-length 12: the prompt loses its start (rows.jsonl:8)",
		"cut 1: longer than max-length 12: answers lose their ends (rows.jsonl:9)",
	}
	if got := v.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if v.Rows != 9 || v.Broken != 4 || v.Dropped != 2 || v.Cut != 2 {
		t.Errorf("%d rows, %d broken, %d dropped, %d cut", v.Rows, v.Broken, v.Dropped, v.Cut)
	}
	// A token that the model has no embedding for breaks a row, where the model is known.
	enc.Vocabulary = 258
	if v := validate(t, enc, rows); v.Broken != 4 {
		t.Errorf("%d broken of ids that all have embeddings", v.Broken)
	}
	enc.Vocabulary = 257 // EOS is 257
	v = validate(t, enc, rows)
	if got := strings.Join(v.lines(), "\n"); v.Broken != 7 || !strings.Contains(got, "broken 3: token id 257 outside the model's vocabulary of 257: tokenizer and model do not belong together (rows.jsonl:1, rows.jsonl:8, rows.jsonl:9)") {
		t.Errorf("found\n%s", got)
	}
	// Without a tokenizer the text says what it can.
	if v := validate(t, &Encoder{MaxLength: 12}, rows); v.Broken != 4 || v.Dropped != 2 || v.Cut != 0 {
		t.Errorf("by text: %d broken, %d dropped, %d cut", v.Broken, v.Dropped, v.Cut)
	}
}

// A file that cannot be read is a finding, and the next file is read.
func TestValidateGoesOnToTheNextFile(t *testing.T) {
	dir := filepath.Dir(write(t, "z.jsonl", ""))
	files := []string{write(t, "a.parquet", "PAR1"), write(t, "b.jsonl", `{"body":"a"}`), filepath.Join(dir, "z.jsonl"),
		write(t, "c.jsonl", `{"prompt":"p","chosen":"c","rejected":"r"}`)}
	v := validate(t, &Encoder{}, files...)
	got := strings.Join(v.lines(), "\n")
	for _, want := range []string{"broken 1: it is no whole Parquet file", "(a.parquet)", "broken 1: no answers: the columns are body; needed are", "(b.jsonl)",
		"broken 1: the file has no rows (z.jsonl)"} {
		if !strings.Contains(got, want) {
			t.Errorf("found\n%s\nwithout %q", got, want)
		}
	}
	if v.Rows != 1 || v.Broken != 3 {
		t.Errorf("%d rows, %d broken", v.Rows, v.Broken)
	}
	for _, err := range Validate([]string{"nowhere.jsonl"}, Options{}, &Encoder{}) {
		if err == nil {
			t.Error("a file that is not there is valid")
		}
	}
}

func inspect(t testing.TB, enc *Encoder, patterns ...string) *Inspection {
	t.Helper()
	var last *Inspection
	for in, err := range Inspect(patterns, nil, Options{}, enc) {
		if err != nil {
			t.Fatal(err)
		}
		last = in
	}
	return last
}

func TestInspectCountsTokens(t *testing.T) {
	rows := write(t, "rows.jsonl", strings.Join([]string{
		`{"prompt":"1234","chosen":"12","rejected":"1"}`,              // with BOS and EOS: 5 + 3, 5 + 2
		`{"prompt":"123456789","chosen":"1","rejected":"12"}`,         // 10 + 2, 10 + 3: the prompt is cut
		`{"prompt":"1","chosen":"12345678901234567","rejected":"12"}`, // 2 + 18, 2 + 3: the answer is cut
		`{"prompt":"p","chosen":"","rejected":"r"}`,
		`{"prompt":"p","chosen":7,"rejected":"r"}`,
	}, "\n"))
	in := inspect(t, &Encoder{Tokenizer: byteTokens{}, MaxLength: 12, MaxPromptLength: 6}, rows)
	var got []string
	for _, l := range in.Lengths {
		got = append(got, fmt.Sprintf("%s: %d, %d to %d, %d, mean %.2f", l.Of, l.Count, l.Min, l.Max, l.P50, l.Mean))
	}
	want := "prompt: 3, 2 to 10, 5, mean 5.67; chosen: 3, 2 to 18, 3, mean 7.67; rejected: 3, 2 to 3, 3, mean 2.67; whole: 3, 8 to 20, 13, mean 13.67"
	if s := strings.Join(got, "; "); s != want {
		t.Errorf("lengths are %s, want %s", s, want)
	}
	if c := *in.Cuts; c != (Cuts{12, 6, 2, 1, 1}) {
		t.Errorf("cuts are %+v", c)
	}
	if in.Rows != 5 || in.Total != 5 || in.Kind != Pairs || in.Dropped != 1 || in.Broken != 1 || in.Answers[2] != 4 {
		t.Errorf("%+v", in)
	}
}

// What inspect says would be cut is what the encoder cuts.
func TestInspectCutsAsEncoderDoes(t *testing.T) {
	var text strings.Builder
	for p := range 12 {
		for a := 1; a < 12; a++ {
			fmt.Fprintf(&text, "{\"prompt\":%q,\"chosen\":%q,\"rejected\":\"z\"}\n", strings.Repeat("p", p), strings.Repeat("a", a))
		}
	}
	rows := write(t, "rows.jsonl", text.String())
	for _, keepStart := range []bool{false, true} {
		enc := &Encoder{Tokenizer: byteTokens{}, MaxLength: 14, MaxPromptLength: 7, KeepStart: keepStart}
		cuts := inspect(t, enc, rows).Cuts
		var whole, answers int64
		for g, err := range Read([]string{rows}, Options{}) {
			if err != nil {
				t.Fatal(err)
			}
			x, err := enc.Encode(g)
			if err != nil {
				t.Fatal(err)
			}
			if x.Truncated {
				whole++
			}
			if x.Truncated && (x.Completions[0].Truncated || x.Completions[1].Truncated) {
				answers++
			}
		}
		if cuts.Rows != whole || cuts.Answers != answers || whole == 0 || answers == 0 {
			t.Errorf("keep start %v: %+v; the encoder cuts %d rows, answers of %d", keepStart, *cuts, whole, answers)
		}
	}
}

func TestInspectColumns(t *testing.T) {
	in := inspect(t, &Encoder{}, writeParquet(t, []rankedRow{
		{"p", []string{"a", "b", "c"}, []float64{1, 3, 2}, []int32{3, 1, 2}, []float64{0, 0, 0}},
		{"q", []string{"x", "y"}, []float64{2, 2}, []int32{1, 1}, []float64{0, 0}},
		{"q", []string{"x", "y"}, []float64{2, 2}, []int32{2, 1}, []float64{0, 0}},
	}, 2))
	if in.Kind != Ranked || fmt.Sprint(in.Answers) != "map[2:2 3:1]" || in.Tied != 1 || fmt.Sprint(in.Files[0].RowGroups) != "[2 1]" || in.Lengths != nil {
		t.Errorf("%+v", in)
	}
	divided := inspect(t, &Encoder{Ties: TiesDrop}, write(t, "a.jsonl", strings.Join([]string{
		`{"prompt":"p","completions":["a","b","c"],"ranks":[1,1,null]}`, `{"prompt":"p","completions":["a","b"],"scores":[null,2]}`,
		`{"prompt":"p","completions":["a","b"],"scores":[2,2]}`, `{"prompt":"p","completions":["a","b"],"ranks":[1,2]}`}, "\n")))
	if divided.Tied != 2 || divided.Partial != 2 || divided.Dropped != 2 || divided.Voted != 0 || fmt.Sprint(divided.Answers) != "map[2:3 3:1]" {
		t.Errorf("%+v", divided)
	}
	voted := inspect(t, &Encoder{}, write(t, "a.jsonl", `{"prompt":"p","a":"a","b":"b","votes":[1,2]}`+"\n"+`{"prompt":"p","a":"a","b":"b","votes":[1,2,2]}`+
		"\n"+`{"prompt":"p","a":"a","b":"b","votes":[2,2]}`))
	if voted.Kind != Ranked || voted.Voted != 2 || voted.Even != 1 || voted.Tied != 0 || voted.Dropped+voted.Broken != 0 {
		t.Errorf("%+v", voted)
	}
	other := inspect(t, &Encoder{}, write(t, "a.jsonl", `{"body":"a"}`))
	if other.Kind != "" || !strings.Contains(other.Missing, "no answers: the columns are body") || other.Rows != 1 || fmt.Sprint(other.Columns) != "[{body string}]" {
		t.Errorf("%+v", other)
	}
}

func TestLengths(t *testing.T) {
	l := &Lengths{}
	for i := range 100 {
		l.tokens = append(l.tokens, 100-i)
	}
	l.settle()
	if l.Min != 1 || l.P50 != 50 || l.P90 != 90 || l.P99 != 99 || l.Max != 100 || l.Mean != 50.5 {
		t.Errorf("%+v", l)
	}
	if len(l.Histogram) != 6 || l.Histogram[0] != (Bin{0, 19, 19}) || l.Histogram[5] != (Bin{100, 119, 1}) {
		t.Errorf("bins %v", l.Histogram)
	}
	for _, c := range [][3]int{{0, 0, 1}, {0, 9, 1}, {0, 10, 2}, {5, 14, 1}, {0, 99, 10}, {0, 100, 20}, {100, 4095, 500}} {
		if got := binWidth(c[0], c[1]); got != c[2] {
			t.Errorf("bins from %d to %d are %d wide, want %d", c[0], c[1], got, c[2])
		}
	}
}
