"""What other labelling programs write and read: Label Studio, doccano, Argilla."""
