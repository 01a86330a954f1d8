package probe

// kvmColumns returns what [KVM] counts.
func kvmColumns() []Column { return nil }
