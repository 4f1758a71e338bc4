"""The loop: understand, retrieve, propose, validate, repair, finish; its proposers and its prompts."""
