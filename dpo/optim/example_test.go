package optim_test

import (
	"fmt"

	"github.com/dpo-ort/dpo-ort/dpo/optim"
)

func ExampleNewSchedule() {
	s, err := optim.NewSchedule("linear", nil, 1, 2, 6, "paper")
	if err != nil {
		panic(err)
	}
	for i := range 6 {
		fmt.Printf("%.2f ", s.Rate(i))
	}
	// Output: 0.33 0.67 1.00 0.75 0.50 0.25
}
