// Package syscallname knows the names of Linux's system calls by their numbers.
package syscallname

//go:generate go run gen.go

// Of is the name of a system call by its number on an architecture, as Go calls that (amd64, arm64); empty: it is not known.
func Of(architecture string, number int) string { return names[architecture][number] }
