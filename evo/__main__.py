"""`python -m evo`."""

from evo.entry import main

if __name__ == "__main__":
    main()
