package hub

import (
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// What a model is made of: weights in safetensors, its tokenizer and its configuration. Nothing that can hold code.
var (
	weightFiles = regexp.MustCompile(`^(?:model(?:-[0-9]{5}-of-[0-9]{5})?|adapter_model)\.safetensors$`)
	modelFiles  = regexp.MustCompile(`^(?:model\.safetensors\.index\.json|(?:adapter_)?config\.json|generation_config\.json|` +
		`tokenizer\.json|tokenizer_config\.json|special_tokens_map\.json|added_tokens\.json|chat_template\.(?:jinja|json)|vocab\.json|merges\.txt|tokenizer\.model)$`)
	pickles = regexp.MustCompile(`\.(?:bin|pt|pth|pkl|ckpt|h5|msgpack)$`)
)

// chooseModel gives the files of a model, without its weights if only its configuration and tokenizer are asked for.
func chooseModel(files map[string]file, weights bool) (chosen []string, err error) {
	whole, pickled := false, ""
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case weightFiles.MatchString(name):
			whole = true
			if weights {
				chosen = append(chosen, name)
			}
		case modelFiles.MatchString(name):
			chosen = append(chosen, name)
		case pickles.MatchString(name) && pickled == "":
			pickled = name
		}
	}
	_, config := files["config.json"]
	_, adapter := files["adapter_config.json"]
	switch {
	case !config && !adapter:
		return nil, fmt.Errorf("it holds no config.json, so it is no model: its files are %s", some(slices.Sorted(maps.Keys(files))))
	case weights && !whole && pickled != "":
		return nil, fmt.Errorf("it holds no safetensors, only %s, which can run code and is never loaded: have it converted to safetensors", pickled)
	case weights && !whole:
		return nil, fmt.Errorf("it holds no model.safetensors, nor a part of one: its files are %s", some(slices.Sorted(maps.Keys(files))))
	}
	return chosen, nil
}

var (
	dataFiles = regexp.MustCompile(`\.(?:parquet|jsonl|ndjson|json)$`)
	// What lies beside data and describes it.
	beside = regexp.MustCompile(`(?:^|/)(?:dataset_infos?|dataset_dict|state|config)\.json$|(?:^|/)[._]`)
	splits = regexp.MustCompile(`(?i)(?:^|[^a-z])(train|training|test|testing|valid|validation|dev|eval)(?:[^a-z]|$)`)
)

// chooseData gives the files of a data set that a path names: a file, all data below a folder, or what a glob matches, in which ** stands
// for any folders. Without a path it is all data, where that is not of several splits: held-out rows are not to be trained on by mistake.
func chooseData(files map[string]file, at string) (chosen []string, err error) {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == at {
			return []string{name}, nil
		}
		if dataFiles.MatchString(name) && !beside.MatchString(name) {
			all = append(all, name)
		}
	}
	held := map[string]bool{}
	for _, name := range all {
		if at == "" || strings.HasPrefix(name, at+"/") || matches(at, name) {
			chosen = append(chosen, name)
			if m := splits.FindStringSubmatch(name); m != nil {
				held[strings.ToLower(m[1])] = true
			}
		}
	}
	switch {
	case len(chosen) == 0 && at != "":
		return nil, fmt.Errorf("no file in it matches %s: its data is %s", at, some(all))
	case len(chosen) == 0:
		return nil, fmt.Errorf("it holds no Parquet or JSON: its files are %s; hf://datasets/OWNER/NAME@refs/convert/parquet has what the hub made of other formats", some(slices.Sorted(maps.Keys(files))))
	case len(held) > 1 && !strings.ContainsAny(at, "*?["):
		return nil, fmt.Errorf("it holds several splits (%s): name one, by a file or a glob such as %s",
			strings.Join(slices.Sorted(maps.Keys(held)), ", "), splitGlob(chosen[0]))
	}
	return chosen, nil
}

// splitGlob is a glob for the files of the split that a name is of.
func splitGlob(name string) string {
	m := splits.FindStringSubmatchIndex(name)
	if m == nil || strings.Contains(name[m[3]:], "/") {
		return path.Dir(name) + "/*"
	}
	return name[:m[3]] + "*"
}

// matches is path.Match, part by part, with ** for any number of folders.
func matches(pattern, name string) bool {
	if pattern == "" || name == "" {
		return pattern == name
	}
	first, rest, _ := strings.Cut(pattern, "/")
	folder, below, _ := strings.Cut(name, "/")
	if first == "**" {
		return rest == "" || matches(rest, name) || matches(pattern, below)
	}
	ok, err := path.Match(first, folder)
	return err == nil && ok && matches(rest, below)
}

// some lists names, and how many more there are.
func some(names []string) string {
	const shown = 12
	if len(names) == 0 {
		return "none"
	}
	text := strings.Join(names[:min(len(names), shown)], ", ")
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
