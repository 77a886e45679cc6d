package tokenizer_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
)

func ExampleLoad() {
	tok, err := tokenizer.Load("../../testdata/models/tiny-llama")
	if err != nil {
		panic(err)
	}
	defer tok.Close()
	ids, _, err := tok.Encode("the cat sat")
	if err != nil {
		panic(err)
	}
	text, err := tok.Decode(ids)
	if err != nil {
		panic(err)
	}
	fmt.Printf("%q\n", text)
	// Output: "the cat sat"
}
