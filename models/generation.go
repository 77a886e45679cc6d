package models

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/dpo-ort/dpo-ort/internal/plainjson"
)

// Generation is what a model directory says of text that is to be generated.
type Generation struct {
	Context int     // positions that the model was made for (max_position_embeddings); 0 if it does not say
	EOS     []int32 // tokens that end a text, as transformers' generate has them; nil if none is named
}

// ReadGeneration reads DIR/config.json, and DIR/generation_config.json where there is one: its eos_token_id goes first.
func ReadGeneration(dir string) (g Generation, err error) {
	var config struct {
		Context int      `json:"max_position_embeddings"`
		Older   int      `json:"n_positions"` // as GPT-2 and GPT-J call it
		EOS     tokenIDs `json:"eos_token_id"`
	}
	for _, name := range []string{configName, "generation_config.json"} {
		home, err := Home(dir, name)
		if err != nil {
			return g, fmt.Errorf("read how to generate: %w", err)
		}
		path := filepath.Join(home, name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) && name != configName {
			continue
		}
		if err == nil {
			config.EOS = nil
			err = plainjson.Unmarshal(text, &config)
		}
		if err != nil {
			return g, fmt.Errorf("read how to generate: %s: %w", path, err)
		}
		config.Context = cmp.Or(config.Context, config.Older)
		if config.Context < 0 || config.Context > math.MaxInt32 {
			return g, fmt.Errorf("read how to generate: %s: max_position_embeddings is %d: a length is needed", path, config.Context)
		}
		if slices.ContainsFunc(config.EOS, func(id int32) bool { return id < 0 }) {
			return g, fmt.Errorf("read how to generate: %s: eos_token_id is %v: ids are not negative", path, config.EOS)
		}
		if config.EOS != nil {
			g.EOS = config.EOS
		}
	}
	g.Context = config.Context
	return g, nil
}

// tokenIDs are a number, a list of numbers, or null.
type tokenIDs []int32

// UnmarshalJSON reads either form.
func (t *tokenIDs) UnmarshalJSON(text []byte) error {
	if slices.Equal(text, []byte("null")) {
		return nil
	}
	var list []*int32
	if err := json.Unmarshal(text, &list); err == nil && !slices.Contains(list, nil) {
		*t = make([]int32, len(list))
		for i, id := range list {
			(*t)[i] = *id
		}
		return nil
	}
	*t = make([]int32, 1)
	if err := json.Unmarshal(text, &(*t)[0]); err != nil {
		return errors.New("a token such as eos_token_id must be an id, or a list of ids")
	}
	return nil
}
