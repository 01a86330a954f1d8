-- sysbench's own test of a data base.
dofile("/usr/share/sysbench/oltp_read_write.lua")
event = progress(event, 1)
