"""A model as one GGUF file, for llama.cpp and Ollama: converted, compared, published."""
