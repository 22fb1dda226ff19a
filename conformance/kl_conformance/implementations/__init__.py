"""One file a framework: how to hand numbers over, and which implementations it has."""
