"""Other engines that decide the benchmark's question: over their sockets, and in process."""
