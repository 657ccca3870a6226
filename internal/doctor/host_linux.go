package doctor

import (
	"io/fs"
	"syscall"

	"golang.org/x/sys/unix"
)

// owner returns who a file belongs to.
func owner(fi fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

// stampsOf asks an interface what it can stamp and what it is set to, and
// changes nothing.
func stampsOf(ifname string) (s stamps, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return s, err
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolTsInfo(fd, ifname)
	if err != nil {
		return s, err
	}
	const all, ntp = 1 << unix.HWTSTAMP_FILTER_ALL, 1 << unix.HWTSTAMP_FILTER_NTP_ALL
	s = stamps{
		ifname: ifname, phc: int(info.Phc_index),
		all: info.Rx_filters&(all|ntp) != 0, some: info.Rx_filters&^1 != 0, tx: info.Tx_types&(1<<unix.HWTSTAMP_TX_ON) != 0,
	}
	if now, err := unix.IoctlGetHwTstamp(fd, ifname); err == nil {
		s.known = true
		s.rxNow = now.Rx_filter == unix.HWTSTAMP_FILTER_ALL || now.Rx_filter == unix.HWTSTAMP_FILTER_NTP_ALL
		s.txNow = now.Tx_type == unix.HWTSTAMP_TX_ON
		s.rxPTP = !s.rxNow && now.Rx_filter != unix.HWTSTAMP_FILTER_NONE
	}
	return s, nil
}
