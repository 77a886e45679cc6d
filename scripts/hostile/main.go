// Command hostile writes the malformed files of internal/hostile into a folder: one below it for each format, and in that one for
// each case.
//
//	go run ./scripts/hostile DIR
package main

import (
	"fmt"
	"os"

	"github.com/dpo-ort/dpo-ort/internal/hostile"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./scripts/hostile DIR")
		os.Exit(2)
	}
	count := map[string]int{}
	for _, c := range hostile.Cases() {
		if _, err := c.Write(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		count[c.Format]++
	}
	total := 0
	for _, name := range hostile.Formats() {
		fmt.Printf("%5d %s\n", count[name], name)
		total += count[name]
	}
	fmt.Printf("%5d in all, in %s\n", total, os.Args[1])
}
