"""Training by recipe: data, stages, the loop around `model.fit`, and evaluation."""
