"""What servers, channels and the dispatchers of a loop log: by two methods that a program may override."""

import logging

from waitress_core.safe_logger import contained


class Logs:
    """Logs by `log` and `log_info`."""

    __slots__ = ()

    logger = logging.getLogger("waitress")

    def log(self, message: str) -> None:
        """Log at the level DEBUG."""
        with contained:
            self.logger.debug(message)

    def log_info(self, message: str, type: str = "info") -> None:
        """Log at a level by its name."""
        with contained:
            self.logger.log(getattr(logging, type.upper(), logging.INFO), message)
