package models

import (
	"fmt"
	"maps"
	"slices"
)

// ConfigSurvey is what is made of a config.json: its class, the names of its fields that are read and of those that change nothing here, and
// why what it asks for cannot be had, a reason each; none if it is supported.
type ConfigSurvey struct {
	Class, Family   string
	Reads, PassesBy []string
	Refuses         []error
}

// SurveyConfig reads DIR/config.json, of an adapter its base's. An error says why nothing can be said of it: it is no configuration, or its
// architecture is not supported.
func SurveyConfig(dir string) (s ConfigSurvey, err error) {
	if dir, err = Home(dir, configName); err != nil {
		return s, err
	}
	c, err := ReadConfig(dir)
	if err != nil {
		return s, err
	}
	var d Decoder
	if s.Class, d, err = c.decode(); err != nil {
		return s, err
	}
	s.Family = Family(s.Class)
	if d.Scalar {
		s.Family = "reward model"
	}
	unknown := c.unknown()
	for _, name := range unknown {
		c.refuse("field %s is not known, and may change what the model computes", name)
	}
	for _, reason := range c.errs {
		s.Refuses = append(s.Refuses, fmt.Errorf("read %s: %s", c.Path, reason))
	}
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		switch {
		case slices.Contains(unknown, name):
		case c.used[name]:
			s.Reads = append(s.Reads, name)
		default:
			s.PassesBy = append(s.PassesBy, name)
		}
	}
	return s, nil
}
