"""The two pipes between the supervisor and one worker: the worker's reports, and the supervisor's life.

Nothing is ever written to the second one. Its end is that of the supervisor, which alone holds the other end: see
`lifeline`.

Thread: the supervisor's only one, and the main thread of a child.
"""

import os


class WorkerPipes:
    """Both pipes, from before the fork on. Each process closes the ends that are not its own.

    Raises:
        OSError: no descriptor is left; nothing stays open.
    """

    def __init__(self) -> None:
        self.reports, self.reports_end = os.pipe()  # the supervisor reads, the worker writes
        try:
            self.lifeline_end, self.lifeline = os.pipe()  # the worker waits for its end, the supervisor holds it
        except OSError:
            os.close(self.reports)
            os.close(self.reports_end)
            raise

    def close_own(self) -> None:
        """Close the supervisor's ends: at the end of the worker, or in a child."""
        os.close(self.reports)
        os.close(self.lifeline)

    def close_workers(self) -> None:
        """Close the worker's ends, in the supervisor."""
        os.close(self.reports_end)
        os.close(self.lifeline_end)
