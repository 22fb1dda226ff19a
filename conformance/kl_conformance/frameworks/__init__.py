"""One file a framework: how numbers get in and out of its tensors, and what else can be done with a call."""
