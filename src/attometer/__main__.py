"""`python -m attometer` is the command line."""

from attometer.cli import main

if __name__ == "__main__":
    main()
