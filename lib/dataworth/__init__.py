"""dataworth: the library under the study book *What Is Training Data Worth?*"""

import logging as _logging
import os as _os
import warnings as _warnings

__version__ = "0.5.0"

# Progress needs no widget here; libraries that load tqdm in a notebook would ask for ipywidgets.
_warnings.filterwarnings("ignore", message="IProgress not found")
# diffusers says at each cast of a model which of its modules should stay float32; an empty list of
# them says nothing, to a reader once a picture.
_logging.getLogger("diffusers.models.modeling_utils").addFilter(
    lambda record: "kept in float32: []" not in record.getMessage()
)

if _os.environ.get("DATAWORTH_LOG"):  # in a kernel or worker too: nobody calls anything there
    from dataworth import logs as _logs

    _logs.start()
