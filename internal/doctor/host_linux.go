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

// Stamping asks an interface what it can stamp and what it is set to.
func (hardware) Stamping(ifname string) (s Stamping, err error) {
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
	s = Stamping{
		Interface: ifname, PHC: int(info.Phc_index),
		All: info.Rx_filters&(all|ntp) != 0, Some: info.Rx_filters&^1 != 0, Transmit: info.Tx_types&(1<<unix.HWTSTAMP_TX_ON) != 0,
	}
	// A driver that does not tell its setting is taken as set to nothing.
	if now, err := unix.IoctlGetHwTstamp(fd, ifname); err == nil {
		s.AllNow = now.Rx_filter == unix.HWTSTAMP_FILTER_ALL || now.Rx_filter == unix.HWTSTAMP_FILTER_NTP_ALL
		s.PTPNow = !s.AllNow && now.Rx_filter != unix.HWTSTAMP_FILTER_NONE
	}
	return s, nil
}
