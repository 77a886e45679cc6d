package datasets

import (
	"reflect"
	"testing"
)

// Labels are booleans, or numbers that stand for one; a string is none, and is told from a label that is not there.
func TestLabels(t *testing.T) {
	data := `{"prompt":"p","completion":"a","label":true}
{"prompt":"p","completion":"b","label":false}
{"prompt":"p","completion":"c","label":1}
{"prompt":"p","completion":"d","label":0}
{"prompt":"p","completion":"e","label":"good"}
{"prompt":"p","completion":"f","label":0.5}
{"prompt":"p","completion":"g"}
`
	var got []Label
	for g, err := range Read([]string{write(t, "labels.jsonl", data)}, Options{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, g.Label)
	}
	want := []Label{Desirable, Undesirable, Desirable, Undesirable, Worded, Unlabelled, Unlabelled}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("labels %v, want %v", got, want)
	}
}

// A pair is two rows whose tokens are those of the pair; where the prompts of its answers differ in their end, each has its own.
func TestUnpair(t *testing.T) {
	pair := Example{Prompt: []int32{1, 2}, Completions: []Completion{{IDs: []int32{3, 4}, Start: 0}, {IDs: []int32{5, 6, 7}, Start: 1, Truncated: true}},
		Ref: []float64{-1, -2}, File: "f", Row: 9}
	want := []Example{
		{Prompt: []int32{1, 2}, Completions: []Completion{{IDs: []int32{3, 4}}}, Label: Desirable, Ref: []float64{-1}, File: "f", Row: 9},
		{Prompt: []int32{1, 2, 5}, Completions: []Completion{{IDs: []int32{6, 7}, Truncated: true}}, Label: Undesirable, Ref: []float64{-2}, File: "f", Row: 9},
	}
	if got := Unpair(pair); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	single, divided, tied := pair, pair, pair
	single.Completions, divided.Dissent, tied.Places = pair.Completions[:1], 0.25, []int{0, 0}
	for _, x := range []Example{single, divided, tied} {
		if got := Unpair(x); got != nil {
			t.Errorf("%+v is unpaired to %+v", x, got)
		}
	}
}

// Labels come out of a Parquet file's booleans, and a survey tells rows that contradict each other.
func TestLabelsOfParquet(t *testing.T) {
	type labelled struct {
		Prompt     string `parquet:"prompt"`
		Completion string `parquet:"completion"`
		Label      bool   `parquet:"label"`
	}
	file := writeParquet(t, []labelled{{"p", "a", true}, {"p", "b", false}, {"p", "a", false}, {"p", "a", true}}, 2)
	var last *Inspection
	for in, err := range Inspect([]string{file}, nil, Options{}, &Encoder{}) {
		if err != nil {
			t.Fatal(err)
		}
		last = in
	}
	if last.Kind != Singles || last.Desirable != 2 || last.Undesirable != 2 || last.survey.repeats != 1 || last.survey.reverse != 1 {
		t.Errorf("%s: %d desirable, %d not, %d repeated, %d contradicted; want singles, 2, 2, 1, 1", last.Kind, last.Desirable, last.Undesirable, last.survey.repeats, last.survey.reverse)
	}
}
