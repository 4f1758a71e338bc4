"""The judge: the rule catalogue, the typing pass, the proof as a stage. Deterministic: no clock, no network, no model."""
