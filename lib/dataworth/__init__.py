"""dataworth: the library under the study book *What Is Training Data Worth?*"""

import os as _os
import warnings as _warnings

__version__ = "0.2.0"

# Progress needs no widget here; libraries that load tqdm in a notebook would ask for ipywidgets.
_warnings.filterwarnings("ignore", message="IProgress not found")

if _os.environ.get("DATAWORTH_LOG"):  # in a kernel or worker too: nobody calls anything there
    from dataworth import logs as _logs

    _logs.start()
