"""The parts of `accelerator.py`: each gives its rows one by one, and stops when its time is up."""
