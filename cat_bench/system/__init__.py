"""The operating system: atomic files, rows of data files, work in other processes.

Input: paths, bytes and functions. Output: complete files and the results of other processes.
Nothing here knows what a rollout is.
"""
