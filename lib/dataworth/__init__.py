"""dataworth: the library under the study book *What Is Training Data Worth?*"""

import os as _os

__version__ = "0.2.0"

if _os.environ.get("DATAWORTH_LOG"):  # in a kernel or worker too: nobody calls anything there
    from dataworth import logs as _logs

    _logs.start()
