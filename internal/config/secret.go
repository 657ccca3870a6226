package config

import (
	"fmt"
	"log/slog"
)

// Secret is text that is never printed.
type Secret string

const hidden = "(hidden)"

// Format hides the text from every fmt verb.
func (Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, hidden) }

// LogValue hides the text from slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the text from encoders.
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }
