"""One file a kind of neuron: where its state may be, its own energy, its exact minimum and its law."""
