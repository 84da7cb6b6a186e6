"""A study's winner at work: choosing it, predicting with it."""
