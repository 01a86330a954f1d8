package probe

import "sync"

// Columns returns what a source counts, in the order of the counts of its units; nil for an unknown one. The slice is the caller's.
func (s Source) Columns() []Column {
	switch s {
	case Tap:
		return tapColumns()
	case Functions:
		return functionsColumns()
	case Syscalls:
		return syscallsColumns()
	case KVM:
		return kvmColumns()
	}
	return nil
}

// described has the columns of all sources by their names.
var described = sync.OnceValue(func() map[string]Column {
	all := make(map[string]Column)
	for _, s := range Sources() {
		for _, c := range s.Columns() {
			all[c.Name] = c
		}
	}
	return all
})

// Describe returns the subsystem of a source's column and what it counts, in plain words. It returns false for a name that no source has.
func Describe(name string) (subsystem, words string, ok bool) {
	c, ok := described()[name]
	return c.Subsystem, c.Words, ok
}
