"""Chinese sentiment classification: text to tokens to an LSTM to calibrated probabilities.

The package imports no web framework. ``model.classifier.Classifier`` is the way in:
it loads an artifact and answers for texts.
"""
