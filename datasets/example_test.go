package datasets_test

import (
	"errors"
	"fmt"

	"github.com/dpo-ort/dpo-ort/datasets"
	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
)

func ExampleRead() {
	files, err := datasets.Expand([]string{"../testdata/pref/*.ranked.jsonl"})
	if err != nil {
		panic(err)
	}
	groups := 0
	for group, err := range datasets.Read(files, datasets.Options{}) {
		var bad *datasets.RowError
		switch {
		case errors.As(err, &bad):
			continue // the rows after it can be read
		case err != nil:
			panic(err)
		}
		if groups == 0 {
			fmt.Println(len(group.Completions), "answers, the best first")
		}
		groups++
	}
	fmt.Println(groups, "groups")
	// Output:
	// 4 answers, the best first
	// 16 groups
}

func ExampleEncoder() {
	tok, err := tokenizer.Load("../testdata/models/tiny-llama")
	if err != nil {
		panic(err)
	}
	defer tok.Close()
	enc := &datasets.Encoder{Tokenizer: tok, MaxLength: 512, MaxPromptLength: 256}
	example, err := enc.Encode(datasets.Group{
		Prompt:      datasets.Text{String: "the cat"},
		Completions: []datasets.Text{{String: " sat down"}, {String: " ran"}},
	})
	if err != nil {
		panic(err)
	}
	eos, _, _ := tok.EOS()
	for _, c := range example.Completions {
		fmt.Println("ends with EOS:", c.IDs[len(c.IDs)-1] == eos)
	}
	// Output:
	// ends with EOS: true
	// ends with EOS: true
}
