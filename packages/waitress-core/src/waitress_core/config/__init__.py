"""What may be set, and what was set.

`settings` is the table: one row for each setting, with its default, its cast and its help. `adjustments` reads the
settings of one server by that table, once, and everything else reads attributes of the result. `casts` and `addresses`
say how a value is read; `log_format` reads the format of the access log.
"""
