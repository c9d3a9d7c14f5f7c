"""Abrupt changes of a loss: the operations that can cause them, the inputs where they occur, and checks at these inputs."""
