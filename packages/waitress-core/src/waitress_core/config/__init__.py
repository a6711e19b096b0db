"""What can be set, and what was set.

`settings` is the table: one row for each setting, with its default, its cast (`casts`), its check (`checks`) and its
help; `keywords` is made from it, for type checkers. `adjustments` reads the settings of one server once, with that
table; everything else reads attributes of the result. What several settings say together is in `adjustments`, that of
TLS in `tls`, that of the status server in `status_settings`; `faults` words what is wrong. `addresses` reads the words
of `listen`, `log_format` the format of the access log, `processors` counts what `workers=auto` may use, and
`application` recognises what is no application. The command alone has other `sources`: environment variables, and a
file (`toml_file`).
"""
