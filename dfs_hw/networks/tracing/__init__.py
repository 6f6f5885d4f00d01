"""Any PyTorch model read as a `Workload`: its operators one by one, as its own forward calls them.

`capture` makes a graph of ATen operators of a model, `reader` walks it with one small function an
operator (`array_rules`, `vector_rules`, `arithmetic`, `views`), `folding` moves into layers of the
array what happens as their outputs leave, and `model_workload` puts the workload together.
"""
