package hostile

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

func init() { register("checkpoint", checkpointCases) }

// sealedText is what a run writes behind its states.
func sealedText(text string) string {
	return text + fmt.Sprintf("{\"sha256\":\"%x\"}\n", sha256.Sum256([]byte(text)))
}

func hexSum(data []byte) string { return fmt.Sprintf("%x", sha256.Sum256(data)) }

// checkpointCases are of the folder step-000002 of a run with two tensors.
func checkpointCases() []Case {
	header := "{" + entry("a", "F32", "[2]", 0, 8) + "," + entry("b", "F32", "[1]", 8, 12) + "}"
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	tensors := tensorFile(header, 12)
	sums := fmt.Sprintf(`{"header":%q,"tensors":{"a":%q,"b":%q}}`, hexSum(tensors[:8+len(header)]), hexSum(make([]byte, 8)), hexSum(make([]byte, 4)))
	whole := `{"format":2,"step":2,"num_tokens":64,"metrics_bytes":10,"metrics_digest":"","events_bytes":10,"evaluated":-1,"reference_seconds":0.5,` +
		`"settings":{"lr":"0.001"},"model":"m","reference":"r","tokenizer":"t","data":"d","artifact":"g",` +
		`"plan":{"micro_tokens":1024,"passes":{"recompute":0,"probs":0,"recompute_head":false,"head_columns":0},"release_gradients":false},` +
		`"files":{"optimizer.safetensors":` + sums + `,"weights.safetensors":` + sums + `}}` + "\n"
	const dir = "step-000002/"
	l := list{file: dir + "state.json", beside: map[string][]byte{dir + "weights.safetensors": tensors, dir + "optimizer.safetensors": tensors}}

	l.cuts([]byte(sealedText(whole)), 0, 1, 20, 200, -90, -77, -76, -2, -1)
	l.text("no seal", whole)
	l.text("the seal of another state", whole+strings.TrimPrefix(sealedText(""), ""))
	l.text("two seals", sealedText(whole)+strings.TrimPrefix(sealedText(whole), whole))
	l.text("seal in capitals", whole+strings.ToUpper(strings.TrimPrefix(sealedText(whole), whole)))
	l.text("seal with a space", strings.Replace(sealedText(whole), `{"sha256":`, `{"sha256": `, 1))
	l.text("a line before", "\n"+sealedText(whole))
	l.text("a byte behind", sealedText(whole)+"\n")
	l.text("windows lines", strings.ReplaceAll(sealedText(whole), "\n", "\r\n"))

	change := func(name string, pairs ...string) {
		l.text(name, sealedText(strings.NewReplacer(pairs...).Replace(whole)))
	}
	for name, text := range map[string]string{"sealed nothing": "", "sealed null": "null\n", "sealed list": "[]\n", "sealed text": "\"state\"\n", "sealed twice the state": whole + whole,
		"sealed deep lists": deep("[", "", "]", 20_000) + "\n"} {
		l.text(name, sealedText(text))
	}
	change("unknown field", `"step":2`, `"step":2,"setp":2`)
	change("a field twice", `"step":2`, `"step":2,"step":2`)
	change("format of a program to come", `"format":2`, `"format":3`)
	change("format of none", `"format":2,`, ``)
	change("step is text", `"step":2`, `"step":"2"`)
	change("step is a fraction", `"step":2`, `"step":2.5`)
	change("step of another folder", `"step":2`, `"step":3`)
	change("step below zero", `"step":2`, `"step":-2`)
	change("step of 2 to the 63", `"step":2`, `"step":9223372036854775808`)
	change("tokens below zero", `"num_tokens":64`, `"num_tokens":-64`)
	change("metrics end before they begin", `"metrics_bytes":10`, `"metrics_bytes":-1`)
	change("events end before they begin", `"events_bytes":10`, `"events_bytes":-9223372036854775808`)
	change("evaluated after steps to come", `"evaluated":-1`, `"evaluated":3`)
	change("evaluated before minus one", `"evaluated":-1`, `"evaluated":-2`)
	change("best after steps to come", `"evaluated":-1`, `"evaluated":2,"best":{"step":4,"loss":0.5,"since":0}`)
	change("best since a number below zero", `"evaluated":-1`, `"evaluated":2,"best":{"step":2,"loss":0.5,"since":-1}`)
	change("plan without tokens", `"micro_tokens":1024`, `"micro_tokens":0`)
	change("plan of lanes below zero", `"micro_tokens":1024`, `"micro_tokens":1024,"lanes":-1`)
	change("plan of layers below zero", `"probs":0`, `"probs":-1`)
	change("settings are a list", `{"lr":"0.001"}`, `["lr"]`)
	change("settings are numbers", `"0.001"`, `0.001`)
	change("no digests of weights", `,"weights.safetensors":`+sums, ``)
	change("no digests at all", `"files":{"optimizer.safetensors":`+sums+`,"weights.safetensors":`+sums+`}`, `"files":{}`)
	change("digests of a file outside", `"weights.safetensors":`, `"../weights.safetensors":`)
	change("digests of a further file", `"weights.safetensors":`, `"more.safetensors":`+sums+`,"weights.safetensors":`)
	change("digest is no hexadecimal", hexSum(make([]byte, 4)), "xyz")
	change("digest of a tensor too much", `"tensors":{`, `"tensors":{"c":"`+hexSum(nil)+`",`)
	change("digest of a tensor too few", `"b":"`+hexSum(make([]byte, 4))+`"`, ``, `"`+hexSum(make([]byte, 8))+`",`, `"`+hexSum(make([]byte, 8))+`"`)
	change("digest of other elements", hexSum(make([]byte, 4)), hexSum([]byte{0, 0, 0, 1}))
	change("digest of another header", hexSum(tensors[:8+len(header)]), hexSum(nil))

	good := []byte(sealedText(whole))
	for name, content := range map[string][]byte{"weights are cut": tensors[:len(tensors)-1], "weights are empty": nil, "weights are longer": append(append([]byte{}, tensors...), 0),
		"weights with a bit changed": flipped(tensors, len(tensors)-1), "weights with their header changed": flipped(tensors, 10),
		"weights of other names":  tensorFile(strings.Replace(header, `"b"`, `"c"`, 1), 12),
		"weights of another type": tensorFile(strings.ReplaceAll(header, `"F32"`, `"I32"`), 12)} {
		l.with(name, good, map[string][]byte{dir + "weights.safetensors": content})
	}
	l.with("optimizer with a bit changed", good, map[string][]byte{dir + "optimizer.safetensors": flipped(tensors, len(tensors)-12)})
	return append(l.cases,
		Case{Name: "no weights", Files: map[string][]byte{dir + "state.json": good, dir + "optimizer.safetensors": tensors}},
		Case{Name: "no state", Files: map[string][]byte{dir + "weights.safetensors": tensors, dir + "optimizer.safetensors": tensors}},
		Case{Name: "state is a folder", Files: map[string][]byte{dir + "state.json/x": good, dir + "weights.safetensors": tensors, dir + "optimizer.safetensors": tensors}},
		Case{Name: "weights are a folder", Files: map[string][]byte{dir + "state.json": good, dir + "weights.safetensors/x": tensors, dir + "optimizer.safetensors": tensors}})
}

// flipped is data with a bit of one byte changed.
func flipped(data []byte, at int) []byte {
	out := append([]byte{}, data...)
	out[at] ^= 4
	return out
}
