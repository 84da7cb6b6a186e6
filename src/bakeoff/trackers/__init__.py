"""Shows studies in experiment trackers: TensorBoard, MLflow, Trackio, Weights & Biases."""
