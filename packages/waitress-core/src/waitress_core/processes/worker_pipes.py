"""The two pipes between the supervisor and one worker: the worker's reports, and the supervisor's life.

Nothing is ever written to the second one. Its end is that of the supervisor, which alone holds the end to write to: see
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

    def keep_workers(self) -> None:
        """Close the supervisor's ends, in the worker."""
        os.close(self.reports)
        os.close(self.lifeline)

    def keep_supervisors(self) -> None:
        """Close the worker's end of its reports, in the supervisor: it must see that the worker has closed it.

        Both have the worker's end of the lifeline: either may ask the system what to do when the other end is closed.
        """
        os.close(self.reports_end)

    def close(self) -> None:
        """Close what `keep_supervisors` has kept: at the end of the worker, or in another child."""
        self.keep_workers()
        os.close(self.lifeline_end)
