"""llama.cpp through its low-level bindings. The only package of the server that imports llama_cpp."""
