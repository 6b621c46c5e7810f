"""What the pages use: figures, tasks, quotations, the worked example and the language model."""
