"""What can be set, and what was set.

`settings` is the table: one row for each setting, with its default, its cast and its help. `adjustments` reads the
settings of one server once, with that table; everything else reads attributes of the result. `casts` and `addresses`
read single values; `log_format` reads the format of the access log.
"""
