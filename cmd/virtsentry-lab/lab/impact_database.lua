-- sysbench's own test of a data base. A transaction takes so long that its parts are told, too.
dofile("/usr/share/sysbench/oltp_read_write.lua")
steps {
	"execute_point_selects", "execute_simple_ranges", "execute_sum_ranges", "execute_order_ranges", "execute_distinct_ranges",
	"execute_index_updates", "execute_non_index_updates", "execute_delete_inserts",
}
event = progress(event, 1)
