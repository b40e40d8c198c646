"""dataworth: the library under the study book *What Is Training Data Worth?*"""

__version__ = "0.1.0"
