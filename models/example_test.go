package models_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/models"
)

func ExampleOpen() {
	m, err := models.Open("../testdata/models/tiny-llama")
	if err != nil {
		panic(err)
	}
	defer m.Close()
	fmt.Println(m.Architecture, m.WeightType(), m.Parameters(), "parameters")
	for _, s := range m.Stages() {
		fmt.Println(s.Name, "runs graph", s.Graph)
	}
	// Output:
	// LlamaForCausalLM F32 28832 parameters
	// embed runs graph embed
	// layers.0 runs graph block
	// layers.1 runs graph block
	// final runs graph final
	// head runs graph head
}
