"""The diffusion engine: dataclasses and paths in, PIL pictures and a recipe out.

Imports no Django. torch, diffusers and peft are imported inside functions, so that a process that only plans,
validates or reads files (the web server) never loads them.
"""
