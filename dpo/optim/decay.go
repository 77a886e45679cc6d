package optim

import (
	"regexp"
	"strings"
)

// undecayed are the names of norms and biases, as transformers' Trainer.get_decay_parameter_names has them.
var undecayed = regexp.MustCompile(`bias|layernorm|rmsnorm|(^|\.)norm($|\.)|_norm($|\.)`)

// Decays reports whether weight decay applies to a tensor of a checkpoint: not to norms and biases, to all else.
func Decays(tensor string) bool { return !undecayed.MatchString(strings.ToLower(tensor)) }
