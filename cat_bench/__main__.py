"""`python -m cat_bench`: the command line."""

from cat_bench.cli import main

if __name__ == "__main__":
    main()
