"""The method on Ray: stages, their graph, data-parallel dense training. The only Ray imports."""
