package netstack

import (
	"encoding/json"
	"net/netip"
	"time"
)

// entry is a line of --net-log.
type entry struct {
	Time     string `json:"time"`
	Proto    string `json:"proto"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	Port     uint16 `json:"port"`
	Sent     int64  `json:"sent"` // by the box
	Received int64  `json:"received"`
	Verdict  string `json:"verdict"` // allowed or refused
}

// log writes a line about a connection that ended, or was refused, by one
// write: what does not fit the disk is lost.
func (n *network) log(proto, who string, to netip.AddrPort, sent, received int64, verdict string) {
	if n.logFile == nil {
		return
	}
	e := entry{time.Now().UTC().Format(time.RFC3339Nano), proto, who, to.Addr().String(), to.Port(), sent, received, verdict}
	if who == e.Address {
		e.Name = ""
	}
	b, err := json.Marshal(e)
	if err == nil {
		n.logFile.Write(append(b, '\n'))
	}
}
