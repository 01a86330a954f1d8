package probe

import "github.com/virtsentry/virtsentry/lttng/catalogue"

const subsystemNetwork = "network"

// TapLengths are the buckets of packets' lengths. A length is that of the Ethernet frame without its checksum, or of the several packets
// that guest and host hand to each other as one (GSO).
var TapLengths = catalogue.Buckets{Unit: "bytes", PerOctave: 8, Min: 32, Max: 65536}

// TapHeaders are the names of what the headers tell of the packets in one direction, in the order of their columns. The last two are
// no counts of packets, but how many different values there were, estimated.
var TapHeaders = []string{"syn", "synack", "rst", "fin", "ports", "peers"}

// tapWords are those of TapHeaders with what stands before and after "received by the guest" or "sent by the guest".
var tapWords = []struct{ before, after string }{
	{"requests for a TCP connection (SYN)", ""},
	{"answers to requests for a TCP connection (SYN and ACK)", ""},
	{"refusals and aborts of TCP connections (RST)", ""},
	{"ends of TCP connections (FIN)", ""},
	{"different destination ports of packets", ", estimated"},
	{"different addresses of others, of packets", ", estimated"},
}

// tapColumns returns lengths of packets received and sent, then what the headers of packets received and sent tell.
func tapColumns() []Column {
	directions := []string{"received", "sent"}
	var columns []Column
	for _, d := range directions {
		for i := range TapLengths.Count() {
			columns = append(columns, Column{
				Name:      "tap:" + d + ":len" + TapLengths.Label(i),
				Subsystem: subsystemNetwork,
				Words:     "packets of " + TapLengths.Words(i) + " " + d + " by the guest",
			})
		}
	}
	for _, d := range directions {
		for i, name := range TapHeaders {
			w := tapWords[i]
			columns = append(columns, Column{"tap:" + d + ":" + name, subsystemNetwork, w.before + " " + d + " by the guest" + w.after})
		}
	}
	return columns
}
