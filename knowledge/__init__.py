"""Facts: the model and hardware catalogue, the knowledge pages, retrieval, calibration."""
