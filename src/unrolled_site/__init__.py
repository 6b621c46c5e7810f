"""The equipment of the pages: figures, tasks, quotations, the example and the language model."""
