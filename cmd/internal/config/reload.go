package config

import (
	"reflect"
	"slices"
)

// AtRunTime is the new configuration as far as it can take effect without a restart: the keys that NeedsRestart names are as they are in c.
func (c Config) AtRunTime(n Config) Config {
	n.Libvirt = c.Libvirt
	n.LTTng = c.LTTng
	n.Sources.Socket, n.Sources.Headers = c.Sources.Socket, c.Sources.Headers
	n.Profiles.Dir = c.Profiles.Dir
	n.Migration = c.Migration
	n.History = c.History
	n.Control.Socket = c.Control.Socket
	n.Hooks = c.Hooks
	n.Metrics = c.Metrics
	n.Dashboard = c.Dashboard
	n.Log.Format = c.Log.Format
	n.Judging.Engine = c.Judging.Engine
	return n
}

// NeedsRestart names the keys, in alphabetical order, whose new values take effect only after a restart of the daemon.
func (c Config) NeedsRestart(n Config) []string {
	want := map[string]any{}
	walk(reflect.ValueOf(n), "", func(key string, value reflect.Value) { want[key] = value.Interface() })
	var keys []string
	walk(reflect.ValueOf(c.AtRunTime(n)), "", func(key string, value reflect.Value) {
		if !reflect.DeepEqual(want[key], value.Interface()) {
			keys = append(keys, key)
		}
	})
	slices.Sort(keys)
	return keys
}

// walk visits the keys of a table that are no tables themselves. Fields without a key are passed over, embedded ones walked through.
func walk(table reflect.Value, prefix string, visit func(key string, value reflect.Value)) {
	for _, field := range reflect.VisibleFields(table.Type()) {
		name := field.Tag.Get("toml")
		switch value := table.FieldByIndex(field.Index); {
		case name == "" || name == "-":
		case value.Kind() == reflect.Struct:
			walk(value, prefix+name+".", visit)
		default:
			visit(prefix+name, value)
		}
	}
}
