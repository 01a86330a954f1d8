package kernel

// attachKVM attaches the programs of [probe.KVM].
func attachKVM(Target, Options) (instrument, error) { return instrument{}, ErrUnsupported }
