package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// maxLines bounds a value: each line more is one more attempt to parse it.
const maxLines = 256

// statement is the part of a file that stands for itself: the head of a table, or a key and its value.
type statement struct {
	line  int    // of its first line, from 1
	text  string // of all its lines
	head  string // text of the table's head under which it stands; "": none
	table toml.Key
	keys  []toml.Key // that it sets, with the table's name; an inline table has several
}

// split cuts a valid TOML text into its statements. The library tells the lines of what it cannot parse, but not those of the keys that it can: the
// key of an array's tables it knows only once. What a statement is, is left to it: lines up to the first at which they can be parsed.
func split(text string) ([]statement, error) {
	var all []statement
	var head string
	var table toml.Key
	lines := strings.SplitAfter(text, "\n")
	for first := 0; first < len(lines); {
		n, keys, ok := leading(lines[first:min(len(lines), first+maxLines)])
		if !ok {
			return nil, fmt.Errorf("line %d: a value of more than %d lines", first+1, maxLines)
		}
		s := statement{line: first + 1, text: strings.Join(lines[first:first+n], "")}
		first += n
		if len(keys) == 0 {
			continue // space or a comment
		}
		if isHead(s.text) {
			head, table = s.text, keys[len(keys)-1]
			s.table, s.keys = table, []toml.Key{table}
		} else {
			s.head, s.table = head, table
			for _, k := range keys {
				s.keys = append(s.keys, slices.Concat(table, k))
			}
		}
		all = append(all, s)
	}
	return all, nil
}

// leading is the number of lines of the first statement, and its keys.
func leading(lines []string) (int, []toml.Key, bool) {
	for n := range lines {
		var values map[string]any
		if meta, err := toml.Decode(strings.Join(lines[:n+1], ""), &values); err == nil {
			return n + 1, meta.Keys(), true
		}
	}
	return 0, nil, false
}

// space may stand before a statement: also the mark at the start of a file.
const space = "\ufeff \t"

func isHead(text string) bool { return strings.HasPrefix(strings.TrimLeft(text, space), "[") }

// opensDomain says whether a statement is the head [[domain]].
func (s statement) opensDomain() bool {
	return s.ofDomain() && len(s.keys[0]) == 1 && strings.HasPrefix(strings.TrimLeft(s.text, space), "[[")
}

// ofDomain says whether a statement is about a [[domain]].
func (s statement) ofDomain() bool { return s.keys[0][0] == "domain" }

// check says whether the statement can be read into a Config, and names its line where it cannot.
func (s statement) check() error {
	for _, key := range s.keys {
		if unknown := firstUnknown(key); unknown != nil {
			return fmt.Errorf("line %d: unknown key %s%s", s.line, unknown, suggestion(unknown))
		}
	}
	var scratch Config
	_, err := toml.Decode(s.head+s.text, &scratch)
	if err == nil {
		return nil
	}
	text := err.Error()
	var parse toml.ParseError
	if errors.As(err, &parse) {
		text = parse.Message
	} else if _, after, found := strings.Cut(text, "): "); found {
		text = after // what is before it is the line within this statement, and the key
	}
	return fmt.Errorf("line %d: %s: %s", s.line, s.keys[0], text)
}

// known has the keys of a Config and true for tables.
var known = func() map[string]bool {
	keys := map[string]bool{"domain": true}
	visit := func(key string, _ reflect.Value) {
		if table, _, ok := strings.Cut(key, "."); ok {
			keys[table] = true
			keys[key] = false
		}
	}
	walk(reflect.ValueOf(Config{}), "", visit)
	walk(reflect.ValueOf(Match{}), "domain.", visit)
	return keys
}()

// firstUnknown is the key up to the first part that is not known, nil when all of it is.
func firstUnknown(key toml.Key) toml.Key {
	for n := range key {
		if _, ok := known[key[:n+1].String()]; !ok {
			return key[:n+1]
		}
	}
	return nil
}

// suggestion is what may be meant by an unknown key: one of nearly the same name in the same table, or of the same name in another one.
func suggestion(unknown toml.Key) string {
	table, name := unknown[:len(unknown)-1].String(), unknown[len(unknown)-1]
	best, bestDistance := "", 3
	for _, key := range slices.SortedFunc(maps.Keys(known), cmp.Compare[string]) {
		keyTable, keyName := "", key
		if i := strings.IndexByte(key, '.'); i >= 0 {
			keyTable, keyName = key[:i], key[i+1:]
		}
		d := distance(strings.ToLower(name), keyName)
		switch {
		case keyTable == table && d < min(bestDistance, len(keyName)):
			best, bestDistance = key, d
		case keyTable != table && d == 0 && bestDistance >= 2:
			best, bestDistance = key, 2
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s?)", best)
}

// distance is the number of letters to insert, to delete or to change that make b of a (Levenshtein).
func distance(a, b string) int {
	if len(a) > 2*len(b)+2 {
		return len(a) // far, whatever it is
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
