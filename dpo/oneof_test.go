package dpo

import (
	"errors"
	"strings"
	"testing"
)

func TestOneOfListsAndSuggests(t *testing.T) {
	if err := OneOf("eos", "add", []string{"add", "keep"}); err != nil {
		t.Error(err)
	}
	err := OneOf("eos", "kepe", []string{"add", "keep"})
	var usage *UsageError
	if !errors.As(err, &usage) || !strings.HasSuffix(err.Error(), `eos must be one of add, keep, it is "kepe": did you mean keep?`) {
		t.Errorf("error %v", err)
	}
}
