package hostile

import (
	"fmt"
	"strings"
)

func init() {
	register("jsonl", func() []Case {
		l := list{file: "rows.jsonl"}
		for _, f := range rowFaults {
			l.text(f[0], `{"prompt":"p","chosen":"a","rejected":"b"}`+"\n"+f[1]+"\n")
		}
		for _, f := range columnFaults {
			l.text(f[0], f[1]+"\n")
		}
		whole := `{"prompt":"p","chosen":"a","rejected":"b"}` + "\n" + `{"prompt":"\u00e9","chosen":"a","rejected":"b"}`
		l.cuts([]byte(whole), 0, 1, 9, 20, -1, -3, -20, -32)
		l.text("an array in a file of lines", "["+strings.Replace(whole, "\n", ",", 1)+"]")
		l.text("an object over several lines", "{\n\"prompt\":\"p\",\n\"chosen\":\"a\",\"rejected\":\"b\"}")
		l.text("two objects in a line", strings.Replace(whole, "\n", " ", 1))
		l.text("UTF-16", "\xff\xfe{\x00\"\x00p\x00\"\x00:\x001\x00}\x00")
		l.text("gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xabV*(\xca\xcf-(Q\xb2R*PJ\xad\x05\x00")
		l.text("HTML", "<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n")
		l.text("CSV", "prompt,chosen,rejected\np,a,b\n")
		l.text("a pointer of Git LFS", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n")
		l.text("a line of spaces and nothing else", strings.Repeat(" ", 1<<16)+"\n\n")
		l.text("a line of brackets", strings.Repeat("[", 1<<20))
		return l.cases
	})
	register("json", func() []Case {
		l := list{file: "rows.json"}
		for _, f := range rowFaults {
			l.text(f[0], `[{"prompt":"p","chosen":"a","rejected":"b"},`+f[1]+`]`)
		}
		whole := `[{"prompt":"p","chosen":"a","rejected":"b"},{"prompt":"p","chosen":"c","rejected":"d"}]`
		l.cuts([]byte(whole), 0, 1, 2, 20, 44, 45, -2, -1)
		for _, f := range [][2]string{
			{"a number", `7`}, {"a text", `"rows"`}, {"null", `null`}, {"an empty array", `[]`},
			{"an array of arrays", `[["p","a","b"]]`},
			{"an array of null", `[null]`},
			{"rows in a field", `{"data":[{"prompt":"p","chosen":"a","rejected":"b"}]}`},
			{"columns with lists of all rows", `{"prompt":["p"],"chosen":["a"],"rejected":["b"]}`},
			{"a comma at the end", `[{"prompt":"p","chosen":"a","rejected":"b"},]`},
			{"no comma between rows", `[{"prompt":"p","chosen":"a","rejected":"b"} {"prompt":"p","chosen":"a","rejected":"b"}]`},
			{"a comment", "[// rows\n" + whole[1:]},
			{"more after the array", whole + `[]`},
			{"text after the array", whole + ` and so on`},
			{"brackets without end", strings.Repeat("[", 1<<20)},
			{"a NUL before all", "\x00" + whole},
		} {
			l.text(f[0], f[1])
		}
		return l.cases
	})
}

// pairWith is a row with a column besides.
func pairWith(column string) string {
	return `{"prompt":"p","chosen":"a","rejected":"b",` + column + `}`
}

// answersWith is a row of two answers with a column besides.
func answersWith(column string) string {
	return `{"prompt":"p","completions":["a","b"],` + column + `}`
}

// rowFaults are rows that mean nothing, each in one line.
var rowFaults = [][2]string{
	{"row is a list", `["p","a","b"]`},
	{"row is a number", `17`},
	{"row is null", `null`},
	{"row is a text", `"p"`},
	{"row is true", `true`},
	{"row is empty", `{}`},
	{"field without a value", `{"prompt":}`},
	{"field without a colon", `{"prompt" "p"}`},
	{"field's name is no text", `{1:"p"}`},
	{"field's name in single quotes", `{'prompt':'p'}`},
	{"comma too much", `{"prompt":"p","chosen":"a","rejected":"b",}`},
	{"value is NaN", pairWith(`"margin":NaN`)},
	{"value is Infinity", pairWith(`"margin":Infinity`)},
	{"value is None", pairWith(`"margin":None`)},
	{"number with a leading zero", pairWith(`"margin":01`)},
	{"number in hexadecimal", pairWith(`"margin":0x1`)},
	{"number too large", pairWith(`"margin":1e999`)},
	{"control character in text", "{\"prompt\":\"a\tb\",\"chosen\":\"a\",\"rejected\":\"b\"}"},
	{"unknown escape", `{"prompt":"\q","chosen":"a","rejected":"b"}`},
	{"escape that is cut", `{"prompt":"\u12","chosen":"a","rejected":"b"}`},
	{"no UTF-8", "{\"prompt\":\"caf\xe9\",\"chosen\":\"a\",\"rejected\":\"b\"}"},
	{"UTF-8 too long", "{\"prompt\":\"\xc0\xaf\",\"chosen\":\"a\",\"rejected\":\"b\"}"},
	{"half a character", `{"prompt":"\ud83d","chosen":"a","rejected":"b"}`},
	{"half a character in a name", `{"prompt\udc00":"p","prompt":"p","chosen":"a","rejected":"b"}`},
	{"NUL in the prompt", `{"prompt":"a\u0000b","chosen":"a","rejected":"b"}`},
	{"NUL in an answer", `{"prompt":"p","chosen":"\u0000","rejected":"b"}`},
	{"a column twice", `{"prompt":"p","chosen":"a","chosen":"c","rejected":"b"}`},
	{"a column twice by another spelling", `{"prompt":"p","chosen":"a","\u0063hosen":"c","rejected":"b"}`},
	{"a key twice in a message", `{"prompt":"p","chosen":[{"role":"user","content":"a","content":"c"}],"rejected":[{"role":"user","content":"b"}]}`},
	{"nesting of eleven thousand lists", pairWith(`"extra":` + deep("[", "", "]", 11_000))},
	{"nesting of eleven thousand objects", pairWith(`"extra":` + deep(`{"a":`, "1", "}", 11_000))},
	{"prompt is a number", `{"prompt":7,"chosen":"a","rejected":"b"}`},
	{"prompt is true", `{"prompt":true,"chosen":"a","rejected":"b"}`},
	{"prompt is null", `{"prompt":null,"chosen":"a","rejected":"b"}`},
	{"chosen is null", `{"prompt":"p","chosen":null,"rejected":"b"}`},
	{"chosen is missing", `{"prompt":"p","rejected":"b"}`},
	{"rejected is missing", `{"prompt":"p","chosen":"a"}`},
	{"chosen is an object", `{"prompt":"p","chosen":{"content":"a"},"rejected":"b"}`},
	{"chosen is a list of text", `{"prompt":"p","chosen":["a"],"rejected":["b"]}`},
	{"chosen is text, rejected messages", `{"prompt":"p","chosen":"a","rejected":[{"role":"assistant","content":"b"}]}`},
	{"message without a role", `{"prompt":"p","chosen":[{"content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}`},
	{"message whose role is a number", `{"prompt":"p","chosen":[{"role":1,"content":"a"}],"rejected":[{"role":"assistant","content":"b"}]}`},
	{"message whose content is a number", `{"prompt":"p","chosen":[{"role":"assistant","content":1}],"rejected":[{"role":"assistant","content":"b"}]}`},
	{"message with a picture", `{"prompt":"p","chosen":[{"role":"assistant","content":[{"type":"image","url":"x"}]}],"rejected":[{"role":"assistant","content":"b"}]}`},
	{"message that is null", `{"prompt":"p","chosen":[null],"rejected":[null]}`},
	{"answers are a text", `{"prompt":"p","completions":"a","ranks":[1]}`},
	{"answers are empty", `{"prompt":"p","completions":[],"ranks":[]}`},
	{"answers hold null", `{"prompt":"p","completions":["a",null],"ranks":[1,2]}`},
	{"answers without ranks or scores", `{"prompt":"p","completions":["a","b"]}`},
	{"ranks and scores are null", answersWith(`"ranks":null,"scores":null`)},
	{"ranks are a number", answersWith(`"ranks":1`)},
	{"ranks are words", answersWith(`"ranks":["first","second"]`)},
	{"ranks for three answers", answersWith(`"ranks":[1,2,3]`)},
	{"ranks for one answer", answersWith(`"ranks":[1]`)},
	{"ranks hold a list", answersWith(`"ranks":[1,[2]]`)},
	{"ranks hold true", answersWith(`"ranks":[1,true]`)},
	{"a rank too large", answersWith(`"ranks":[1,1e400]`)},
	{"scores hold a text of NaN", answersWith(`"scores":[1,"NaN"]`)},
	{"scores hold NaN", answersWith(`"scores":[1,NaN]`)},
	{"scores are an object", answersWith(`"scores":{"a":1}`)},
	{"log-probabilities hold null", answersWith(`"ranks":[1,2],"ref_logps":[-1,null]`)},
	{"log-probabilities for three answers", answersWith(`"ranks":[1,2],"ref_logps":[-1,-2,-3]`)},
	{"a log-probability is text", pairWith(`"ref_chosen_logps":"-1","ref_rejected_logps":-2`)},
	{"margin is text", pairWith(`"margin":"1"`)},
	{"margin is a list", pairWith(`"margin":[1]`)},
	{"share of votes above one", pairWith(`"chosen_share":1.5`)},
	{"share of votes is negative", pairWith(`"chosen_share":-0.1`)},
	{"share of votes is text", pairWith(`"chosen_share":"most"`)},
	{"votes are a text", `{"prompt":"p","a":"x","b":"y","votes":"a"}`},
	{"votes are empty", `{"prompt":"p","a":"x","b":"y","votes":[]}`},
	{"votes for a third", `{"prompt":"p","a":"x","b":"y","votes":["a","c"]}`},
	{"votes of minus one", `{"prompt":"p","a":"x","b":"y","votes":{"a":-1,"b":2}}`},
	{"votes too many to count", `{"prompt":"p","a":"x","b":"y","votes":{"a":1e300,"b":1e300}}`},
	{"votes for nobody", `{"prompt":"p","a":"x","b":"y","votes":{"a":0,"b":0}}`},
	{"finish reason is a number", pairWith(`"chosen_finish_reason":1`)},
	{"finish reasons for one answer", answersWith(`"ranks":[1,2],"finish_reasons":["stop"]`)},
	{"finish reasons hold a number", answersWith(`"ranks":[1,2],"finish_reasons":["stop",2]`)},
	{"finish reasons are a text", answersWith(`"ranks":[1,2],"finish_reasons":"stop"`)},
}

// columnFaults are first rows that show that a whole file has not the columns needed.
var columnFaults = [][2]string{
	{"no column known", `{"question":"p","answer":"a"}`},
	{"a prompt alone", `{"prompt":"p"}`},
	{"columns in capitals", `{"Prompt":"p","Chosen":"a","Rejected":"b"}`},
	{"columns with spaces", `{" prompt":"p","chosen ":"a","rejected":"b"}`},
	{"a thousand columns", "{" + manyFields(1000) + "}"},
}

func manyFields(n int) string {
	var parts []string
	for i := range n {
		parts = append(parts, fmt.Sprintf(`"c%d":%d`, i, i))
	}
	return strings.Join(parts, ",")
}
