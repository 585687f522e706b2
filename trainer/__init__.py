"""The trainer: trains, exports and evaluates the classifiers of `pupil`. Start reading at train.py."""
