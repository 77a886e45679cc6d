package tokenizer_test

import (
	"fmt"
	"log"

	"github.com/dpo-ort/dpo-ort/datasets/tokenizer"
)

func ExampleLoad() {
	tok, err := tokenizer.Load("../../testdata/models/tiny-llama")
	if err != nil {
		log.Fatal(err)
	}
	defer tok.Close()
	ids, _, err := tok.Encode("the cat sat")
	if err != nil {
		log.Fatal(err)
	}
	text, err := tok.Decode(ids)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", text)
	// Output: "the cat sat"
}
