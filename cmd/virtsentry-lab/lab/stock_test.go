package lab

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNetworkDriver(t *testing.T) {
	device := filepath.Join(t.TempDir(), "vhost-net")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name        string
		ust         bool
		nic, device string
		want        string
	}{
		{"trace points are to see packets", true, "virtio", device, DriverQEMU},
		{"stock, with vhost-net", false, "virtio", device, DriverVhost},
		{"stock, a kernel without", false, "virtio", device + "-none", DriverQEMU},
		{"an emulated card", false, "e1000e", device, ""},
	} {
		if got, err := networkDriver(tt.ust, tt.nic, tt.device); err != nil || got != tt.want {
			t.Errorf("%s: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
	if _, err := networkDriver(false, "virtio", device+"/x"); err == nil {
		t.Error("a device that cannot be looked at: no error")
	}
}

func TestHasUST(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := hasUST(self); err != nil || got {
		t.Errorf("this test is no QEMU with trace points: %v, %v", got, err)
	}
	if got, err := hasFunctions(self); err != nil || got {
		t.Errorf("this test is no QEMU with functions: %v, %v", got, err)
	}
	text := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{text, text + "-none"} {
		_, ust := hasUST(path)
		if _, functions := hasFunctions(path); ust == nil || functions == nil {
			t.Errorf("%s: no error", path)
		}
	}
}
