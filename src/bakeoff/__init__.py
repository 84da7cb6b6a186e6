"""Which of these training choices is really better for classifying these images?"""

__version__ = "0.1.0"
