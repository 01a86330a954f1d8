package config

import "strings"

// Dashboard says where operators open the daemon's page.
type Dashboard struct {
	// Listen is ADDRESS:PORT, with an IP address, or unix:/PATH; empty: nowhere. An address that other hosts can reach needs WebConfig.
	Listen string `toml:"listen"`
	// WebConfig is a file in the format of Prometheus' exporter-toolkit, with a certificate for TLS, what client certificates are believed, and users with their
	// passwords' hashes. Empty: none.
	WebConfig string `toml:"web_config"`
	// Hosts are the names by which browsers may ask for the page, besides localhost and IP addresses.
	Hosts []string `toml:"hosts"`
	// LocalChanges lets every user of the host mark, label and look closer, where Listen is a loopback address and WebConfig is empty.
	LocalChanges bool `toml:"local_changes"`
}

// Socket is the path of the UNIX socket that Listen names; empty: it names none.
func (d Dashboard) Socket() string { return socketOf(d.Listen) }

// Changes says whether who can open the page may change anything by it: where it is known who that is, or the operator does not mind.
func (d Dashboard) Changes() bool { return d.Socket() != "" || d.WebConfig != "" || d.LocalChanges }

// check is the first thing that is wrong with it, nil for nothing.
func (d Dashboard) check() *problem {
	for _, host := range d.Hosts {
		if host == "" || len(host) > 253 || strings.ContainsAny(host, "/:@ \t\r\n*") {
			return wrong("dashboard.hosts", "%.80q is not a host's name (without a port)", host)
		}
	}
	return checkListener("dashboard", d.Listen, d.WebConfig)
}
