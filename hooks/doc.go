// Package hooks joins virtsentry to the scripts of others: it hears what libvirt's hook script says ([Listener]), and it runs the
// operators' own hooks on a change of a domain's state ([Runner]). It knows neither libvirt nor LTTng. The directory's README.md is
// for those who write hooks.
package hooks
