// Package syscallname knows the names of Linux's system calls by their numbers.
package syscallname

import "sync"

//go:generate go run gen.go

// Of is the name of a system call by its number on an architecture, as Go calls that (amd64, arm64); empty: it is not known.
func Of(architecture string, number int) string { return names[architecture][number] }

// Number is the number of a system call by its name on an architecture, as Of has them; false: there is none of that name.
func Number(architecture, name string) (int, bool) {
	n, ok := numbers()[architecture][name]
	return n, ok
}

var numbers = sync.OnceValue(func() map[string]map[string]int {
	all := make(map[string]map[string]int, len(names))
	for architecture, of := range names {
		all[architecture] = make(map[string]int, len(of))
		for number, name := range of {
			all[architecture][name] = number
		}
	}
	return all
})
