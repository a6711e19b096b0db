"""What can be wrong with the headers of a proxy."""


class MalformedProxyHeader(Exception):
    """A trusted proxy header cannot be read: the response is 400.

    `header` is its name, `reason` the rule that it breaks, `value` its value.
    """

    def __init__(self, header: str, reason: str, value: str) -> None:
        super().__init__(f'Header "{header}" malformed.')
        self.header = header
        self.reason = reason
        self.value = value
